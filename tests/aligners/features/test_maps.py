import io
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.features.kernels import KERNELS, NEEDS_BANDWIDTH, fitted_bandwidth
from aligners.features.landmarks import Size
from aligners.features.maps import FeatureMap, feature_map
from aligners.features.random import orthogonal_gaussian
from ground.errors import UserError
from tests.aligners.exact_kernel import exact_kernel_similarity

SETTINGS: dict[str, Any] = {
    "kernel": "arc_cosine_1",
    "landmarks": 10,
    "landmark_selection": "uniform",
    "landmark_ridge": 1e-6,
    "bandwidth": 1.0,
}
WITH_RANDOM_FEATURES = [name for name in KERNELS if name not in ("linear", "cosine")]


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=draws(seed), dtype=torch.float64)


def fitted(kind: str, sample: Tensor, seed: int = 0, **changes: Any) -> FeatureMap:
    built = feature_map(kind, sample.shape[1], **(SETTINGS | changes))
    built.fit(sample, draws(seed))
    return built


def every_map(sample: Tensor, seed: int = 0) -> dict[str, FeatureMap]:
    maps = {"identity": fitted("identity", sample)}
    for kernel in KERNELS:
        maps[f"nystrom {kernel}"] = fitted("nystrom", sample, kernel=kernel, landmark_ridge=1e-3)
    for selection in ("kmeans++", "leverage", "rpcholesky"):
        maps[f"nystrom {selection}"] = fitted("nystrom", sample, seed, landmark_selection=selection)
    for kernel in WITH_RANDOM_FEATURES:
        maps[f"random {kernel}"] = fitted("random", sample, seed, kernel=kernel)
    return maps


def test_every_map_keeps_the_contract() -> None:
    sample, x = normal(60, 6), normal(7, 6, seed=1)
    for name, built in every_map(sample).items():
        phi, raw, L = built(x), built.raw(x), built.metric and built.metric.factor.double()
        assert phi.shape == (7, built.dim), name
        torch.testing.assert_close(raw if L is None else phi @ L.T, raw, rtol=1e-5, atol=1e-5, msg=name)


def test_every_map_takes_float32_rows() -> None:
    sample, x = normal(60, 6), normal(9, 6, seed=1)
    for name, built in every_map(sample).items():
        double, single = built(x), built(x.float())
        assert built.raw(x.float()).dtype == single.dtype == torch.float32, name
        torch.testing.assert_close((single @ single.T).double(), double @ double.T, rtol=1e-4, atol=1e-4, msg=name)


def test_every_map_follows_the_seed() -> None:
    sample, x = normal(60, 6), normal(9, 6, seed=1)
    first, again, other = (every_map(sample, seed) for seed in (0, 0, 1))
    for name in first:
        assert torch.equal(first[name](x), again[name](x)), name
        drawn = name.startswith("random") or name.endswith(("kmeans++", "leverage", "rpcholesky"))
        assert torch.equal(first[name](x), other[name](x)) != drawn, name


def test_every_map_goes_through_a_checkpoint() -> None:
    sample, x = normal(60, 6), normal(9, 6, seed=1)
    for name, built in every_map(sample).items():
        kind, _, kernel = name.partition(" ")
        changes = {"kernel": kernel} if kernel in KERNELS else {}
        ridge = 1e-3 if kind == "nystrom" and changes else 1e-6
        other = fitted(kind, normal(10, 6, seed=9) * 5, landmark_ridge=ridge, **changes)
        other(x)
        file = io.BytesIO()
        torch.save(built.state_dict(), file)
        file.seek(0)
        other.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(other.raw(x), built.raw(x)), name
        assert torch.equal(other(x), built(x)), name
        assert torch.equal(other.raw(x.float()), built.raw(x.float())), name


def test_sample_sizes() -> None:
    size = {
        (kind, kernel, selection): feature_map(
            kind, 4, **(SETTINGS | {"kernel": kernel, "landmark_selection": selection})
        ).sample_size([Size(5000, 4)])
        for kind in ("identity", "nystrom", "random")
        for kernel in ("arc_cosine_1", "rbf")
        for selection in ("uniform", "kmeans++")
    }
    assert size["identity", "rbf", "uniform"] == 0
    assert size["nystrom", "arc_cosine_1", "uniform"] == 10
    assert size["nystrom", "arc_cosine_1", "kmeans++"] == 40
    assert size["nystrom", "rbf", "uniform"] == 1024  # the median distance wants more rows than the landmarks
    assert size["random", "arc_cosine_1", "uniform"] == 0
    assert size["random", "rbf", "uniform"] == 1024


