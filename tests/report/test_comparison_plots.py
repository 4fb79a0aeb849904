"""Settings compared: means and intervals over seeds, axes that fit the numbers."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from report.figures.comparison_plots import accuracy_over_passes, metric_bars, metrics_against
from tests.report.drawing import draw


def history(values: Sequence[float], key: str = "mean_recall") -> list[dict[str, float]]:
    return [{"pass": i, key: value} for i, value in enumerate(values, 1)]


def line(axes: Axes, label: str) -> NDArray[np.float64]:
    (found,) = [each for each in axes.lines if each.get_label() == label]
    return np.asarray(found.get_xydata(), dtype=float)


def of_two(one: float, other: float) -> float:
    """Half the 95 % interval of the mean of two values, by Student's t of one degree of freedom: a Cauchy variable."""
    return math.tan(0.475 * math.pi) * abs(one - other) / 2


def test_accuracy_over_passes_is_the_mean_of_seeds_with_its_interval() -> None:
    settings = {"a $5": [history([10.0, 20.0, 30.0]), history([20.0, 40.0])], "b": [history([5.0])]}
    figure = accuracy_over_passes(settings, {"mean_recall": "recall (%)", "absent": "nothing"})
    said = "mean and 95 % interval over 1 to 2 seeds"
    assert {"a $5", "b", "recall (%)", "passes over the data", said} <= set(draw(figure))
    (axes,) = figure.axes
    assert line(axes, "a $5").tolist() == [[1, 15.0], [2, 30.0], [3, 30.0]]
    assert line(axes, "b").tolist() == [[1, 5.0]]
    band = axes.collections[0].get_paths()[0].vertices
    half = [of_two(10.0, 20.0), of_two(20.0, 40.0), 0.0]  # the third step has one seed
    for step, mean, length in zip((1, 2, 3), (15.0, 30.0, 30.0), half, strict=True):
        ends = sorted({round(float(y), 6) for x, y in band if x == step})
        assert (ends[0], ends[-1]) == pytest.approx((mean - length, mean + length))
    assert axes.get_xscale() == "linear"


def test_a_first_solution_and_a_first_epoch_have_both_read_the_data_once() -> None:
    epochs = [{"pass": i, "mean_recall": 10.0 * i} for i in (1, 2)]
    figure = accuracy_over_passes({"solved": [history([3.0, 4.0])], "trained": [epochs]}, {"mean_recall": "recall"})
    assert line(figure.axes[0], "solved").tolist() == [[1, 3.0], [2, 4.0]]
    assert line(figure.axes[0], "trained").tolist() == [[1, 10.0], [2, 20.0]]


def test_a_panel_for_each_metric_that_is_there() -> None:
    settings = {"a": [history([1.0, 2.0])], "b": [history([3.0], key="class_accuracy")]}
    figure = accuracy_over_passes(settings, {"class_accuracy": "class", "mean_recall": "recall"})
    draw(figure)
    assert [axes.get_ylabel() for axes in figure.axes] == ["class", "recall"]
    assert [len(axes.lines) for axes in figure.axes] == [1, 1]


def test_few_passes_beside_many_epochs_have_a_log_axis() -> None:
    figure = accuracy_over_passes({"a": [history([1.0] * 3)], "b": [history([1.0] * 90)]}, {"mean_recall": "recall"})
    draw(figure)
    assert figure.axes[0].get_xscale() == "log"


@pytest.mark.parametrize("settings", [{}, {"a": []}, {"a": [[{"pass": 0, "loss": 1.0}]]}])
def test_histories_without_the_metrics_are_refused(settings: dict[str, list[list[dict[str, float]]]]) -> None:
    with pytest.raises(ValueError, match="none of the metrics mean_recall"):
        accuracy_over_passes(settings, {"mean_recall": "recall"})


