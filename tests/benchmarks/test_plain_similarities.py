"""The objectives that stand in for UniCon's weights in an ablation."""

import pytest
import torch

from aligners.objectives import Objective
from aligners.objectives.base import minus_gradient
from aligners.objectives.softmax import CLIP
from benchmarks.plain_similarities import PlainNegatives, PlainSimilarities

GROUPS = torch.tensor([0, 1, 1, 2])
P = GROUPS[:, None] == torch.tensor([0, 0, 1, 2, 2, 2])


def similarities() -> torch.Tensor:
    return torch.rand(P.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5


@pytest.mark.parametrize("objective", [PlainSimilarities(), PlainNegatives(tau=0.2)])
def test_weights_are_minus_the_gradient(objective: Objective) -> None:
    s = similarities()
    torch.testing.assert_close(objective.weights(s, P), minus_gradient(objective, s, P), rtol=1e-10, atol=1e-12)


def test_plain_similarities_are_the_weights_up_to_scale() -> None:
    s = similarities()
    torch.testing.assert_close(PlainSimilarities().weights(s, P), s / s.numel())


def test_plain_negatives_are_clips_to_first_order() -> None:
    s, tau = 1e-4 * similarities(), 1.0
    plain, clip = PlainNegatives(tau).weights(s, P), CLIP(tau).weights(s, P)
    n_x, n_y = s.shape
    rows, columns = s.mean(1, keepdim=True) / tau, s.mean(0) / tau
    constant = (1 - rows) / (2 * n_x * n_y) + (1 - columns) / (2 * n_x * n_y)
    torch.testing.assert_close(plain - constant, clip, rtol=0, atol=1e-8)
    assert not torch.allclose(plain, clip, atol=1e-2)
