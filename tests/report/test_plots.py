"""Curves of a run draw without a warning and hold what they should."""

import sys

import pytest

from report.figures.plots import loss_over_epochs, objective_over_passes, recall_over_passes, singular_values
from tests.report.drawing import draw


@pytest.mark.parametrize("n_steps", [1, 6])
def test_recall_over_passes(n_steps: int) -> None:
    history = [
        {
            "pass": i,
            "val/loss": 1.0,
            **{f"val/{way}/R@{k}": 10.0 * i + k for way in ("a_to_b", "b_to_a") for k in (1, 5, 10)},
        }
        for i in range(1, n_steps + 1)
    ]
    figure = recall_over_passes([*history, {"pass": n_steps + 1}], kept=1)
    assert {"pass 1, kept", "a to b", "b to a", "recall (%)", "pass", "R@1", "R@5", "R@10"} <= set(draw(figure))
    lines = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[1].lines}
    assert lines["R@5"] == [[i, 10.0 * i + 5] for i in range(1, n_steps + 1)]


def test_recall_without_recalls_is_refused() -> None:
    with pytest.raises(ValueError, match="no recall"):
        recall_over_passes([{"pass": 1, "loss": 2.0}])


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([3.0, 2.0, 1.0], "linear"),
        ([1.0, 1e-5], "log"),
        ([1.0, 0.0], "linear"),
        ([2.0], "linear"),
        ([], "linear"),
    ],
)
def test_singular_values(values: list[float], scale: str) -> None:
    figure = singular_values(values)
    draw(figure)
    assert figure.axes[0].get_yscale() == scale
    assert figure.axes[0].lines[0].get_ydata().tolist() == values


def test_objective_over_passes() -> None:
    figure = objective_over_passes([3.0, 2.0, 1.5], kept=1)
    assert {"pass", "objective", "pass 1, kept"} <= set(draw(figure))
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[0, 3.0], [1, 2.0], [2, 1.5]]


def test_loss_over_epochs_begins_with_the_first() -> None:
    figure = loss_over_epochs([3.0, 2.0, 1.5])
    texts = draw(figure)
    assert {"epoch", "objective"} <= set(texts)
    assert not any("kept" in text for text in texts)
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[1, 3.0], [2, 2.0], [3, 1.5]]


def test_no_global_state() -> None:
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
