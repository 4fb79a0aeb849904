import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aligners.objectives import CLIP, InfoNCE, Objective, SigLIP, Triplet, smooth_objective
from errors import UserError

OBJECTIVES: list[Objective] = [
    InfoNCE(0.07),
    CLIP(0.01),
    CLIP(0.1),
    CLIP(1.0),
    SigLIP(0.1, -10.0),
    SigLIP(1.0, 0.0),
    Triplet(0.2),
]


def problem(n_groups: int, n_x: int, n_y: int, seed: int) -> tuple[Tensor, Tensor]:
    """Cosines and positives where every row and column has a positive."""
    generator = torch.Generator().manual_seed(seed)
    similarity = 2 * torch.rand(n_x, n_y, generator=generator, dtype=torch.float64) - 1
    x_group = torch.arange(n_x) % n_groups
    y_group = torch.arange(n_y) % n_groups
    return similarity, x_group[:, None] == y_group[None]


def autograd_weights(objective: Objective, similarity: Tensor, positives: Tensor) -> Tensor:
    s = similarity.clone().requires_grad_()
    return -torch.autograd.grad(objective(s, positives), s)[0]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
@given(n_groups=st.integers(1, 6), more_x=st.integers(0, 5), more_y=st.integers(0, 9), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_weights_are_minus_the_gradient(
    objective: Objective, n_groups: int, more_x: int, more_y: int, seed: int
) -> None:
    similarity, positives = problem(n_groups, n_groups + more_x, n_groups + more_y, seed)
    expected = autograd_weights(objective, similarity, positives)
    torch.testing.assert_close(objective.weights(similarity, positives), expected, rtol=0, atol=1e-10)


def asymmetric_problem() -> tuple[Tensor, Tensor]:
    similarity, _ = problem(5, 5, 5, 3)
    positives = torch.eye(5, dtype=torch.bool)
    positives[0, 3] = positives[2, 1] = True
    return similarity, positives


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
def test_weights_with_asymmetric_positives(objective: Objective) -> None:
    similarity, positives = asymmetric_problem()
    expected = autograd_weights(objective, similarity, positives)
    torch.testing.assert_close(objective.weights(similarity, positives), expected, rtol=0, atol=1e-10)


def test_clip_is_torchs_cross_entropy() -> None:
    similarity, positives = problem(7, 7, 7, 0)
    target = torch.arange(7)
    cross_entropy = torch.nn.functional.cross_entropy
    expected = (cross_entropy(similarity / 0.1, target) + cross_entropy(similarity.T / 0.1, target)) / 2
    assert CLIP(0.1)(similarity, positives).item() == pytest.approx(0.1 * expected.item(), rel=1e-12)


def test_clip_weights_by_formula_and_sum_to_zero() -> None:
    similarity, positives = problem(4, 4, 4, 1)
    q_r, q_c = torch.softmax(similarity / 0.2, 1), torch.softmax(similarity / 0.2, 0)
    expected = (2 * torch.eye(4, dtype=torch.float64) - q_r - q_c) / 8
    torch.testing.assert_close(CLIP(0.2).weights(similarity, positives), expected.double())
    rectangular = CLIP(0.2).weights(*problem(4, 6, 11, 2))
    assert abs(rectangular.sum().item()) < 1e-15


def test_clip_at_equal_similarities_is_log_n() -> None:
    positives = torch.eye(9, dtype=torch.bool)
    value = CLIP(0.5)(torch.zeros(9, 9, dtype=torch.float64), positives)
    assert value.item() == pytest.approx(0.5 * math.log(9))


def test_siglip_by_hand() -> None:
    similarity = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    positives = torch.tensor([[True, False]])
    loss = SigLIP(0.1, -1.0).rows(similarity, positives)
    expected = math.log(1 + math.exp(-(3.0 - 1.0))) + math.log(1 + math.exp(-2.0 - 1.0))
    assert loss.item() == pytest.approx(expected)


def test_triplet_by_hand() -> None:
    similarity = torch.tensor([[0.9, 0.8, 0.1], [0.0, 0.5, 0.4], [0.2, 0.1, 0.3]], dtype=torch.float64)
    positives = torch.eye(3, dtype=torch.bool)
    rows = [0.1, 0.1, 0.1]  # m=0.2: [0.2+0.8-0.9] ; [0.2+0.4-0.5] ; [0.2+0.2-0.3] + [0.2+0.1-0.3]
    columns = [0.0, 0.5, 0.3]  # [.2+.8-.5] ; [.2+.4-.3]
    assert Triplet(0.2)(similarity, positives).item() == pytest.approx((sum(rows) + sum(columns)) / 6)


def test_triplet_weights_by_formula() -> None:
    s, positives = problem(6, 6, 6, 5)
    off = ~torch.eye(6, dtype=torch.bool)
    T = (off & (0.3 + s - s.diagonal()[:, None] > 0)).double()
    U = (off & (0.3 + s - s.diagonal()[None, :] > 0)).double()
    expected = -(T + U) / 12 + torch.diag(T.sum(1) + U.sum(0)) / 12
    torch.testing.assert_close(Triplet(0.3).weights(s, positives), expected)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        CLIP(0.1)(torch.zeros(2, 3), torch.ones(3, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="at least one positive"):
        CLIP(0.1).weights(torch.zeros(2, 2), torch.tensor([[True, False], [True, False]]))


def test_names_and_temperatures_are_checked() -> None:
    assert isinstance(smooth_objective("clip", 0.1), CLIP)
    with pytest.raises(UserError, match="did you mean 'clip'"):
        smooth_objective("cilp", 0.1)
    with pytest.raises(UserError, match="tau must be above 0, got 0"):
        smooth_objective("clip", 0.0)
