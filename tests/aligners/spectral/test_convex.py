from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor
from torch.autograd.functional import hessian as autograd_hessian
from torch.autograd.functional import jacobian

from aligners.objectives.base import Objective
from aligners.objectives.pairwise import SigLIP
from aligners.objectives.softmax import CLIP, DCL, InfoNCE, UniCon
from aligners.spectral import convex
from aligners.spectral.convex import ConvexProblem, ConvexSolution, gap_of_another, solve

OBJECTIVES = [CLIP(0.5), InfoNCE(0.5), SigLIP(0.5, -2.0), DCL(0.5), UniCon(0.5, 1.0), UniCon(0.5, 0.5)]
IDS = ["clip", "info_nce", "siglip", "dcl", "unicon", "unicon_nu"]
GROUPS = {
    "one_to_one": (torch.arange(13), torch.arange(13)),
    "many_to_many": (torch.arange(11) % 7, torch.arange(17) % 7),
}

each_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=IDS)
each_pairing = pytest.mark.parametrize("pairing", GROUPS)


def problem(objective: Objective, pairing: str, rho: float = 0.05, block_size: int = 5, seed: int = 0) -> ConvexProblem:
    """A problem of (n_x, 4) and (n_y, 3) features: 12 unknowns."""
    x_group, y_group = GROUPS[pairing]
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(len(x_group), 4, dtype=torch.float64, generator=generator)
    B = torch.randn(len(y_group), 3, dtype=torch.float64, generator=generator)
    return ConvexProblem(objective, A - A.mean(0), B - B.mean(0), x_group, y_group, rho, block_size)


def some_z(seed: int = 1, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def dense(p: ConvexProblem, Z: Tensor) -> Tensor:
    """F by the whole matrix of logits."""
    return p.objective(p.A @ Z @ p.B.T, p.x_group[:, None] == p.y_group) + p.rho / 2 * Z.square().sum()


def newton(p: ConvexProblem) -> tuple[Tensor, float]:
    """The minimiser and the minimum, by a trust-region Newton method with autograd's Hessian."""

    def at(z: np.ndarray) -> Tensor:
        return torch.tensor(z).view(4, 3)

    def gradient(z: np.ndarray) -> np.ndarray:
        return jacobian(lambda Z: dense(p, Z), at(z)).flatten().numpy()

    def hessian(z: np.ndarray) -> np.ndarray:
        return autograd_hessian(lambda Z: dense(p, Z), at(z)).view(12, 12).numpy()

    z = minimize(lambda z: float(dense(p, at(z))), np.zeros(12), jac=gradient, hess=hessian, method="trust-exact").x
    for _ in range(3):  # to the last digits, where values no longer tell
        z = z - np.linalg.solve(hessian(z), gradient(z))
    assert np.linalg.norm(gradient(z)) < 1e-13
    return at(z), float(dense(p, at(z)))


@each_objective
@each_pairing
def test_value_and_gradient_are_those_of_the_whole_matrix(objective: Objective, pairing: str) -> None:
    p = problem(objective, pairing)
    Z = some_z().requires_grad_()
    expected = dense(p, Z)
    (gradient,) = torch.autograd.grad(expected, Z)
    with torch.no_grad():
        value, ours = p.evaluate(Z)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-13, atol=0)
    torch.testing.assert_close(ours, gradient, rtol=1e-12, atol=1e-14)


@each_objective
@each_pairing
def test_certificate_bounds_the_gap_at_every_iterate(objective: Objective, pairing: str) -> None:
    p = problem(objective, pairing)
    minimiser, minimum = newton(p)
    solution = solve(p, 1e-12, 200)
    assert solution.converged
    assert solution.gap <= 1e-10
    assert len(solution.iterates) > 3
    for iterate in solution.iterates:
        assert -1e-13 <= iterate.objective - minimum <= iterate.gap + 1e-13
    assert solution.iterates[0].objective == pytest.approx(float(dense(p, torch.zeros(4, 3).double())), rel=1e-13)
    assert solution.objective == pytest.approx(float(dense(p, solution.Z)), rel=1e-13)
    # strong convexity: rho/2 |Z - Z*|^2 <= F(Z) - F*
    assert p.rho / 2 * float((solution.Z - minimiser).square().sum()) <= solution.gap


@each_objective
def test_certificate_holds_anywhere(objective: Objective) -> None:
    p = problem(objective, "many_to_many")
    _, minimum = newton(p)
    for scale in (0.1, 1.0, 30.0):
        value, gradient = p.evaluate(some_z(scale=scale))
        assert 0 < float(value) - minimum <= p.gap(gradient)


@each_objective
@each_pairing
def test_it_falls_monotonically_and_stops_by_the_certificate(objective: Objective, pairing: str) -> None:
    solution = solve(problem(objective, pairing, rho=1e-4), 1e-9, 1000)
    values = [iterate.objective for iterate in solution.iterates]
    assert all(later < earlier for earlier, later in pairwise(values))
    reached = [iterate.gap <= 1e-9 * iterate.objective for iterate in solution.iterates]
    assert reached == [False] * (len(reached) - 1) + [True]
    assert solution.evaluations >= len(values)


