"""The departure of weights from uniform ones."""

import pytest
import torch

from aligners.objectives.softmax import CLIP
from report.figures.contrast_weights import departure


def test_equal_similarities_are_no_departure_and_give_the_centring_matrix() -> None:
    n = 6
    positives = torch.eye(n, dtype=torch.bool)
    uniform = CLIP(tau=1.0).weights(torch.zeros(n, n, dtype=torch.float64), positives)
    torch.testing.assert_close(uniform, (torch.eye(n) - 1 / n).double() / n)
    same = CLIP(tau=0.1).weights(torch.full((n, n), 0.7, dtype=torch.float64), positives)
    assert departure(same, uniform, positives) == pytest.approx((0, 0), abs=1e-12)


def test_departure_by_hand() -> None:
    positives = torch.eye(2, dtype=torch.bool)
    uniform = torch.tensor([[3.0, -1.0], [-1.0, 3.0]])
    weights = torch.tensor([[3.0, -1.5], [-1.0, 3.0]])
    far = departure(weights, uniform, positives)
    assert far.matrix == pytest.approx(100 * 0.5 / 20**0.5)
    assert far.negatives == pytest.approx(100 * 0.5 / 2**0.5)
    with pytest.raises(ValueError, match="one shape"):
        departure(weights, uniform[:1], positives)
