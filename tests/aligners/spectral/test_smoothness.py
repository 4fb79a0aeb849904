"""The Laplacian of neighbours in the whitening."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from aligners.spectral import smoothness
from aligners.spectral.smoothness import nearest, roughness
from aligners.spectral.whitening import smoothed, spread
from aligners.unicon import UniConSpectral
from ground.errors import UserError
from tests.aligners.fixed import FIXED
from tests.aligners.spectral.drawn import normal
from tests.problems import random_features


@given(n=st.integers(2, 30), k=st.integers(1, 12), block=st.integers(1, 31))
def test_neighbours_are_the_nearest_others(n: int, k: int, block: int) -> None:
    rows = normal(n, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smoothness, "BLOCK_ROWS", block)
        found = nearest(rows, k)
    cosines = torch.nn.functional.cosine_similarity(rows[:, None], rows, dim=2).fill_diagonal_(-torch.inf)
    assert torch.equal(found, cosines.topk(min(k, n - 1)).indices)


@given(n=st.integers(2, 20), k=st.integers(1, 5))
def test_roughness_is_the_laplacian_of_the_graph(n: int, k: int) -> None:
    raw = normal(n, 3)
    neighbours = nearest(raw, k)
    adjacency = torch.zeros(n, n, dtype=torch.float64).scatter_(1, neighbours, 1.0)
    adjacency = (adjacency + adjacency.T) / 2
    laplacian = torch.diag(adjacency.sum(1)) - adjacency
    found = roughness(raw, neighbours)
    torch.testing.assert_close(found, raw.T @ laplacian @ raw / neighbours.numel())
    assert torch.equal(found, found.T)


def test_one_row_has_no_neighbours() -> None:
    assert not roughness(normal(1, 3), nearest(normal(1, 3))).any()


def test_what_does_not_differ_is_not_added() -> None:
    of = spread(torch.eye(2), torch.zeros(2), 1.0)
    assert smoothed(of, 1.0, torch.zeros(2, 2)) is of


def whitened(x: Tensor, lam: float, laplacian: float) -> Tensor:
    """Rows (n, d) times the symmetric root of the inverse of ``Sigma + lam t I + mu c R``, densely."""
    covariance = torch.cov(x.T, correction=0)
    of = torch.nn.functional.normalize(x)
    order = (of @ of.T).fill_diagonal_(-torch.inf).argsort(1, descending=True)[:, :10]
    beside = x[order] - x[:, None]
    rough = torch.einsum("nka,nkb->ab", beside, beside) / (2 * order.numel())
    t = covariance.trace()
    ridge = lam * t / len(covariance) * torch.eye(len(covariance))
    matrix = covariance + ridge + laplacian * t / rough.trace() * rough
    values, vectors = torch.linalg.eigh(matrix)
    return x @ vectors / values.sqrt() @ vectors.T


@pytest.mark.parametrize("laplacian", [0.0, 2.0])
def test_the_first_solution_is_that_of_dense_matrices(laplacian: float) -> None:
    x, y, _ = random_features(120, 1, 9, 7, seed=1, noise=1.0)
    x, y = (side.double() - side.double().mean(0) for side in (x, y))
    settings: dict[str, Any] = {**FIXED, "feature_map": "identity", "unit": False, "passes": 0, "laplacian": laplacian}
    aligner = UniConSpectral(rank=3, **settings).fit(x, y)
    a, b = whitened(x, 1.0, laplacian), whitened(y, 1.0, laplacian)
    U, s, Vh = torch.linalg.svd(a.T @ b)
    one, other = a @ U[:, :3] * s[:3], b @ Vh[:3].T * s[:3]
    expected = torch.nn.functional.normalize(one) @ torch.nn.functional.normalize(other).T
    torch.testing.assert_close(aligner.similarity(x, y).double(), expected, rtol=0, atol=1e-5)


def test_it_is_chosen_on_validation_by_first_solutions() -> None:
    x, y, x_of_y = random_features(120, 2, 9, 9, seed=1, noise=1.0)
    settings: dict[str, Any] = {**FIXED, "rank": 3, "landmarks": 40}
    better, worse = (
        UniConSpectral(**settings | {"laplacian": values}).fit(x, y, x_of_y=x_of_y)
        for values in ([0.0, 4.0], [4.0, 0.0])
    )
    assert [trial["laplacian"] for trial in worse.solution.trials] == [4.0, 0.0]
    assert len({trial["recall"] for trial in worse.solution.trials}) == 2
    for each in (better, worse):
        assert each.solution.chosen["laplacian"] == 0.0
    torch.testing.assert_close(worse.similarity(x, y), better.similarity(x, y), rtol=0, atol=1e-4)


def test_without_whitening_it_is_refused() -> None:
    with pytest.raises(UserError, match=r"aligner.laplacian=0.5 is of the whitening, and there is none: take 0"):
        UniConSpectral(rank=3, whiten=False, laplacian=0.5)
