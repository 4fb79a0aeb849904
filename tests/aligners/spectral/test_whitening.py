import pytest
import torch

from aligners.features.metric import Metric
from aligners.spectral.whitening import Whitening, spread, unwhitened, whitening
from ground.errors import UserError
from tests.aligners.spectral.drawn import normal


def identity(m: int) -> torch.Tensor:
    return torch.eye(m, dtype=torch.float64)


@pytest.mark.parametrize("lam", [0.0, 0.1, 3.0])
def test_whitening_makes_the_ridged_covariance_the_identity(lam: float) -> None:
    x = normal(40, 6) @ normal(6, 6, seed=2)
    covariance = torch.cov(x.T, correction=0)
    W = whitening(spread(covariance, x.mean(0), 1.0), lam)
    ridged = covariance + lam * covariance.trace() / 6 * identity(6)
    torch.testing.assert_close(W.T @ (ridged @ (W @ identity(6))), identity(6), rtol=0, atol=1e-10)
    assert 0.7 * torch.linalg.cond(ridged) < W.condition < 1.0001 * torch.linalg.cond(ridged)


def test_under_a_metric_it_is_the_whitening_of_the_metrics_features() -> None:
    # raw features with metric M have the features raw @ M^(-1/2)
    x, K = normal(50, 5), torch.linalg.cholesky(torch.cov(normal(9, 30, seed=3))[:5, :5])
    features = torch.linalg.solve_triangular(K, x.T, upper=False).T
    plain = whitening(spread(torch.cov(features.T, correction=0), features.mean(0), 1.0), 0.3)
    raw = whitening(spread(torch.cov(x.T, correction=0), x.mean(0), 1.0, Metric(K @ K.T, K)), 0.3)
    a, b = (x - x.mean(0)) @ (raw @ identity(5)), (features - features.mean(0)) @ (plain @ identity(5))
    torch.testing.assert_close(a @ a.T, b @ b.T)  # equal up to a rotation
    assert raw.condition == pytest.approx(plain.condition, rel=0.02)
    c = (x - x.mean(0)) @ (unwhitened(spread(torch.cov(x.T), x.mean(0), 1.0, Metric(K @ K.T, K))) @ identity(5))
    d = features - features.mean(0)
    torch.testing.assert_close(c @ c.T, d @ d.T)


def test_constant_or_dependent_features() -> None:
    with pytest.raises(UserError, match="features that vary"):
        spread(torch.full((3, 3), 1e-17, dtype=torch.float64), torch.zeros(3), 1.0)
    x = normal(4, 9)  # fewer rows than dimensions, and a constant column
    x[:, 0] = 5
    of = spread(torch.cov(x.T, correction=0), x.mean(0), 1.0)
    with pytest.raises(UserError, match="take a larger"):
        whitening(of, 0.0)
    W = whitening(of, 0.1)
    assert torch.isfinite(W @ identity(9)).all()
    assert W.condition < float("inf")


def test_the_identity() -> None:
    W = Whitening(None)
    assert W.condition == 1.0
    assert torch.equal(W.T @ identity(3), identity(3))


def test_what_float32_cannot_factor_float64_does() -> None:
    x = normal(300, 40)
    x[:, 20:] = x[:, :20] + 1e-5 * normal(300, 20, seed=1)  # a condition of 1e10
    covariance = torch.cov(x.T, correction=0)
    single = spread(covariance.float(), x.mean(0), 1.0)
    assert torch.linalg.cholesky_ex(single.covariance)[1] > 0
    W = whitening(single, 1e-8)
    assert W.factor is not None
    assert W.factor.dtype == torch.float64
    well = whitening(single, 0.1)
    ridged = covariance + 0.1 * covariance.trace() / 40 * identity(40)
    assert well.factor is not None
    assert well.factor.dtype == torch.float32
    torch.testing.assert_close(well.T @ (ridged @ (well @ identity(40))), identity(40), rtol=0, atol=1e-4)
