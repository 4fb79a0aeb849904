import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import softplus
from torch.utils._python_dispatch import TorchDispatchMode

from aligners.objectives.base import Objective
from aligners.objectives.general import GeneralContrastive
from aligners.objectives.pairwise import Triplet
from aligners.objectives.softmax import CLIP, DCL, InfoNCE, UniCon
from tests.aligners.objectives.small_problems import (
    assert_weights_are_minus_the_gradient,
    asymmetric,
    autograd_weights,
    problem,
    sizes,
)


def eq_2(s: Tensor, positives: Tensor, tau: float, nu: float) -> float:
    """UniCon Eq. (2) as it is written, in three nested loops."""
    total = 0.0
    for matrix, mask in ((s, positives), (s.T, positives.T)):
        for row, positive in zip(matrix.tolist(), mask.tolist(), strict=True):
            ks = [k for k, is_positive in enumerate(positive) if is_positive]
            for k in ks:
                denominator = sum(
                    math.exp((row[j] - nu * row[k]) / tau) for j in range(len(row)) if j == k or not positive[j]
                )
                total += tau * math.log(denominator) / len(ks) / (2 * len(matrix))
    return total


@given(**sizes, density=st.sampled_from([0.0, 0.3, 1.0]), nu=st.floats(-1, 3), tau=st.sampled_from([0.01, 0.1, 1.0]))
@settings(max_examples=60, deadline=None)
def test_unicon_is_eq_2(n_x: int, n_y: int, seed: int, density: float, nu: float, tau: float) -> None:
    s, positives = asymmetric(n_x, n_y, density, seed)
    expected = eq_2(s, positives, tau, nu)
    assert UniCon(tau, nu)(s, positives).item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_unicon_weights_by_the_printed_formula() -> None:
    """E, N, B, A of Eq. (3)-(6), direct exponentials."""
    s, positives = asymmetric(6, 10, 0.3, 2)
    tau, nu = 0.3, 1.4

    def row_part(s: Tensor, positives: Tensor) -> Tensor:
        E, B, P = torch.exp(s / tau), torch.exp(-nu * s / tau), positives.double()
        N = (E * (1 - P)).sum(1, keepdim=True)
        A = B * N + torch.exp((1 - nu) * s / tau)
        at_positives = ((1 - nu) * torch.exp((1 - nu) * s / tau) - nu * B * N) / A
        at_negatives = E * (P * B / A).sum(1, keepdim=True)
        return torch.where(positives, at_positives, at_negatives) / P.sum(1, keepdim=True)

    expected = -row_part(s, positives) / 12 - row_part(s.T, positives.T).T / 20
    torch.testing.assert_close(UniCon(tau, nu).weights(s, positives), expected, rtol=0, atol=1e-14)


def test_unicon_with_one_positive_a_row() -> None:
    """nu = 1: its rows are InfoNCE's; its columns are those of CLIP only where they, too, have one positive."""
    one_to_one = problem(8, 8, 8, 3)
    unicon, clip = UniCon(0.1, 1.0), CLIP(0.1)
    assert unicon(*one_to_one).item() == pytest.approx(clip(*one_to_one).item(), rel=1e-13)
    torch.testing.assert_close(unicon.weights(*one_to_one), clip.weights(*one_to_one))
    s, positives = many_to_one = problem(4, 12, 4, 3)
    torch.testing.assert_close(unicon.rows(*many_to_one), InfoNCE(0.1).rows(*many_to_one))
    torch.testing.assert_close(unicon.row_weights(*many_to_one), InfoNCE(0.1).row_weights(*many_to_one))
    assert (unicon.rows(s.T, positives.T) < clip.rows(s.T, positives.T)).all()  # fewer terms in the denominator


def test_unicon_is_not_supcon_with_several_positives() -> None:
    many = problem(6, 12, 30, 0)
    supcon, unicon = CLIP(0.1).weights(*many), UniCon(0.1, 1.0).weights(*many)
    assert 0.1 < ((supcon - unicon).norm() / supcon.norm()).item() < 1


@given(**sizes, nu=st.sampled_from([0.1, 1.0, 2.5]), density=st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=30, deadline=None)
def test_sums_of_the_weights(n_x: int, n_y: int, seed: int, nu: float, density: float) -> None:
    """A shift of all similarities changes UniCon by (1 - nu) times it, and CLIP and DCL not at all."""
    s, positives = asymmetric(n_x, n_y, density, seed)
    for objective, total in ((UniCon(0.05, nu), nu - 1), (CLIP(0.05), 0), (DCL(0.05), 0)):
        row_sums = objective.row_weights(s, positives).sum(1)
        torch.testing.assert_close(row_sums, torch.full_like(row_sums, total), rtol=0, atol=1e-13)
        assert objective.weights(s, positives).sum().item() == pytest.approx(total, abs=1e-13)


def test_dcl_by_hand() -> None:
    s = torch.tensor([[0.5, 0.1, -0.3, 0.2]], dtype=torch.float64)
    positives = torch.tensor([[True, False, False, True]])
    e, f = math.exp(0.1 / 0.2), math.exp(-0.3 / 0.2)
    assert DCL(0.2).rows(s, positives).item() == pytest.approx(0.2 * math.log(e + f) - 0.35, rel=1e-14)
    expected = torch.tensor([[0.5, -e / (e + f), -f / (e + f), 0.5]], dtype=torch.float64)
    torch.testing.assert_close(DCL(0.2).row_weights(s, positives), expected)