def test_out_of_iterations_says_so() -> None:
    p = problem(CLIP(0.5), "many_to_many")
    solution = solve(p, 1e-12, 2)
    assert not solution.converged
    assert len(solution.iterates) == 3  # the start and two steps
    assert solution.gap == pytest.approx(p.gap(p.evaluate(solution.Z)[1]), rel=1e-9)


def test_beyond_rounding_it_ends_without_a_claim() -> None:
    solution = solve(problem(CLIP(0.5), "one_to_one"), 0.0, 1000)
    assert not solution.converged
    assert solution.gap < 1e-14


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(OBJECTIVES), st.sampled_from(sorted(GROUPS)), st.integers(0, 999), st.floats(0.05, 0.95))
def test_strongly_convex(objective: Objective, pairing: str, seed: int, t: float) -> None:
    p = problem(objective, pairing, seed=seed)
    Z0, Z1 = some_z(seed, 2.0), some_z(seed + 1, 2.0)
    (F0, _), (F1, _), (F, _) = p.evaluate(Z0), p.evaluate(Z1), p.evaluate((1 - t) * Z0 + t * Z1)
    chord = (1 - t) * F0 + t * F1
    assert chord - F >= p.rho / 2 * t * (1 - t) * (Z0 - Z1).square().sum() - 1e-12


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(OBJECTIVES), st.sampled_from(sorted(GROUPS)), st.integers(1, 20), st.integers(1, 5))
def test_blocks_and_processes_do_not_matter(objective: Objective, pairing: str, block_size: int, world: int) -> None:
    whole = problem(objective, pairing, block_size=100)
    value, gradient = whole.evaluate(some_z())
    p = problem(objective, pairing, block_size=block_size)
    penalty = p.rho / 2 * some_z().square().sum()
    with pytest.MonkeyPatch.context() as patch:
        shares = []
        for rank in range(world):
            patch.setattr(convex, "rank_and_world", lambda rank=rank: (rank, world))
            shares.append(p.evaluate(some_z()))
    torch.testing.assert_close(sum(v - penalty for v, _ in shares) + penalty, value, rtol=1e-13, atol=0)
    pulled = sum(g - p.rho * some_z() for _, g in shares)
    torch.testing.assert_close(pulled + p.rho * some_z(), gradient, rtol=1e-12, atol=1e-14)


def close(one: ConvexSolution, other: ConvexSolution) -> None:
    torch.testing.assert_close(one.Z, other.Z, rtol=0, atol=1e-6)
    assert one.objective == pytest.approx(other.objective, rel=1e-12)


@each_objective
def test_block_size_does_not_change_the_solution(objective: Objective) -> None:
    solutions = [solve(problem(objective, "many_to_many", block_size=b), 1e-13, 300) for b in (2, 7, 100)]
    for other in solutions[1:]:
        close(solutions[0], other)


@each_objective
def test_the_order_of_the_samples_does_not_matter(objective: Objective) -> None:
    p = problem(objective, "many_to_many")
    x, y = (torch.randperm(len(g), generator=torch.Generator().manual_seed(2)) for g in (p.x_group, p.y_group))
    permuted = ConvexProblem(objective, p.A[x], p.B[y], p.x_group[x], p.y_group[y], p.rho, p.block_size)
    close(solve(p, 1e-13, 300), solve(permuted, 1e-13, 300))


@pytest.mark.parametrize(
    ("objective", "rescaled", "power"), [(CLIP(0.2), CLIP(1.0), 1), (SigLIP(0.2, -2.0), SigLIP(1.0, -2.0), 2)]
)
def test_the_temperature_is_a_scale_of_the_solution(objective: Objective, rescaled: Objective, power: int) -> None:
    tau, rho = 0.2, 0.05
    one = solve(problem(objective, "many_to_many", rho), 1e-13, 300)
    other = solve(problem(rescaled, "many_to_many", rho * tau**power), 1e-13, 300)
    torch.testing.assert_close(one.Z / tau, other.Z, rtol=0, atol=1e-5)


def test_a_heavy_penalty_leaves_the_cross_covariance() -> None:
    p = problem(CLIP(0.5), "many_to_many", rho=1e6)
    positives = p.x_group[:, None] == p.y_group
    S = p.objective.weights(torch.zeros(positives.shape, dtype=torch.float64), positives)
    torch.testing.assert_close(solve(p, 1e-25, 100).Z * p.rho, p.A.T @ S @ p.B, rtol=1e-4, atol=1e-9)


@each_objective
@each_pairing
@pytest.mark.parametrize("iterations", [2, 1000])
def test_the_gap_of_a_low_rank_holds_and_is_tight(objective: Objective, pairing: str, iterations: int) -> None:
    p = problem(objective, pairing)
    _, minimum = newton(p)
    solution = solve(p, 1e-10, iterations)
    U, s, Vt = torch.linalg.svd(solution.Z, full_matrices=False)
    Z_1 = s[0] * torch.outer(U[:, 0], Vt[0])
    bound, suboptimality = gap_of_another(p, solution, Z_1), float(dense(p, Z_1)) - minimum
    assert suboptimality > 1e-6  # rank 1 loses something
    assert suboptimality <= bound + 1e-12 <= suboptimality + solution.gap + 1e-10
    _, gradient = p.evaluate(Z_1)
    assert suboptimality <= p.gap(gradient)
