from collections.abc import Callable

import pytest
import torch
from sklearn.cross_decomposition import PLSSVD
from torch import Tensor

from aligners import spectral
from aligners.spectral.coordinates import Statistics
from aligners.spectral.factors import orthonormal
from aligners.spectral.moments import Moments
from datamodules.pairs import PairBatch
from ground.errors import UserError
from tests.aligners.spectral.drawn import normal


def statistics_of(x: Tensor, y: Tensor) -> Statistics:
    moments = Moments(x.shape[1], y.shape[1], len(x), len(y), "cpu")
    moments.add(PairBatch(x, y, *(torch.arange(len(x)),) * 4))
    moments.tensors()
    return spectral.statistics(moments)


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (6, 6)])
@pytest.mark.parametrize("svd", spectral.SVD.values())
def test_truncated_svd_is_torchs(shape: tuple[int, int], svd: Callable[[Tensor, int], spectral.Factors]) -> None:
    matrix = normal(*shape)
    factors = svd(matrix, 3)
    U, s, Vh = torch.linalg.svd(matrix)
    torch.testing.assert_close(factors.s, s[:3])
    torch.testing.assert_close(factors.U * factors.s @ factors.V.T, U[:, :3] * s[:3] @ Vh[:3])
    torch.testing.assert_close(factors.U.T @ factors.U, torch.eye(3, dtype=torch.float64))
    assert factors.gap == pytest.approx(float(s[2] / s[3]))
    assert (factors.U.gather(0, factors.U.abs().argmax(0, keepdim=True)) > 0).all()


@pytest.mark.parametrize("svd", spectral.SVD.values())
def test_truncated_svd_says_which_rank_there_is(svd: Callable[[Tensor, int], spectral.Factors]) -> None:
    matrix = normal(8, 2) @ normal(2, 6, seed=1)
    with pytest.raises(UserError, match=r"rank 3 is above what the data allows.*aligner.rank=2 or less"):
        svd(matrix, 3)


def test_randomised_svd_of_a_wide_spectrum_is_as_good_as_the_exact_one() -> None:
    # singular values k^(-1/2), flatter than those of features; 10 of 400 directions
    U, V = torch.linalg.qr(normal(400, 400)).Q, torch.linalg.qr(normal(400, 400, seed=1)).Q
    s = torch.arange(1, 401, dtype=torch.float64) ** -0.5
    matrix = (U * s @ V.T)[:, :390]
    factors, exact = spectral.randomised_svd(matrix, 10), spectral.truncated_svd(matrix, 10)
    assert not torch.equal(factors.U, exact.U)  # it did go through the Krylov space
    torch.testing.assert_close(factors.s, exact.s, rtol=1e-6, atol=0)
    torch.testing.assert_close(factors.U, exact.U, rtol=0, atol=1e-3)
    torch.testing.assert_close(factors.V, exact.V, rtol=0, atol=1e-3)
    assert factors.gap == pytest.approx(exact.gap, rel=1e-3)


def test_positive_part_drops_negative_directions() -> None:
    Q = torch.linalg.qr(normal(5, 5)).Q
    matrix = Q * torch.tensor([3.0, -4.0, 2.0, 0.5, -1.0], dtype=torch.float64) @ Q.T
    factors = spectral.positive_part(matrix, 2)
    torch.testing.assert_close(factors.s, torch.tensor([3.0, 2.0], dtype=torch.float64))
    assert torch.equal(factors.U, factors.V)
    assert factors.gap == pytest.approx(4.0)
    with pytest.raises(UserError, match=r"rank 4 is above what the data allows.*aligner.rank=3 or less"):
        spectral.positive_part(matrix, 4)


def test_randomised_positive_part_is_as_good_as_the_exact_one() -> None:
    Q = torch.linalg.qr(normal(400, 400)).Q
    values = torch.arange(1, 401, dtype=torch.float64) ** -0.5
    values[::7] *= -1  # the largest of all is negative
    matrix = Q * values @ Q.T
    factors, exact = spectral.randomised_positive_part(matrix, 10), spectral.positive_part(matrix, 10)
    assert not torch.equal(factors.U, exact.U)  # it did go through the Krylov space
    assert torch.equal(factors.U, factors.V)
    torch.testing.assert_close(factors.s, exact.s, rtol=1e-6, atol=0)
    torch.testing.assert_close(factors.U, exact.U, rtol=0, atol=1e-3)
    assert factors.gap == pytest.approx(exact.gap, rel=1e-3)
    with pytest.raises(UserError, match="rank 40 is above"):
        spectral.randomised_positive_part(-(matrix @ matrix) + 5 * torch.outer(Q[:, 0], Q[:, 0]), 40)


