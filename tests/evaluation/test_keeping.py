"""Which pass is kept, without any fit."""

from typing import Literal

import pytest
import torch

from evaluation.keeping import Keeping
from ground.errors import UserError


def offered(keeping: Keeping, key: str, values: list[float]) -> Keeping:
    for number, value in enumerate(values):
        keeping.offer(number, {"mean_recall": 0.0, key: value}, {"w": torch.tensor(float(number))})
    return keeping


@pytest.mark.parametrize(
    ("key", "kept"), [("linear_probe/accuracy", 1), ("image_to_text/median_rank", 0), ("image_to_text/mrr", 1)]
)
def test_the_earliest_of_the_best_is_held_once(key: str, kept: int) -> None:
    keeping = offered(Keeping("best", key), key, [1.0, 3.0, 3.0, 2.0])
    assert keeping.number == kept
    weights = keeping.taken()
    assert weights is not None
    assert weights["w"] == kept
    assert keeping.taken() is None


def test_weights_are_a_copy() -> None:
    keeping, weight = Keeping("best", "mean_recall"), torch.zeros(1)
    keeping.offer(0, {"mean_recall": 1.0}, {"w": weight})
    weight += 1
    assert (keeping.taken() or {})["w"] == 0


@pytest.mark.parametrize("keep", ["best", "last"])
def test_an_unknown_metric_is_named(keep: Literal["best", "last"]) -> None:
    with pytest.raises(UserError, match=r"no validation metric 'linear_prob': did you mean 'linear_probe"):
        offered(Keeping(keep, "linear_prob"), "linear_probe/accuracy", [1.0])


def test_the_rule_in_words() -> None:
    assert Keeping("last", "mean_recall").rule == "last"
    assert Keeping("best", "mean_recall").rule == "best on validation"
    assert Keeping("best", "knn/accuracy").rule == "best knn/accuracy on validation"
    assert offered(Keeping("last", "mean_recall"), "mean_recall", [1.0]).taken() is None


def test_a_resumed_fit_goes_on_with_the_best_so_far() -> None:
    first = offered(Keeping("best", "mean_recall"), "mean_recall", [1.0, 3.0])
    second = Keeping("best", "mean_recall")
    second.load_state_dict(first.state_dict())
    second.offer(2, {"mean_recall": 2.0}, {"w": torch.tensor(2.0)})
    assert second.number == 1
    assert (second.taken() or {})["w"] == 1
    former = Keeping("best", "mean_recall")
    former.load_state_dict({"best": None, "best_recall": 2.0, "kept_pass": 0})
    former.offer(1, {"mean_recall": 1.0}, {})
    assert former.number == 0


def test_a_fit_does_not_go_on_by_another_metric() -> None:
    for state in (
        offered(Keeping("best", "mean_recall"), "mean_recall", [20.0]).state_dict(),
        {"best": None, "best_recall": 20.0, "kept_pass": 0},  # of a time when there was no other
    ):
        other = Keeping("best", "x_to_y/median_rank")
        other.begin()
        other.load_state_dict(state)
        with pytest.raises(UserError, match=r"evaluation\.select=mean_recall, this run has x_to_y/median_rank"):
            other.begin()
        same = Keeping("best", "mean_recall")
        same.load_state_dict(state)
        same.begin()
