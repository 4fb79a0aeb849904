"""Closed forms against other libraries and against their definitions, computed densely."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from sklearn import cross_decomposition
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge as SklearnRidge
from torch import Tensor
from torch.nn.functional import normalize

from aligners.base.aligner import Aligner
from aligners.unicon import UniConSpectral
from datamodules.pairs.pairs import Pairs
from ground.errors import UserError
from tests.aligners.made import make
from tests.problems import random_features

RANK = 5
MOMENTS = ["pls", "cca", "csa", "ridge", "procrustes"]
WITH_KERNELS = [*MOMENTS, "asif"]


@pytest.fixture(scope="module")
def one_to_one() -> tuple[Tensor, Tensor]:
    x, y, _ = random_features(200, 1, 12, 9, seed=1)
    return x.double() + 3, y.double() - 2


def fitted(name: str, pairs: Pairs, dtype: torch.dtype = torch.float64, batch_size: int = 20, **changed: Any) -> Any:
    aligner = make(name, rank=RANK, **changed)
    groups = {"x_of_y": pairs.x_of_y, "group": pairs.group}
    return aligner.fit(pairs.x.to(dtype), pairs.y.to(dtype), **groups, batch_size=batch_size)


def correlations(ours: Tensor, others: Any) -> np.ndarray:
    """Of each column with the other's, without a sign: 1 for the same direction of whatever length."""
    return np.array(
        [abs(np.corrcoef(a, b)[0, 1]) for a, b in zip(ours.double().numpy().T, np.asarray(others).T, strict=True)]
    )


def cosines(a: Any, b: Any) -> Tensor:
    return normalize(torch.as_tensor(a).double()) @ normalize(torch.as_tensor(b).double()).T


def same_similarity(aligner: Aligner, x: Tensor, y: Tensor, expected: Any, atol: float = 1e-5) -> None:
    torch.testing.assert_close(aligner.similarity(x, y).double(), torch.as_tensor(expected).double(), rtol=0, atol=atol)


class Dense:
    """Covariances (m, m), means and the cross-covariance of prepared rows, by the matrix of the pairs' weights."""

    def __init__(self, aligner: Aligner, pairs: Pairs):
        self.x, self.y = aligner.prepare_x(pairs.x.double()).double(), aligner.prepare_y(pairs.y.double()).double()
        self.x, self.y = self.x - self.x.mean(0), self.y - self.y.mean(0)
        P = (pairs.group[:, None] == pairs.y_group).double()
        weights = P / P.sum(1, keepdim=True) / len(P) + P / P.sum(0) / P.shape[1]
        self.cov_x, self.cov_y = self.x.T @ self.x / len(self.x), self.y.T @ self.y / len(self.y)
        self.cross = self.x.T @ (weights / 2) @ self.y


def ridged(covariance: Tensor, lam: float) -> Tensor:
    return covariance + lam * covariance.diagonal().mean() * torch.eye(len(covariance)).double()


