"""Losses of transport and RINCE: values by hand, gradients, limits, and what they have in common."""

import inspect
import math

import pytest
import torch
from torch import Tensor

from aligners.objectives import InfoNCE, domain_plan, gca_ince, named_objective, positive_plan
from aligners.objectives.base import Objective
from aligners.objectives.coupling import DenseCoupling
from aligners.objectives.names import OBJECTIVES
from aligners.objectives.robust import RINCE
from aligners.objectives.sinkhorn import DenseKernel, plan, sinkhorn
from aligners.objectives.transport import Transport, log_kernel
from ground.errors import UserError
from tests.aligners.objectives.small_problems import assert_weights_are_minus_the_gradient, asymmetric, problem

COSINES = torch.tensor([[0.9, 0.1, -0.3, 0.2], [0.0, 0.7, 0.4, -0.5], [-0.2, 0.3, 0.8, 0.5]], dtype=torch.float64)
POSITIVES = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]], dtype=torch.bool)
BY_HAND = [
    ("ince", {}, 0.34743721451864),
    ("rince", {"lam": 0.01, "q": 0.6}, -3.76098239666713),
    ("gca_ince", {"iterations": 2}, 0.41673327613502),
    ("gca_rince", {"iterations": 2, "lam": 0.01, "q": 0.6}, -1.17479768552567),
    ("gca_uot", {"iterations": 2, "unbalanced": 0.2, "entropy_sign": 1}, 1.42893019838061),
    ("gca_uot", {"iterations": 2, "unbalanced": 0.2, "entropy_sign": -1}, -0.54357718009077),
    ("iot", {"iterations": 2}, 0.74608843123478),
    ("iot_uni", {"iterations": 2, "uniformity": 0.2}, 0.75718738152515),
]
"""Values at eps 0.5, by scalings u and v of the kernel's own entries, in nested loops over numbers."""
FAMILY = [
    named_objective(name, tau, **options)
    for name, options, _ in BY_HAND
    for tau in (0.07, 0.5)
    if name != "ince"
]  # fmt: skip
each = pytest.mark.parametrize("objective", FAMILY, ids=lambda o: f"{type(o).__name__}-{o.tau}")


@pytest.mark.parametrize(("name", "options", "expected"), BY_HAND)
def test_values_by_hand(name: str, options: dict[str, float], expected: float) -> None:
    assert named_objective(name, 0.5, **options)(COSINES, POSITIVES).item() == pytest.approx(expected, abs=1e-13)


@each
@pytest.mark.parametrize("seed", [0, 1])
def test_weights_are_minus_the_gradient(objective: Objective, seed: int) -> None:
    for similarity, positives in (problem(4, 4, 4, seed), problem(3, 5, 7, seed), asymmetric(6, 5, 0.3, seed)):
        assert_weights_are_minus_the_gradient(objective, similarity, positives)


@each
def test_gradient_by_finite_differences(objective: Objective) -> None:
    similarity, positives = problem(3, 4, 5, 2)
    assert torch.autograd.gradcheck(lambda s: objective(s, positives), similarity.requires_grad_())


@each
def test_a_learned_temperature_has_the_gradient_of_the_value(objective: Objective) -> None:
    similarity, positives = problem(3, 4, 5, 3)
    unit = named_objective(name_of(objective), 1.0, **options_of(objective))
    scale = torch.tensor(1 / objective.tau, dtype=torch.float64)  # type: ignore[attr-defined]
    value = unit.of_cosines(similarity, positives, scale)
    assert value.item() == pytest.approx(objective(similarity, positives).item(), rel=1e-12)
    assert torch.autograd.gradcheck(lambda s: unit.of_cosines(similarity, positives, s), scale.requires_grad_())


def name_of(objective: Objective) -> str:
    return next(name for name, kind in OBJECTIVES.items() if kind is type(objective))


def options_of(objective: Objective) -> dict[str, float]:
    known = inspect.signature(type(objective)).parameters
    return {key: value for key, value in vars(objective).items() if key in known and key != "tau"}


@pytest.mark.parametrize(
    ("name", "options"),
    [("gca_ince", {}), ("iot", {}), ("iot_uni", {}), ("gca_uot", {}), ("gca_uot", {"unbalanced": 0.0})],
)
@pytest.mark.parametrize("given", [problem(4, 4, 4, 0), problem(3, 5, 8, 1), asymmetric(7, 4, 0.3, 2)])
def test_the_implicit_gradient_is_that_of_a_long_loop(
    name: str, options: dict[str, float], given: tuple[Tensor, Tensor]
) -> None:
    """In the cosines, and in a learned temperature."""
    unrolled = named_objective(name, 0.3, iterations=300, **options)
    implicit = named_objective(name, 0.3, iterations=300, tolerance=1e-13, **options)
    assert implicit(*given).item() == pytest.approx(unrolled(*given).item(), abs=1e-12)
    torch.testing.assert_close(implicit.weights(*given), unrolled.weights(*given), rtol=0, atol=1e-10)
    slopes = []
    for objective in (unrolled, implicit):
        scale = torch.tensor(1 / 0.3, dtype=torch.float64, requires_grad=True)
        objective.of_cosines(*given, scale).backward()  # type: ignore[no-untyped-call]
        assert scale.grad is not None
        slopes.append(scale.grad.item())
    assert slopes[0] == pytest.approx(slopes[1], abs=1e-9)


