"""The metric of Nystrom features, in the precision that their ridge asks for."""

import pytest
import torch

from aligners.features.kernels import KERNELS
from aligners.features.landmarks import Size
from aligners.features.nystrom import Nystrom
from tests.aligners.spectral.drawn import normal


def fitted(kernel: str, ridge: float, landmarks: int = 60) -> Nystrom:
    built = Nystrom(kernel, 8, landmarks, "uniform", ridge, bandwidth=1.0)
    built.fit(normal(80, 8), torch.Generator().manual_seed(0))
    return built


@pytest.mark.parametrize(("ridge", "dtype"), [(1e-2, torch.float32), (1e-9, torch.float64)])
@pytest.mark.parametrize("kernel", ["arc_cosine_0", "arc_cosine_1", "rbf", "matern_12"])
def test_the_metric_is_the_ridged_kernel_matrix(kernel: str, ridge: float, dtype: torch.dtype) -> None:
    built = fitted(kernel, ridge)
    gram = KERNELS[kernel](built.landmarks, built.landmarks, float(built.fitted_bandwidth))
    gram.diagonal().copy_(KERNELS[kernel].diagonal(built.landmarks, float(built.fitted_bandwidth)))
    expected = gram + ridge * gram.diagonal().mean() * torch.eye(60).double()
    metric = built.metric
    assert metric.matrix.dtype == metric.factor.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(metric.matrix.double(), expected, rtol=0, atol=tolerance * float(expected.abs().max()))
    torch.testing.assert_close(
        (metric.factor @ metric.factor.T).double(), expected, rtol=0, atol=tolerance * float(expected.abs().max())
    )


@pytest.mark.parametrize("ridge", [1e-2, 1e-9])
@pytest.mark.parametrize("kernel", ["linear", "cosine"])
def test_a_bounded_kernel_has_no_more_features_than_dimensions(kernel: str, ridge: float) -> None:
    assert fitted(kernel, ridge).dim == 8


def test_landmarks_that_others_span_stay_where_the_ridge_tells_them_apart() -> None:
    rows = torch.cat([normal(30, 8), normal(30, 8) * (1 + 1e-12)])  # nearly each twice
    for ridge, dim in ((1e-2, 60), (0.0, 30)):
        built = Nystrom("rbf", 8, 60, "uniform", ridge, bandwidth=1.0)
        built.fit(rows, torch.Generator().manual_seed(0))
        assert built.dim == dim
        assert torch.isfinite(built(rows)).all()


def test_float32_features_are_those_of_float64() -> None:
    built, x = fitted("arc_cosine_1", 1e-2), normal(20, 8, seed=3)
    double, single = built(x), built(x.float())
    torch.testing.assert_close(single @ single.T, (double @ double.T).float(), rtol=1e-4, atol=1e-4)


def test_auto_counts_the_rows_of_the_split_not_of_the_sample() -> None:
    built = Nystrom("arc_cosine_1", 8, "auto", "uniform", 1e-2, bandwidth=1.0)
    sample = normal(3000, 8)
    assert built.sample_size([Size(10**6, 8)]) == 1024
    built.fit(sample, torch.Generator().manual_seed(0), [Size(10**6, 8)])
    assert built.dim == 1024
    built.fit(sample[:1500], torch.Generator().manual_seed(0))
    assert built.dim == 1500
