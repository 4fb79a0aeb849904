"""Settings compared: means and ranges over seeds, axes that fit the numbers."""

from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from report.figures.comparison_plots import accuracy_over_passes, metric_bars, metrics_against
from tests.report.drawing import draw


def history(values: Sequence[float], key: str = "mean_recall") -> list[dict[str, float]]:
    return [{"pass": i, key: value} for i, value in enumerate(values)]


def line(axes: Axes, label: str) -> NDArray[np.float64]:
    (found,) = [each for each in axes.lines if each.get_label() == label]
    return np.asarray(found.get_xydata(), dtype=float)


def test_accuracy_over_passes_is_the_mean_of_seeds_with_their_range() -> None:
    settings = {"a $5": [history([10.0, 20.0, 30.0]), history([20.0, 40.0])], "b": [history([5.0])]}
    figure = accuracy_over_passes(settings, {"mean_recall": "recall (%)", "absent": "nothing"})
    assert {"a $5", "b", "recall (%)", "passes over the data"} <= set(draw(figure))
    (axes,) = figure.axes
    assert line(axes, "a $5").tolist() == [[1, 15.0], [2, 30.0], [3, 30.0]]
    assert line(axes, "b").tolist() == [[1, 5.0]]
    band = axes.collections[0].get_paths()[0].vertices
    assert {(x, y) for x, y in band} >= {(1, 10.0), (1, 20.0), (2, 20.0), (2, 40.0), (3, 30.0)}
    assert axes.get_xscale() == "linear"


def test_a_first_solution_and_a_first_epoch_are_one_reading_each() -> None:
    epochs: list[dict[str, float]] = [{"pass": number, "mean_recall": 1.0} for number in (1, 2)]
    every_second: list[dict[str, float]] = [{"pass": number, "mean_recall": 1.0} for number in (2, 4)]
    settings = {"solved": [history([1.0, 1.0])], "epochs": [epochs], "every second": [every_second]}
    (axes,) = accuracy_over_passes(settings, {"mean_recall": "recall"}).axes
    assert [line(axes, name)[:, 0].tolist() for name in settings] == [[1, 2], [1, 2], [2, 4]]


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
    recall, time = figure.axes
    assert line(recall, "sum").tolist() == [[100, 55.0], [20_000, 70.0]]
    assert line(time, "vote").tolist() == [[100, 1.0]]
    bars = [
        segment for each in recall.collections if isinstance(each, LineCollection) for segment in each.get_segments()
    ]
    assert [[100.0, 50.0], [100.0, 60.0]] in [segment.tolist() for segment in bars]
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


def test_bars_are_sorted_by_the_first_metric_and_show_the_range() -> None:
    panels = {"recall (%)": {"a": [10.0], "b $5": [30.0, 50.0]}, "time (s)": {"a": [2.0], "b $5": [1.0, 1.0]}}
    figure = metric_bars(panels, "title")
    assert {"recall (%)", "time (s)", "a", "b $5", "10", "40", "title"} <= set(draw(figure))
    recall, time = figure.axes
    assert [bar.get_width() for bar in recall.patches] == [10.0, 40.0]
    assert [bar.get_width() for bar in time.patches] == [2.0, 1.0]
    assert [label.get_text() for label in recall.get_yticklabels()] == ["a", "b $5"]
    assert [each.get_xydata().tolist() for each in recall.lines] == [[[30.0, 1.0], [50.0, 1.0]]]


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        metrics_against({"metric": {"line": {}}}, "number")
    for panels in ({}, {"metric": {}}):
        with pytest.raises(ValueError, match="nothing to draw"):
            metric_bars(panels)  # type: ignore[arg-type]
