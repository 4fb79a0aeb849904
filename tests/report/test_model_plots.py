"""Norms and angles of models, on axes that fit them."""

import pytest

from report.figures.loss_plots import loss_over_passes
from report.figures.model_plots import model_over_passes, models_over_passes
from tests.report.drawing import draw


def record(*angles: float) -> list[dict[str, float]]:
    keys = [f"{kind}_angle_{side}" for kind in ("largest", "mean") for side in "xy"]
    start = {"pass": 0.0, "model_norm": 0.5}
    return [start, *({"pass": i, "model_norm": 0.6, **dict.fromkeys(keys, a)} for i, a in enumerate(angles, 1))]


@pytest.mark.parametrize(
    ("angles", "scale"), [([30.0, 3.0, 0.3], "log"), ([30.0, 20.0], "linear"), ([30.0, 0.0], "linear")]
)
def test_angles_that_fall_far_have_a_log_axis(angles: list[float], scale: str) -> None:
    alone = model_over_passes(record(*angles), kept=1, names=("image $x", "text"))
    assert {"image $x, largest", "text, mean", "pass 1, kept"} <= set(draw(alone))
    beside = models_over_passes({"a": [record(*angles)]}, "recall")
    draw(beside)
    assert alone.axes[1].get_yscale() == beside.axes[1].get_yscale() == scale
    assert len(beside.axes) == 2  # without a validation there is no panel of it


def test_a_norm_is_needed() -> None:
    with pytest.raises(ValueError, match="two passes at least is needed, got 1"):
        model_over_passes(record(), None, ("x", "y"))
    with pytest.raises(ValueError, match="no norm"):
        models_over_passes({"a": [[{"pass": 1, "mean_recall": 2.0}]]}, "recall")


def test_losses_fill_rows_of_three_panels() -> None:
    history = [{"pass": 1, "objective": 2.0}, {"pass": 2, "objective": 1.0}]
    figure = loss_over_passes({f"aligner {i}": {f"aligner {i}": [history]} for i in range(4)})
    assert {f"aligner {i}" for i in range(4)} <= set(draw(figure))
    assert [axes.axison for axes in figure.axes] == 4 * [True] + 2 * [False]
    with pytest.raises(ValueError, match="no training loss"):
        loss_over_passes({})