def test_a_tolerance_that_is_not_reached_leaves_the_loop() -> None:
    given = problem(3, 5, 8, 1)
    loop, early = (named_objective("iot", 0.1, iterations=3, tolerance=tolerance) for tolerance in (0.0, 1e-12))
    torch.testing.assert_close(early.weights(*given), loop.weights(*given), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("n_x", "n_y"), [(6, 6), (5, 9)])
def test_weights_at_convergence_by_formula(n_x: int, n_y: int) -> None:
    """T - P over eps and T's sum where T has the plan's marginals, whose rows and columns sum to 0; not elsewhere."""
    similarity, positives = problem(3, n_x, n_y, 4)
    T = positive_plan(positives, similarity)
    P = converged_plan(similarity, T.sum(1), T.sum(0), 0.5)
    S = named_objective("gca_ince", 0.5, iterations=300).weights(similarity, positives)
    torch.testing.assert_close(S, (T - P) / (0.5 * T.sum()), rtol=0, atol=1e-12)
    assert max(S.sum(0).abs().max().item(), S.sum(1).abs().max().item()) < 1e-12
    Q = converged_plan(similarity, torch.ones(n_x).double(), torch.full((n_y,), n_x / n_y).double(), 0.5)
    iot = named_objective("iot", 0.5, iterations=300).weights(similarity, positives)
    short = (T * n_x / T.sum() - Q) / (0.5 * n_x)
    assert ((iot - short).norm() / iot.norm() > 0.05) == (n_x != n_y)
    a, b = least_squares(Q, T)
    torch.testing.assert_close(iot, (T - Q * (a[:, None] + b)) / (0.5 * T.sum()), rtol=0, atol=1e-12)


def converged_plan(similarity: Tensor, mu: Tensor, nu: Tensor, eps: float) -> Tensor:
    kernel = DenseKernel(log_kernel(similarity, eps))
    return plan(kernel, *sinkhorn(kernel, mu.log(), nu.log(), 300))


def least_squares(P: Tensor, T: Tensor) -> tuple[Tensor, Tensor]:
    """The linear system of the weights, singular by a constant, by torch's own least squares."""
    system = torch.cat([torch.cat([P.sum(1).diag(), P], 1), torch.cat([P.T, P.sum(0).diag()], 1)])
    right = torch.cat([T.sum(1), T.sum(0)])
    solution = torch.linalg.lstsq(system, right[:, None], driver="gelsd").solution[:, 0]
    return solution[: len(P)], solution[len(P) :]


def test_ince_is_info_nce_and_gca_ince_after_one_step_over_rows() -> None:
    similarity, positives = problem(5, 5, 5, 5)
    ince = named_objective("ince", 0.2)
    assert type(ince) is InfoNCE
    kernel, T = DenseKernel(log_kernel(similarity, 0.2)), positives.double()
    P = plan(kernel, -kernel.rows(torch.zeros(5).double()), torch.zeros(5).double())
    divergence = (torch.xlogy(T, T / P) - T + P).sum()
    assert divergence.item() == pytest.approx(5 * ince(similarity, positives).item() / 0.2, rel=1e-12)


def test_gca_ince_takes_any_target() -> None:
    similarity, positives = problem(6, 6, 6, 6)
    domains = torch.arange(6) % 2
    T = domain_plan(positives, domains[:, None] == domains, a=0.3, b=0.1)
    P = converged_plan(similarity, T.sum(1), T.sum(0), 0.5)
    expected = (T * (T / P).log() - T + P).sum() / T.sum()
    assert gca_ince(similarity, T, 0.5, 300).item() == pytest.approx(expected.item(), rel=1e-12)
    assert gca_ince(similarity, 3 * T, 0.5, 300).item() == pytest.approx(expected.item(), rel=1e-12)
    assert gca_ince(0.5 * T.log(), T, 0.5, 10).item() == pytest.approx(0, abs=1e-14)  # its own kernel reaches it
    leaf = similarity.requires_grad_()
    for tolerance in (0.0, 1e-13):
        (gradient,) = torch.autograd.grad(gca_ince(leaf, T, 0.5, 300, tolerance), leaf)
        torch.testing.assert_close(gradient, (P - T) / (0.5 * T.sum()), rtol=0, atol=1e-11)