@pytest.mark.parametrize("kernel", KERNELS)
def test_nystrom_with_all_landmarks_is_the_kernel(kernel: str) -> None:
    x = normal(15, 20)
    phi = fitted("nystrom", x, kernel=kernel, landmarks=15, landmark_ridge=1e-12)(x)
    bandwidth = fitted_bandwidth(kernel, x, 1.0)
    torch.testing.assert_close(phi @ phi.T, KERNELS[kernel](x, x, bandwidth), rtol=1e-6, atol=1e-7)


def test_the_linear_kernel_on_enough_landmarks_is_the_identity() -> None:
    x = normal(30, 6, seed=1)
    phi = fitted("nystrom", normal(6, 6), kernel="linear", landmarks=6, landmark_ridge=0.0)(x)
    torch.testing.assert_close(phi @ phi.T, x @ x.T)


@pytest.mark.parametrize("selection", ["uniform", "kmeans++", "leverage", "rpcholesky"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_duplicated_rows_do_not_break_the_factor(kernel: str, selection: str) -> None:
    sample = normal(3, 6).repeat(10, 1)
    built = fitted("nystrom", sample, kernel=kernel, landmarks=8, landmark_selection=selection)
    phi, gram = built(sample), KERNELS[kernel](sample, sample, fitted_bandwidth(kernel, sample, 1.0))
    torch.testing.assert_close(phi @ phi.T, gram, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ridge", [0.0, 1e-10, 1e-6])
def test_a_kernel_of_low_rank_has_as_many_landmarks(ridge: float, dtype: torch.dtype) -> None:
    sample = normal(30, 3).to(dtype)
    built = fitted("nystrom", sample, kernel="linear", landmarks=8, landmark_ridge=ridge)
    assert built.dim == 3
    torch.testing.assert_close(built(sample) @ built(sample).T, sample @ sample.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", ["linear", "cosine"])
def test_float32_keeps_the_landmarks_of_float64(kernel: str) -> None:
    sample = torch.nn.functional.normalize(normal(200, 10).double())  # unit rows tie for the first place
    one, other = (fitted("nystrom", rows, kernel=kernel, landmarks=200) for rows in (sample.float(), sample))
    assert one.dim == 10
    torch.testing.assert_close(one.landmarks, other.landmarks, rtol=0, atol=1e-6)


def test_rows_without_a_kernel_are_told() -> None:
    for selection in ("uniform", "kmeans++", "leverage", "rpcholesky"):
        with pytest.raises(UserError, match="rows that are not zero"):
            fitted("nystrom", torch.zeros(50, 6), landmark_selection=selection)
    for kind in ("nystrom", "random"):
        with pytest.raises(UserError, match="rows that differ"):
            fitted(kind, torch.ones(50, 6), kernel="rbf")


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("nystroem", {}, "unknown aligner.feature_map 'nystroem': did you mean 'nystrom'"),
        ("nystrom", {"kernel": "mattern_12"}, "unknown aligner.kernel 'mattern_12': did you mean 'matern_12'"),
        ("random", {"kernel": "sigmoid"}, "unknown aligner.kernel"),
        ("nystrom", {"landmarks": 0}, "landmarks must be at least 1, got 0"),
        ("random", {"landmarks": 0}, "landmarks must be at least 1, got 0"),
        ("nystrom", {"landmark_selection": "kmean"}, r"unknown aligner.landmark_selection 'kmean': did you mean"),
        ("nystrom", {"landmark_ridge": -1e-6}, "landmark_ridge must be at least 0"),
        ("nystrom", {"landmark_ridge": float("nan")}, "landmark_ridge must be at least 0"),
        ("nystrom", {"kernel": "rbf", "bandwidth": 0.0}, "bandwidth must be above 0, got 0.0"),
        ("random", {"kernel": "rbf", "bandwidth": float("nan")}, "bandwidth must be above 0, got nan"),
        ("random", {"kernel": "rbf", "landmarks": 11}, "must be even, got 11"),
        ("random", {"kernel": "linear"}, "take aligner.feature_map=identity$"),
        ("random", {"kernel": "cosine"}, "take aligner.feature_map=identity with aligner.unit=true"),
    ],
)
def test_mistakes_are_told_in_a_line(kind: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        feature_map(kind, 4, **(SETTINGS | changes))


@pytest.mark.parametrize("kind", ["identity", "nystrom", "random"])
def test_arguments_without_use_are_in_range_too(kind: str) -> None:
    for key, value in {"landmarks": 0, "landmark_selection": "none", "landmark_ridge": -1, "bandwidth": 0.0}.items():
        with pytest.raises(UserError, match=f"aligner.{key}"):
            feature_map(kind, 4, **(SETTINGS | {key: value}))


@pytest.mark.parametrize("kernel", WITH_RANDOM_FEATURES)
def test_random_features_approach_the_kernel_at_the_rate_of_a_mean(kernel: str) -> None:
    x = normal(12, 5)
    x[0] = 0
    exact = KERNELS[kernel](x, x, fitted_bandwidth(kernel, x, 0.7))
    errors = {}
    for features in (100, 6400):
        squared = []
        for seed in range(8):
            phi = fitted("random", x, seed, kernel=kernel, landmarks=features, bandwidth=0.7)(x)
            squared.append((phi @ phi.T - exact).square().mean())
        errors[features] = float(torch.stack(squared).mean().sqrt())
    assert errors[6400] < 0.03 * float(exact.diagonal().mean())
    assert 0.08 < errors[6400] / errors[100] < 0.2  # 1/8


@pytest.mark.parametrize("kernel", ["arc_cosine_0", "arc_cosine_1", "rbf"])
def test_orthogonal_directions_do_not_move_the_mean(kernel: str) -> None:
    """Many maps of few features each: their mean is the kernel."""
    x = normal(6, 4)
    exact = KERNELS[kernel](x, x, fitted_bandwidth(kernel, x, 1.0))
    maps = (fitted("random", x, seed, kernel=kernel, landmarks=8)(x) for seed in range(1000))
    mean = torch.stack([phi @ phi.T for phi in maps]).mean(0)
    torch.testing.assert_close(mean, exact, rtol=0, atol=0.05 * float(exact.max()))


def test_directions_are_orthogonal_in_blocks_and_as_long_as_gaussians() -> None:
    directions = orthogonal_gaussian(40, 100, draws())
    for block in directions.split(40, dim=1):
        products = normalize(block, dim=0).T @ normalize(block, dim=0)
        torch.testing.assert_close(products, torch.eye(block.shape[1], dtype=torch.float64), rtol=0, atol=1e-12)
    squared = directions.square().sum(0)  # chi-squared with 40 degrees of freedom
    assert float(squared.mean()) == pytest.approx(40, abs=3)
    assert float(squared.std()) == pytest.approx(80**0.5, abs=2.5)


@pytest.mark.parametrize("kernel", ["linear", "arc_cosine_1", "rbf"])
def test_nystrom_on_all_rows_gives_the_exact_kernel_solution(kernel: str) -> None:
    """The same solution from covariances of features and, in the oracle, from Gram matrices."""
    x, y = normal(30, 40), normal(45, 50, seed=1)
    y[:30] += x @ normal(40, 50, seed=2) / 3
    group = torch.arange(45) % 30
    positives = torch.arange(30)[:, None] == group
    new_x, new_y = normal(8, 40, seed=3), normal(9, 50, seed=4)
    weights = positives / positives.sum(1, keepdim=True) / 30 + positives / positives.sum(0) / 45
    sides = []
    for rows, new in ((x, new_x), (y, new_y)):
        built = fitted("nystrom", rows, kernel=kernel, landmarks=len(rows), landmark_ridge=1e-11)
        phi = built(rows)
        covariance = torch.cov(phi.T, correction=0)
        ridged = covariance + 0.3 * covariance.trace() / len(rows) * torch.eye(len(rows), dtype=torch.float64)
        values, vectors = torch.linalg.eigh(ridged)
        W = vectors * values.rsqrt() @ vectors.T
        sides.append(((phi - phi.mean(0)) @ W, (built(new) - phi.mean(0)) @ W))
    U, s, Vh = torch.linalg.svd(sides[0][0].T @ weights.double() @ sides[1][0])
    ours = normalize(sides[0][1] @ (U[:, :5] * s[:5] ** 0.5)) @ normalize(sides[1][1] @ (Vh[:5].T * s[:5] ** 0.5)).T
    gram_x, gram_y = (partial(KERNELS[kernel], bandwidth=fitted_bandwidth(kernel, rows, 1.0)) for rows in (x, y))
    grams = {40: gram_x, 50: gram_y}  # by the modality's dimension
    exact = exact_kernel_similarity(
        lambda a, b: grams[a.shape[1]](a, b), x, y, positives, new_x, new_y, lam=0.3, rank=5, weight_power=0.5
    )
    torch.testing.assert_close(ours, exact, rtol=0, atol=1e-6)


def test_kernels_with_a_scale_all_have_it_from_the_sample() -> None:
    x = normal(20, 4)
    for kernel in NEEDS_BANDWIDTH:
        for kind in ("nystrom", "random"):
            built = fitted(kind, x, kernel=kernel, bandwidth=2.0)
            assert float(built.fitted_bandwidth) == pytest.approx(fitted_bandwidth(kernel, x, 2.0)), (kind, kernel)
