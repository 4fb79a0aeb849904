"""The anchor term against its formula, item by item."""

import pytest
import torch

from aligners.features.anchors import Anchors
from datamodules.pairs.arrays import pairs_of_tensors
from datamodules.pairs.pairs import Pairs
from tests.problems import random_features


def problem() -> Pairs:
    x, y, _ = random_features(9, 2, 5, 4, seed=0)
    x_of_y = torch.tensor([0, 0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 6, 6, 7, 8, 8, 8])  # one to four y an x
    return pairs_of_tensors(x, y, x_of_y=x_of_y[torch.randperm(18, generator=torch.Generator().manual_seed(0))])


def test_profiles_are_the_formula() -> None:
    pairs, t = problem(), 0.07
    anchors = Anchors()
    anchors.remember(pairs, 99, seed=0)
    x, y = pairs.x[:].double(), pairs.y[:].double()
    new_x, new_y = torch.randn(3, 5).double(), torch.randn(2, 4).double()

    def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a @ b) / (a.norm() * b.norm()))

    for j, row in enumerate(new_x):
        similar = torch.tensor([cosine(row - x.mean(0), each - x.mean(0)) for each in x]).double() / t
        expected = similar.softmax(0).sqrt()
        torch.testing.assert_close(anchors.x(new_x, t)[j].double(), expected, rtol=1e-4, atol=1e-5)
    for j, row in enumerate(new_y):
        of_y = [cosine(row - y.mean(0), each - y.mean(0)) for each in y]
        best = torch.tensor([max(of_y[k] for k in range(18) if pairs.x_of_y[k] == i) for i in range(9)]).double() / t
        torch.testing.assert_close(anchors.y(new_y, t)[j].double(), best.softmax(0).sqrt(), rtol=1e-4, atol=1e-5)


def test_some_items_and_those_without_y_are_left_out() -> None:
    x, y, _ = random_features(7, 1, 5, 4, seed=1)
    pairs = Pairs(x, y[:4], torch.tensor([0, 2, 2, 5]), torch.tensor([0, 0, 1, 1, 2, 2, 0]))
    anchors = Anchors()
    anchors.remember(pairs, 99, seed=0)
    assert anchors.slots.tolist() == [[0, 0], [1, 2], [3, 3]]
    few, again, other = Anchors(), Anchors(), Anchors()
    for each, seed in ((few, 0), (again, 0), (other, 1)):
        each.remember(problem(), 4, seed)
    assert len(few) == 4
    assert torch.equal(few.of_x, again.of_x)
    assert not torch.equal(few.of_x, other.of_x)


def test_a_shift_of_all_features_changes_nothing() -> None:
    pairs = problem()
    plain, moved = Anchors(), Anchors()
    plain.remember(pairs, 99, seed=0)
    moved.remember(Pairs(pairs.x[:] + 8, pairs.y[:] - 4, pairs.x_of_y, pairs.group), 99, seed=0)
    torch.testing.assert_close(moved.y(pairs.y[:] - 4, 0.1), plain.y(pairs.y[:], 0.1), rtol=0, atol=1e-4)


def test_no_rows_have_no_profiles() -> None:
    anchors = Anchors()
    anchors.remember(problem(), 99, seed=0)
    assert anchors.x(torch.zeros(0, 5), 0.1).shape == (0, 9)
    assert anchors.nbytes == pytest.approx(4 * (9 * 5 + 18 * 4 + 5 + 4) + 8 * 9 * anchors.slots.shape[1])