def test_rows_without_negatives() -> None:
    """DCL leaves them out; UniCon keeps its pull, which is none at nu = 1."""
    s = torch.tensor([[0.5, 0.1, -0.3]], dtype=torch.float64)
    positives = torch.ones(1, 3, dtype=torch.bool)
    for objective, value, weights in (
        (DCL(0.01), 0, [0, 0, 0]),
        (UniCon(0.01, 1.0), 0, [0, 0, 0]),
        (UniCon(0.01, 2.5), -0.15, [0.5, 0.5, 0.5]),
    ):
        assert objective.rows(s, positives).item() == pytest.approx(value, abs=1e-15)
        expected = torch.tensor([weights], dtype=torch.float64)
        torch.testing.assert_close(objective.row_weights(s, positives), expected, rtol=0, atol=1e-15)


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


@pytest.mark.parametrize("objective", [CLIP(0.1), UniCon(0.1, 1.2), DCL(0.1)], ids=lambda o: type(o).__name__)
def test_memory_is_quadratic(objective: Objective) -> None:
    s, positives = problem(3, 30, 60, 0)
    with Largest() as largest:
        objective.weights(s, positives)
        autograd_weights(objective, s, positives)
    assert largest.elements == s.numel()


def permuted(n: int, seed: int) -> tuple[Tensor, Tensor]:
    s, positives = problem(n, n, n, seed)
    return s, positives[torch.randperm(n, generator=torch.Generator().manual_seed(seed))]


def exp_family(tau: float, eps: tuple[float, float]) -> GeneralContrastive:
    return GeneralContrastive(lambda t: tau * torch.log(t), lambda t: torch.exp(t / tau), 1.0, eps)


def hinge_family(margin: float) -> GeneralContrastive:
    return GeneralContrastive(lambda t: t, lambda t: torch.relu(margin + t), 1.0, (0.0, 1.0))


@pytest.mark.parametrize(
    ("family", "objective"),
    [
        (exp_family(0.1, (1.0, 1.0)), CLIP(0.1)),
        (exp_family(0.1, (0.0, 1.0)), DCL(0.1)),
        (hinge_family(0.3), Triplet(0.3)),
    ],
    ids=["clip", "dcl", "triplet"],
)
@given(n=st.integers(2, 8), seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_members_of_the_family(family: GeneralContrastive, objective: Objective, n: int, seed: int) -> None:
    s, positives = permuted(n, seed)
    assert family(s, positives).item() == pytest.approx(objective(s, positives).item(), rel=1e-12, abs=1e-14)
    expected = objective.weights(s, positives)
    torch.testing.assert_close(family.weights(s, positives), expected, rtol=0, atol=1e-12)


MATRIX = torch.rand(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("eps", [(0.3, 0.7), MATRIX], ids=["pair", "matrix"])
@pytest.mark.parametrize("given_derivatives", [True, False])
@pytest.mark.parametrize("nu", [1.0, 1.3])
def test_family_weights(eps: tuple[float, float] | Tensor, given_derivatives: bool, nu: float) -> None:
    derivatives = (lambda t: 1 / (1 + t), torch.sigmoid) if given_derivatives else (None, None)
    family = GeneralContrastive(torch.log1p, softplus, nu, eps, *derivatives)
    s, positives = permuted(5, 1)
    with torch.no_grad():
        family.weights(s, positives)  # autograd of phi and psi alone works here, too
    assert_weights_are_minus_the_gradient(family, s, positives)


def test_family_by_the_printed_formula() -> None:
    """a_ij, b_ij of UniCon with an eps that is not symmetric: it belongs to the anchor in both directions."""
    s, positives = problem(5, 5, 5, 4)
    nu = 1.3
    diagonal = s.diagonal()[:, None]
    a = MATRIX / (1 + (MATRIX * softplus(s - nu * diagonal)).sum(1, True)) * torch.sigmoid(s - nu * diagonal)
    b = MATRIX / (1 + (MATRIX * softplus(s.T - nu * diagonal)).sum(1, True)) * torch.sigmoid(s.T - nu * diagonal)
    expected = -(a + b.T) / 10
    expected.diagonal().copy_((nu * (a + b).sum(1) / 2 - (a + b).diagonal() / 2) / 5)
    family = GeneralContrastive(torch.log1p, softplus, nu, MATRIX)
    torch.testing.assert_close(family.weights(s, positives), expected)
    value = torch.log1p((MATRIX * softplus(s - nu * diagonal)).sum(1)).mean()
    value = value + torch.log1p((MATRIX * softplus(s.T - nu * diagonal)).sum(1)).mean()
    assert family(s, positives).item() == pytest.approx(value.item() / 2, rel=1e-13)


def test_family_by_blocks_of_rows() -> None:
    s, positives = permuted(7, 5)
    family = GeneralContrastive(torch.log1p, softplus, 1.0, (0.5, 1.0))
    blocks = [family.row_weights(s[rows], positives[rows]) for rows in torch.arange(7).split(3)]
    torch.testing.assert_close(torch.cat(blocks), family.row_weights(s, positives))


def test_the_family_refuses_what_it_does_not_hold() -> None:
    pair = GeneralContrastive(torch.log1p, softplus, 1.0, (1.0, 1.0))
    for groups, n_x, n_y in ((3, 3, 6), (3, 6, 3), (3, 6, 6)):
        for face in (pair, pair.weights):
            with pytest.raises(ValueError, match="one-to-one"):
                face(*problem(groups, n_x, n_y, 0))
    matrix = GeneralContrastive(torch.log1p, softplus, 1.0, MATRIX)
    s, positives = problem(5, 5, 5, 0)
    with pytest.raises(ValueError, match=r"eps is \(5, 5\), the similarities \(2, 5\)"):
        matrix.rows(s[:2], positives[:2])
