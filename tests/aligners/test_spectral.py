import pytest
import torch
from sklearn.cross_decomposition import PLSSVD
from torch import Tensor

from aligners import spectral
from aligners.objectives import CLIP
from errors import UserError


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moments_of(x: Tensor, y: Tensor, positives: Tensor) -> spectral.Moments:
    moments = spectral.Moments(x.shape[1], y.shape[1], len(x), len(y), "cpu")
    moments.add(x, y, positives)
    return moments


def grouped(n_groups: int, n_x: int, n_y: int) -> tuple[Tensor, Tensor]:
    return torch.arange(n_x) % n_groups, torch.arange(n_y) % n_groups


def test_moments_are_numpys_covariances_far_from_zero() -> None:
    x, y = normal(50, 4) + 1000, normal(50, 3, seed=1) - 500
    moments = moments_of(x, y, torch.eye(50, dtype=torch.bool))
    torch.testing.assert_close(moments.covariance_x, torch.cov(x.T, correction=0), rtol=0, atol=1e-8)
    joint = torch.cov(torch.cat([x, y], 1).T, correction=0)
    torch.testing.assert_close(moments.cross_covariance, joint[:4, 4:], rtol=0, atol=1e-8)


def test_moments_add_over_batches_of_whole_groups() -> None:
    x, y = normal(9, 4), normal(15, 3, seed=1)
    x_group, y_group = grouped(5, 9, 15)
    whole = moments_of(x, y, x_group[:, None] == y_group)
    parts = spectral.Moments(4, 3, 9, 15, "cpu")
    for groups in ([0, 3], [1], [4, 2]):
        i, j = torch.isin(x_group, torch.tensor(groups)), torch.isin(y_group, torch.tensor(groups))
        parts.add(x[i], y[j], x_group[i, None] == y_group[j])
    for ours, theirs in zip(parts.tensors(), whole.tensors(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_cross_moment_is_clips_weights_at_equal_similarities() -> None:
    x, y = normal(9, 4), normal(15, 3, seed=1)
    x_group, y_group = grouped(5, 9, 15)
    positives = x_group[:, None] == y_group
    S = CLIP(1.0).weights(torch.zeros(9, 15, dtype=torch.float64), positives)
    expected = (x - x.mean(0)).T @ S @ (y - y.mean(0))
    torch.testing.assert_close(moments_of(x, y, positives).cross_covariance, expected)


@pytest.mark.parametrize("lam", [0.0, 0.1, 3.0])
def test_whitening_makes_the_ridged_covariance_the_identity(lam: float) -> None:
    x = normal(40, 6) @ normal(6, 6, seed=2)
    covariance = torch.cov(x.T, correction=0)
    W = spectral.whitening(covariance, 1.0, lam)
    ridged = covariance + lam * covariance.trace() / 6 * torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(W.T @ ridged @ W, torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-10)


def test_whitening_of_constant_or_dependent_features() -> None:
    with pytest.raises(UserError, match="features that vary"):
        spectral.whitening(torch.full((3, 3), 1e-17, dtype=torch.float64), 1.0, 0.1)
    x = normal(4, 9)  # fewer rows than dimensions, and a constant column
    x[:, 0] = 5
    covariance = torch.cov(x.T, correction=0)
    with pytest.raises(UserError, match="take a larger"):
        spectral.whitening(covariance, 1.0, 0.0)
    assert torch.isfinite(spectral.whitening(covariance, 1.0, 0.1)).all()


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (6, 6)])
def test_truncated_svd_is_torchs(shape: tuple[int, int]) -> None:
    matrix = normal(*shape)
    factors = spectral.truncated_svd(matrix, 3)
    U, s, Vh = torch.linalg.svd(matrix)
    torch.testing.assert_close(factors.s, s[:3])
    torch.testing.assert_close(factors.U * factors.s @ factors.V.T, U[:, :3] * s[:3] @ Vh[:3])
    torch.testing.assert_close(factors.U.T @ factors.U, torch.eye(3, dtype=torch.float64))
    assert factors.gap == pytest.approx(float(s[2] / s[3]))
    assert (factors.U.gather(0, factors.U.abs().argmax(0, keepdim=True)) > 0).all()