def root(matrix: Tensor) -> Tensor:
    """The inverse square root, symmetric."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors / values.sqrt() @ vectors.T


# against other libraries


def test_cca_is_scikit_learns_without_a_ridge(one_to_one: tuple[Tensor, Tensor]) -> None:
    x, y = one_to_one
    ours = make("cca", rank=RANK, lam=0.0, unit=False).fit(x, y)
    theirs = cross_decomposition.CCA(RANK, scale=False, max_iter=10_000, tol=1e-12).fit(x.numpy(), y.numpy())
    for mine, scores in zip((ours.encode_x(x), ours.encode_y(y)), theirs.transform(x.numpy(), y.numpy()), strict=True):
        np.testing.assert_allclose(correlations(mine, scores), 1, atol=1e-6)


@pytest.mark.parametrize("lam", [0.0, 0.3])
def test_cca_is_cca_zoos_with_a_ridge_too(one_to_one: tuple[Tensor, Tensor], lam: float) -> None:
    linear = pytest.importorskip("cca_zoo.linear")
    x, y = one_to_one
    ours = make("cca", rank=RANK, lam=lam, unit=False, weight_power=0.0).fit(x, y)
    ridges = [lam * float(rows.var(0, unbiased=False).mean()) for rows in (x, y)]
    shrinkage = [ridge / (1 + ridge) for ridge in ridges]  # of (1 - c) Sigma + c I
    # by whose count the covariance is divided scales the ridge
    scaled = [rows.numpy() * np.sqrt((len(x) - 1) / len(x)) for rows in (x, y)]
    theirs = linear.RidgeCCA(n_components=RANK, shrinkage=shrinkage).fit(scaled)
    for mine, scores in zip((ours.encode_x(x), ours.encode_y(y)), theirs.transform(scaled), strict=True):
        np.testing.assert_allclose(correlations(mine, scores), 1, atol=1e-6)


def test_pls_is_scikit_learns_svd_and_cca_zoos(one_to_one: tuple[Tensor, Tensor]) -> None:
    x, y = one_to_one
    ours = make("pls", rank=RANK, unit=False).fit(x, y)
    svd = cross_decomposition.PLSSVD(RANK, scale=False).fit(x.numpy(), y.numpy())
    every = [svd.transform(x.numpy(), y.numpy())]
    canonical = cross_decomposition.PLSCanonical(1, scale=False, tol=1e-12).fit(x.numpy(), y.numpy())
    first = canonical.transform(x.numpy(), y.numpy())  # later components deflate
    linear = pytest.importorskip("cca_zoo.linear")
    views = [x.numpy(), y.numpy()]
    every.append(linear.PLS(n_components=RANK).fit(views).transform(views))
    for side, mine in enumerate((ours.encode_x(x), ours.encode_y(y))):
        for theirs in every:
            np.testing.assert_allclose(correlations(mine, theirs[side]), 1, atol=1e-6)
        np.testing.assert_allclose(correlations(mine[:, :1], first[side]), 1, atol=1e-6)


@pytest.mark.parametrize("lam", [1e-3, 0.5])
def test_ridge_is_scikit_learns_in_both_directions(one_to_one: tuple[Tensor, Tensor], lam: float) -> None:
    x, y = one_to_one
    one, other, both = (
        make("ridge", lam=lam, unit=False, direction=each).fit(x, y) for each in ("x_to_y", "y_to_x", "both")
    )
    of_x, of_y = (float(len(x) * lam * rows.var(0, unbiased=False).mean()) for rows in (x, y))
    to_y = SklearnRidge(alpha=of_x).fit(x.numpy(), y.numpy()).predict(x.numpy())
    to_x = SklearnRidge(alpha=of_y).fit(y.numpy(), x.numpy()).predict(y.numpy())
    np.testing.assert_allclose(one.encode_x(x).numpy(), to_y - y.mean(0).numpy(), atol=1e-4)
    np.testing.assert_allclose(one.encode_y(y).numpy(), (y - y.mean(0)).numpy(), atol=1e-5)
    np.testing.assert_allclose(other.encode_y(y).numpy(), to_x - x.mean(0).numpy(), atol=1e-4)
    same_similarity(both, x, y, (one.similarity(x, y) + other.similarity(x, y)) / 2)
    assert (one.rank, other.rank, both.rank) == (9, 12, 24)


def test_procrustes_is_scipys_rotation_of_scikit_learns_scores(one_to_one: tuple[Tensor, Tensor]) -> None:
    x, y = one_to_one
    scores_x, scores_y = (PCA(RANK).fit_transform(rows.numpy()) for rows in (x, y))
    rotation, _ = orthogonal_procrustes(scores_x, scores_y)
    ours = make("procrustes", rank=RANK, unit=False).fit(x, y)
    same_similarity(ours, x, y, cosines(scores_x @ rotation, scores_y))
    same_similarity(ours, x, y, cosines(7 * scores_x @ rotation, scores_y))  # a scaling is nothing to a cosine


# against their definitions, many-to-many


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("lam", [1e-3, 1.0])
def test_csa_is_the_cosine_of_variates_weighted_by_correlation(pairs: Pairs, lam: float, p: float) -> None:
    aligner = fitted("csa", pairs, lam=lam, weight_power=p)
    dense = Dense(aligner, pairs)
    root_x, root_y = root(ridged(dense.cov_x, lam)), root(ridged(dense.cov_y, lam))
    U, rho, Vt = torch.linalg.svd(root_x @ dense.cross @ root_y)
    u, v = (normalize(rows) for rows in (dense.x @ root_x @ U[:, :RANK], dense.y @ root_y @ Vt.T[:, :RANK]))
    weights = rho[:RANK] ** (2 * p)
    assert rho[0] < 1
    same_similarity(aligner, pairs.x.double(), pairs.y.double(), (u * weights) @ v.T)
    torch.testing.assert_close(aligner.singular_values, rho[:RANK], rtol=1e-5, atol=0)
    assert aligner.embedding_width == 2 * RANK


def test_csas_correlations_above_one_are_scaled_and_keep_the_order() -> None:
    """Groups of several x weigh pairs otherwise than items: at no ridge a correlation may exceed 1."""
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)).double()
    x[:2] *= 8
    x_of_y = torch.tensor([0] * 30 + list(range(1, 40)))
    y = x[x_of_y] * torch.tensor([1.0, 2, 3, 4, 5, 6])
    aligner = make("csa", rank=3, lam=1e-9, unit=False).fit(x, y, x_of_y=x_of_y)
    assert aligner.singular_values.max() > 1.01
    similarity = aligner.similarity(x, y)
    assert torch.isfinite(similarity).all()
    assert similarity.abs().max() <= 1 + 1e-5


def test_pls_cca_ridge_and_procrustes_on_many_to_many(pairs: Pairs) -> None:
    x, y = pairs.x.double(), pairs.y.double()
    for name, lam in (("pls", None), ("cca", 0.3)):
        aligner = fitted(name, pairs, weight_power=0.0, **({} if lam is None else {"lam": lam}))
        dense = Dense(aligner, pairs)
        eyes = torch.eye(pairs.dims[0]).double(), torch.eye(pairs.dims[1]).double()
        roots = eyes if lam is None else (root(ridged(dense.cov_x, lam)), root(ridged(dense.cov_y, lam)))
        U, _, Vt = torch.linalg.svd(roots[0] @ dense.cross @ roots[1])
        expected = cosines(dense.x @ roots[0] @ U[:, :RANK], dense.y @ roots[1] @ Vt.T[:, :RANK])
        same_similarity(aligner, x, y, expected)
    aligner = fitted("ridge", pairs, lam=0.3)
    dense = Dense(aligner, pairs)
    to_y = dense.x @ torch.linalg.solve(ridged(dense.cov_x, 0.3), dense.cross)
    to_x = dense.y @ torch.linalg.solve(ridged(dense.cov_y, 0.3), dense.cross.T)
    same_similarity(aligner, x, y, (cosines(to_y, dense.y) + cosines(dense.x, to_x)) / 2)
    aligner = fitted("procrustes", pairs)
    dense = Dense(aligner, pairs)
    E_x, E_y = (torch.linalg.eigh(each).eigenvectors[:, -RANK:] for each in (dense.cov_x, dense.cov_y))
    U, _, Vt = torch.linalg.svd(E_x.T @ dense.cross @ E_y)
    same_similarity(aligner, x, y, cosines(dense.x @ E_x @ U @ Vt, dense.y @ E_y))


# one part or many, in one precision or the other


@pytest.mark.parametrize("name", WITH_KERNELS)
@pytest.mark.parametrize("features", ["raw", "kernel"])
def test_batches_are_as_one_and_float32_as_float64(pairs: Pairs, name: str, features: str) -> None:
    changed = {"features": features, "landmarks": 20}
    whole = fitted(name, pairs, batch_size=1000, **changed)
    x, y = pairs.x.double(), pairs.y.double()
    same_similarity(fitted(name, pairs, batch_size=7, **changed), x, y, whole.similarity(x, y), atol=1e-4)
    single = fitted(name, pairs, torch.float32, **changed)
    same_similarity(single, pairs.x, pairs.y, whole.similarity(x, y), atol=1e-4)


# on kernel features


@pytest.mark.parametrize("landmarks", [20, 6144])
def test_cca_on_kernel_features_is_unicons_first_solution(pairs: Pairs, landmarks: int) -> None:
    at = {"lam": 0.7, "weight_power": 1.0, "landmarks": landmarks}
    cca = fitted("cca", pairs, torch.float32, features="kernel", **at)
    unicon = UniConSpectral(rank=RANK, feature_map="nystrom", tau=0.1, passes=0, **at)
    unicon.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, batch_size=20)
    same_similarity(cca, pairs.x, pairs.y, unicon.similarity(pairs.x, pairs.y), atol=1e-3)


@pytest.mark.parametrize("name", MOMENTS)
def test_the_linear_kernel_on_enough_landmarks_is_the_features_themselves(name: str) -> None:
    x, y, x_of_y = random_features(60, 2, 10, 10, seed=2)
    at = {"kernel": "linear", "landmarks": 10, "landmark_selection": "uniform", "landmark_ridge": 0.0}
    plain, kernel = (
        make(name, rank=RANK, **changed).fit(x, y, x_of_y=x_of_y) for changed in ({}, {"features": "kernel", **at})
    )
    assert kernel.widths == (10, 10)
    same_similarity(kernel, x, y, plain.similarity(x, y), atol=1e-4)


@pytest.mark.parametrize("name", ["pls", "cca", "csa", "ridge"])  # the components of x alone know nothing of y
def test_kernel_features_find_what_is_not_linear(name: str) -> None:
    """y is the products of x's numbers, which no direction of x goes with."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(900, 3, generator=generator)
    y = torch.stack([x[:, 0] * x[:, 1], x[:, 1] * x[:, 2], x[:, 0] * x[:, 2]], 1)
    y = y @ torch.randn(3, 6, generator=generator)
    recalls = []
    for features in ("raw", "kernel"):
        aligner = make(name, rank=3, features=features, kernel="rbf", unit=False, landmarks=400)
        similarity = aligner.fit(x[:700], y[:700], batch_size=700).similarity(x[700:], y[700:])
        ranks = (similarity > similarity.diagonal()[:, None]).sum(1)
        recalls.append(float((ranks < 20).double().mean()))
    assert recalls[1] > recalls[0] + 0.1


@pytest.mark.parametrize("name", WITH_KERNELS)
def test_kernel_features_come_back_from_a_file(pairs: Pairs, name: str, tmp_path: Any) -> None:
    aligner = fitted(name, pairs, torch.float32, features="kernel")
    aligner.save(tmp_path / "one.safetensors")
    loaded = type(aligner).load(tmp_path / "one.safetensors")
    assert torch.equal(loaded.encode_x(pairs.x), aligner.encode_x(pairs.x))
    assert torch.equal(loaded.encode_y(pairs.y), aligner.encode_y(pairs.y))
    assert (loaded.rank, loaded.embedding_width, loaded.widths) == (
        aligner.rank,
        aligner.embedding_width,
        aligner.widths,
    )


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UserError, match="Identity has no argument 'features'"):
        make("identity", features="kernel")
    with pytest.raises(UserError, match="CCA has no argument 'head'"):
        make("cca", head="mlp")
    for name in WITH_KERNELS:
        with pytest.raises(UserError, match=r"unknown aligner.features 'whitened': known are kernel, raw"):
            make(name, features="whitened")
    with pytest.raises(UserError, match=r"unknown aligner.direction 'sideways': known are both, x_to_y, y_to_x"):
        make("ridge", direction="sideways")