def test_a_shared_step_stays_symmetric_and_positive() -> None:
    symmetric = normal(9, 9)
    factors = spectral.positive_part(symmetric @ symmetric.T, 2)
    C = normal(9, 9, seed=4)
    step = spectral.tangent_step(factors, C @ factors.V, C.T @ factors.U, shared=True)
    moved = spectral.rotated(factors, step, *step.trial(factors.s, 0.3))
    torch.testing.assert_close(moved.U, moved.V)
    assert (moved.s >= 0).all()
    plain = spectral.tangent_step(factors, (C + C.T) / 2 @ factors.V, (C + C.T) / 2 @ factors.U)
    torch.testing.assert_close(
        torch.cat([factors.U, step.Q_x], 1) @ step.direction @ torch.cat([factors.V, step.Q_y], 1).T,
        torch.cat([factors.U, plain.Q_x], 1) @ plain.direction @ torch.cat([factors.V, plain.Q_y], 1).T,
    )


def test_without_whitening_it_is_scikit_learns_pls() -> None:
    x, y = normal(60, 7), normal(60, 5, seed=1)
    y[:, :3] += x[:, :3]
    statistics = statistics_of(x, y)
    coordinates = statistics.coordinates(None)
    factors = spectral.uniform_solution(statistics.cross, coordinates.W_x, coordinates.W_y, 3)
    oracle = PLSSVD(n_components=3, scale=False).fit(x.numpy(), y.numpy())
    for ours, theirs in ((factors.U, oracle.x_weights_), (factors.V, oracle.y_weights_)):
        overlap = (ours * torch.as_tensor(theirs)).sum(0).abs()
        torch.testing.assert_close(overlap, torch.ones(3, dtype=torch.float64))


def test_with_whitening_singular_values_are_the_canonical_correlations() -> None:
    x, y = normal(80, 4), normal(80, 3, seed=1)
    y[:, 0] += 2 * x[:, 1]
    statistics = statistics_of(x, y)
    coordinates = statistics.coordinates(0.0)
    factors = spectral.uniform_solution(statistics.cross, coordinates.W_x, coordinates.W_y, 3)
    a, b = (x - x.mean(0)) @ (coordinates.W_x @ factors.U), (y - y.mean(0)) @ (coordinates.W_y @ factors.V)
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
    tangent = plane_x @ step.direction @ plane_y.T
    torch.testing.assert_close(tangent, expected / expected.norm())
    for plane in (plane_x, plane_y):
        torch.testing.assert_close(plane.T @ plane, torch.eye(4, dtype=torch.float64))
    moved = spectral.rotated(factors, step, *step.trial(factors.s, 0.25))
    matrix = 0.75 * U * factors.s @ V.T + 0.25 * expected / expected.norm()
    best = spectral.truncated_svd(matrix, 2)
    torch.testing.assert_close(moved.U * moved.s @ moved.V.T, best.U * best.s @ best.V.T)


def test_tangent_step_where_no_direction_is_left_beside() -> None:
    factors = spectral.truncated_svd(normal(3, 8), 3)
    C = normal(3, 8, seed=1)
    step = spectral.tangent_step(factors, C @ factors.V, C.T @ factors.U)
    assert step.Q_x.shape == (3, 0)
    assert step.Q_y.shape == (8, 3)
    assert torch.isfinite(step.direction).all()


def test_an_orthonormal_basis_is_that_of_a_qr_but_for_rounding() -> None:
    columns = torch.cat([normal(40, 5), 1e-3 * normal(40, 2, seed=1), torch.zeros(40, 1).double()], 1)
    basis = orthonormal(columns)
    Q, _ = torch.linalg.qr(columns[:, :7])
    assert basis.shape == (40, 7)
    torch.testing.assert_close(basis.T @ basis, torch.eye(7, dtype=torch.float64))
    torch.testing.assert_close(basis @ basis.T, Q @ Q.T)
    assert orthonormal(1e-9 * columns, scale=1.0).shape == (40, 0)


@pytest.mark.parametrize("most", [0, 40])
def test_a_float32_matrix_has_the_factors_of_float64_to_its_rounding(most: int) -> None:
    matrix = normal(700, 500) @ torch.diag(torch.linspace(1, 0, 500).double() ** 4)
    double, single = (spectral.randomised_svd(m, 12, most) for m in (matrix, matrix.float()))
    assert single.U.dtype == single.s.dtype == torch.float64
    torch.testing.assert_close(single.s[:12], double.s[:12], rtol=1e-5, atol=0)
    torch.testing.assert_close(single.U[:, :12], double.U[:, :12], rtol=0, atol=1e-3)
    assert single.U.shape[1] == max(12, most)