def test_truncated_svd_says_which_rank_there_is() -> None:
    matrix = normal(8, 2) @ normal(2, 6, seed=1)
    with pytest.raises(UserError, match=r"rank 3 is above what the data allows.*aligner.rank=2 or less"):
        spectral.truncated_svd(matrix, 3)


def test_without_whitening_it_is_scikit_learns_pls() -> None:
    x, y = normal(60, 7), normal(60, 5, seed=1)
    y[:, :3] += x[:, :3]
    moments = moments_of(x, y, torch.eye(60, dtype=torch.bool))
    factors = spectral.uniform_solution(moments, *spectral.identities(moments), 3)
    oracle = PLSSVD(n_components=3, scale=False).fit(x.numpy(), y.numpy())
    for ours, theirs in ((factors.U, oracle.x_weights_), (factors.V, oracle.y_weights_)):
        overlap = (ours * torch.as_tensor(theirs)).sum(0).abs()
        torch.testing.assert_close(overlap, torch.ones(3, dtype=torch.float64))


def test_with_whitening_singular_values_are_the_canonical_correlations() -> None:
    x, y = normal(80, 4), normal(80, 3, seed=1)
    y[:, 0] += 2 * x[:, 1]
    moments = moments_of(x, y, torch.eye(80, dtype=torch.bool))
    W_x, W_y = spectral.whitenings(moments, 0.0)
    factors = spectral.uniform_solution(moments, W_x, W_y, 3)
    a, b = (x - x.mean(0)) @ W_x @ factors.U, (y - y.mean(0)) @ W_y @ factors.V
    correlations = torch.stack([torch.corrcoef(torch.stack([a[:, k], b[:, k]]))[0, 1] for k in range(3)])
    Q_x, Q_y = torch.linalg.qr(x - x.mean(0)).Q, torch.linalg.qr(y - y.mean(0)).Q
    expected = torch.linalg.svdvals(Q_x.T @ Q_y)  # cosines of the angles between the column spaces
    torch.testing.assert_close(correlations, expected)


def test_tangent_step_is_the_projection_and_keeps_rank() -> None:
    factors = spectral.truncated_svd(normal(9, 7), 2)
    C = normal(9, 7, seed=4)
    step = spectral.tangent_step(factors, C @ factors.V, C.T @ factors.U)
    U, V = factors.U, factors.V
    expected = U @ U.T @ C + C @ V @ V.T - U @ U.T @ C @ V @ V.T
    plane_x, plane_y = torch.cat([U, step.Q_x], 1), torch.cat([V, step.Q_y], 1)
    tangent = plane_x @ step.tangent @ plane_y.T
    torch.testing.assert_close(tangent, expected / expected.norm())
    for plane in (plane_x, plane_y):
        torch.testing.assert_close(plane.T @ plane, torch.eye(4, dtype=torch.float64))
    moved = spectral.rotated(factors, step, *step.take(factors.s, 0.25))
    matrix = 0.75 * U * factors.s @ V.T + 0.25 * expected / expected.norm()
    best = spectral.truncated_svd(matrix, 2)
    torch.testing.assert_close(moved.U * moved.s @ moved.V.T, best.U * best.s @ best.V.T)


def test_tangent_step_where_no_direction_is_left_beside() -> None:
    factors = spectral.truncated_svd(normal(3, 8), 3)
    C = normal(3, 8, seed=1)
    step = spectral.tangent_step(factors, C @ factors.V, C.T @ factors.U)
    assert step.Q_x.shape == (3, 0)
    assert step.Q_y.shape == (8, 3)
    assert torch.isfinite(step.tangent).all()