def test_metrics_against_a_number() -> None:
    panels = {
        "recall (%)": {"sum": {100.0: [50.0, 60.0], 20_000.0: [70.0]}, "vote": {100.0: [40.0]}},
        "time (s)": {"sum": {100.0: [1.0, 2.0], 20_000.0: [3.0]}, "vote": {100.0: [1.0]}},
    }
    figure = metrics_against(panels, "batch_size", "title $1")
    texts = set(draw(figure))
    assert {"batch_size", "sum", "vote", "recall (%)", "time (s)", "title $1", "100", "10000"} <= texts
    assert "mean and 95 % interval over 1 to 2 seeds" in texts
    recall, time = figure.axes
    assert line(recall, "sum").tolist() == [[100, 55.0], [20_000, 70.0]]
    assert line(time, "vote").tolist() == [[100, 1.0]]
    bars = [
        segment for each in recall.collections if isinstance(each, LineCollection) for segment in each.get_segments()
    ]
    half = of_two(50.0, 60.0)
    assert [100.0, 55.0 - half, 100.0, 55.0 + half] in [pytest.approx(segment.ravel()) for segment in bars]
    assert (recall.get_xscale(), recall.get_yscale(), time.get_yscale()) == ("log", "linear", "linear")


@pytest.mark.parametrize(
    ("points", "scales"),
    [
        ({0.1: [1.0], 1.0: [2.0]}, ("linear", "linear")),
        ({0.0: [1.0], 100.0: [50.0]}, ("linear", "log")),
        ({-1.0: [-1.0], 100.0: [50.0]}, ("linear", "linear")),
        ({1.0: [1.0]}, ("linear", "linear")),
    ],
)
def test_log_axes_only_where_positive_numbers_spread(points: dict[float, list[float]], scales: tuple[str, str]) -> None:
    figure = metrics_against({"metric": {"line": points}}, "number")
    draw(figure)
    assert (figure.axes[0].get_xscale(), figure.axes[0].get_yscale()) == scales


def test_bars_are_sorted_by_the_first_metric_and_show_the_interval() -> None:
    panels = {"recall (%)": {"a": [10.0], "b $5": [30.0, 50.0]}, "time (s)": {"a": [2.0], "b $5": [1.0, 1.0]}}
    figure = metric_bars(panels, "title")
    assert {"recall (%)", "time (s)", "a", "b $5", "10", "40", "title"} <= set(draw(figure))
    recall, time = figure.axes
    assert [bar.get_width() for bar in recall.patches] == [10.0, 40.0]
    assert [bar.get_width() for bar in time.patches] == [2.0, 1.0]
    assert [label.get_text() for label in recall.get_yticklabels()] == ["a", "b $5"]
    half = of_two(30.0, 50.0)
    assert [each.get_xydata().ravel() for each in recall.lines] == [pytest.approx([40.0 - half, 1.0, 40.0 + half, 1.0])]
    assert not time.lines  # seeds that agree
    assert "mean and 95 % interval over 1 to 2 seeds" in draw(figure)


def test_one_seed_each_has_no_interval_to_speak_of() -> None:
    figures = [
        accuracy_over_passes({"a": [history([1.0, 2.0])]}, {"mean_recall": "recall"}),
        metrics_against({"recall": {"a": {1.0: [2.0], 2.0: [3.0]}}}, "number"),
        metric_bars({"recall": {"a": [1.0], "b": [2.0]}}),
    ]
    for figure in figures:
        assert not any("interval" in text for text in draw(figure))


def test_an_interval_below_zero_on_a_log_axis_is_drawn() -> None:
    figure = metrics_against({"time (s)": {"a": {1.0: [0.1, 3.0], 2.0: [60.0, 90.0]}}}, "number")
    draw(figure)
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    assert 0 < axes.get_ylim()[0] <= 1.55
    assert axes.get_ylim()[1] >= 90


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        metrics_against({"metric": {"line": {}}}, "number")
    for panels in ({}, {"metric": {}}):
        with pytest.raises(ValueError, match="nothing to draw"):
            metric_bars(panels)  # type: ignore[arg-type]
