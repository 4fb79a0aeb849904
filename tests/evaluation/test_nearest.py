"""The nearest items, in order, and the class of the very nearest."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from evaluation.nearest import class_accuracy, nearest
from evaluation.scoring import own
from tests.evaluation.problems import integer_problem


@settings(max_examples=50, deadline=None)
@given(integer_problem(), st.integers(1, 17), st.integers(1, 20))
def test_nearest_is_a_stable_sort(problem: tuple[Tensor, Tensor, Tensor, Tensor], block_size: int, k: int) -> None:
    x, y = (t.double() for t in problem[:2])
    unit = [torch.nn.functional.normalize(t, dim=1) for t in (x, y)]
    cosine = (unit[0] @ unit[1].T * 2**20).round() / 2**20  # coarse enough to join whatever is equal
    ordered = cosine.sort(dim=1, descending=True, stable=True)
    scores, index = nearest(x, y, k, block_size)
    assert torch.equal(index, ordered.indices[:, :k])
    assert torch.allclose(scores.double(), ordered.values[:, :k], atol=1e-6)


def test_class_accuracy_by_hand() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    y = torch.tensor([[2.0, 0.1], [0.1, 3.0]])
    # x 2 is nearest to y 1 (cosine -0.03 against -1), which has another class
    got = class_accuracy(x, y, torch.tensor([7, 8, 7]), torch.tensor([7, 8]), "image", "text", 2)
    assert got["image_to_text/class_accuracy"] == pytest.approx(200 / 3)
    assert got["text_to_image/class_accuracy"] == 100
    assert got["class_accuracy"] == pytest.approx(250 / 3)


@pytest.mark.parametrize("block_size", [1, 3, 100])
def test_scores_of_any_size_and_sign_are_ordered_and_given_back(block_size: int) -> None:
    x = torch.tensor([[1.0], [-1.0], [0.0]])
    y = torch.tensor([[3e30], [-2.5], [0.0], [-0.0], [1e-30], [-4e30], [-2.5]])
    scores, index = nearest(x, y, 7, block_size, own(lambda a, b: a @ b.T))
    assert index.tolist() == [[0, 4, 2, 3, 1, 6, 5], [5, 1, 6, 2, 3, 4, 0], [0, 1, 2, 3, 4, 5, 6]]
    assert torch.equal(scores, (x @ y.T).gather(1, index))


def test_class_accuracy_by_a_score_of_ones_own() -> None:
    x, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[9.0, 1.0], [1.0, 0.5]])
    # the one of the larger difference of first entries: x 0 takes y 0, x 1 takes y 0; y 0 and y 1 take x 1
    scorer = own(lambda a, b: (b[None, :, 0] - a[:, None, 0]).abs())
    got = class_accuracy(x, y, torch.tensor([7, 8]), torch.tensor([7, 8]), "image", "text", 1, scorer)
    assert got["image_to_text/class_accuracy"] == 50
    assert got["text_to_image/class_accuracy"] == 50