def test_one_to_one_iot_is_gca_ince() -> None:
    given = problem(5, 5, 5, 7)
    iot, ince = (named_objective(name, 0.2, iterations=4)(*given).item() for name in ("iot", "gca_ince"))
    assert iot == pytest.approx(ince, rel=1e-13)


def test_iot_uni_adds_nothing_to_equal_negatives() -> None:
    similarity, positives = problem(4, 4, 4, 0)
    equal = torch.where(positives, 0.8, 0.1).double()
    iot, uni = (named_objective(name, 0.2) for name in ("iot", "iot_uni"))
    assert uni(equal, positives).item() == pytest.approx(iot(equal, positives).item(), rel=1e-13)
    assert uni(similarity, positives) > iot(similarity, positives) + 1e-3
    everything = torch.ones(4, 4, dtype=torch.bool)
    assert uni(similarity, everything).item() == pytest.approx(iot(similarity, everything).item(), rel=1e-13)


def test_rince_without_a_power_is_info_nce() -> None:
    given, lam, tau = problem(6, 6, 6, 8), 0.3, 0.5
    almost = RINCE(tau, lam, 1e-7)(*given).item()
    assert almost == pytest.approx(InfoNCE(tau)(*given).item() / tau + math.log(lam), abs=1e-5)


def test_rince_weights_by_the_printed_formula() -> None:
    s, positives = problem(5, 5, 5, 9)
    q, lam, tau = 0.6, 0.2, 0.5
    Z = (s / tau).exp().sum(1, keepdim=True)
    diagonal = torch.diag((q * s.diagonal() / tau).exp())
    expected = (diagonal - lam**q * Z**q * torch.softmax(s / tau, 1)) / (5 * tau)
    torch.testing.assert_close(RINCE(tau, lam, q).weights(s, positives), expected)


def test_gca_rince_of_an_unscaled_kernel_is_rince() -> None:
    given, q, eps = problem(6, 6, 6, 10), 0.6, 0.4
    rince, gca = (named_objective(n, eps, q=q, lam=0.1, **o)(*given) for n, o in (("rince", {}), ("gca_rince", ONE)))
    assert gca.item() == pytest.approx(math.exp(-q / eps) * rince.item(), rel=1e-12)
    other = named_objective("gca_rince", eps, q=q, lam=0.1, iterations=5)(*given)
    assert abs(other.item() - gca.item()) > 1e-3


ONE = {"iterations": 1}


def test_unbalanced_transport_between_its_limits() -> None:
    similarity, positives = problem(4, 4, 6, 11)
    T, eps = positive_plan(positives, similarity), 0.5
    coupling = DenseCoupling(log_kernel(similarity, eps), T)

    def unbalanced(weight: float) -> tuple[Tensor, float]:
        marginals = T.sum(1).log(), T.sum(0).log()
        damping = weight / (weight + eps)
        P = plan(coupling, *sinkhorn(coupling, *marginals, 600, (damping, damping)))
        return P, named_objective("gca_uot", eps, iterations=600, unbalanced=weight)(similarity, positives).item()

    free, _ = unbalanced(0.0)
    assert torch.equal(free, coupling.log_K.exp())
    P, value = unbalanced(1e6)
    torch.testing.assert_close(P, converged_plan(similarity, T.sum(1), T.sum(0), eps), rtol=1e-5, atol=1e-6)
    entropy = -(P * (P.log() - 1)).sum() / T.sum()
    ince = named_objective("gca_ince", eps, iterations=300)(similarity, positives)
    assert value == pytest.approx((ince + eps * entropy).item(), abs=1e-5)


def test_options_out_of_range_are_refused() -> None:
    for name, option, value, words in (
        ("rince", "q", 1.5, "at most 1"),
        ("rince", "lam", 0.0, "above 0"),
        ("gca_ince", "iterations", 0, "at least 1"),
        ("gca_uot", "entropy_sign", 0, "1"),
        ("gca_uot", "unbalanced", -1.0, "at least 0"),
    ):
        with pytest.raises(UserError, match=rf"aligner\.objective_options\.{option} must be .*{words}"):
            named_objective(name, 0.5, **{option: value})


def test_single_precision_at_a_small_temperature() -> None:
    similarity, positives = problem(20, 40, 60, 12)
    for name in ("gca_ince", "gca_rince", "gca_uot", "iot", "iot_uni"):
        objective = named_objective(name, 0.02)
        assert isinstance(objective, Transport)
        single = objective(similarity.float(), positives)
        assert single.dtype == torch.float32
        assert single.item() == pytest.approx(objective(similarity, positives).item(), rel=1e-4, abs=1e-6)
