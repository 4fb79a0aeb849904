"""Heat maps: what they show, on which scale, and with which names."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from report.figures.matrix_plots import (
    confusion_matrices,
    plan_maps,
    settings_map,
    similarity_matrix,
    weights_over_passes,
)
from tests.report.drawing import draw


@pytest.mark.parametrize("value", [0.0, -0.3, 1.0])
def test_similarity_matrix(value: float) -> None:
    figure = similarity_matrix(np.full((64, 64), value), "image", "text $")
    assert {"cosine", "image item", "text $ item"} <= set(draw(figure))
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high


def heat_maps(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_weights_over_passes_share_a_scale_that_ends_at_the_largest_negative() -> None:
    positives = np.eye(3, dtype=bool)
    weights = [np.where(positives, 5.0, -0.1), np.where(positives, 7.0, [[0.0, -0.4, 0.0]] * 3)]
    figure = weights_over_passes(weights, positives, ["pass 0", "pass $5"], "image", "text")
    assert {"pass 0", "pass $5", "contrastive weight", "image item", "text item"} <= set(draw(figure))
    for shown, given in zip(heat_maps(figure), weights, strict=True):
        np.testing.assert_array_equal(shown, given)
    assert {axes.images[0].get_clim() for axes in figure.axes if axes.images} == {(-0.4, 0.4)}


def test_weights_without_a_negative_draw() -> None:
    draw(weights_over_passes([np.zeros((2, 1))], np.ones((2, 1), dtype=bool), ["pass 0"], "x", "y"))


@pytest.mark.parametrize(("n_weights", "n_titles", "size"), [(0, 0, 3), (2, 1, 3), (1, 1, 2)])
def test_weights_that_do_not_fit_are_refused(n_weights: int, n_titles: int, size: int) -> None:
    with pytest.raises(ValueError, match="one title a matrix of shape"):
        weights_over_passes([np.eye(size)] * n_weights, np.eye(3, dtype=bool), ["t"] * n_titles, "x", "y")


def test_confusion_matrices_are_percent_of_each_true_class() -> None:
    names = ["$cat$", "日本", "a class of a very long name " * 3]
    counts = [[[3, 1, 0], [0, 2, 0], [0, 0, 0]], [[0, 4, 0], [1, 1, 0], [0, 0, 0]]]
    figure = confusion_matrices([("aligned $5", counts[0], names), ("raw", counts[1], names)])
    texts = draw(figure)
    assert {"$cat$", "□□", "75", "25", "100", "aligned $5, accuracy 83.3 %", "raw, accuracy 16.7 %"} <= set(texts)
    assert [shown.tolist() for shown in heat_maps(figure)] == [
        [[75, 25, 0], [0, 100, 0], [0, 0, 0]],
        [[0, 100, 0], [50, 50, 0], [0, 0, 0]],
    ]
    assert {axes.images[0].get_clim() for axes in figure.axes if axes.images} == {(0, 100)}


def test_confusion_of_many_classes_and_of_none() -> None:
    draw(confusion_matrices([("many", np.eye(100, dtype=int), [str(i) for i in range(100)])]))
    with pytest.raises(ValueError, match="as many names"):
        confusion_matrices([("few", np.eye(2), ["one"])])
    with pytest.raises(ValueError, match="no confusion matrix"):
        confusion_matrices([])


def test_plans_share_a_log_scale_and_zeros_are_white() -> None:
    T, K, P = np.eye(3), np.full((3, 3), 0.01), np.eye(3) * 0.9 + 1e-6
    figure = plan_maps({"a = $0": [T, K, P], "b": [K, K, K]}, "image", "text")
    assert {"target T, a = $0", "kernel K, b", "plan P, b", "image item", "text item", "mass"} <= set(draw(figure))
    for shown, given in zip(heat_maps(figure), [T, K, P, K, K, K], strict=True):
        np.testing.assert_array_equal(shown, given)
    assert {axes.images[0].get_clim() for axes in figure.axes if axes.images} == {(1e-4, 1.0)}
    pixels = figure.axes[0].images[0].to_rgba(T)
    assert pixels[0, 1, 3] == 0  # the page shows through
    assert pixels[0, 0, 0] < 0.1
    for rows in ({}, {"a": [T, K]}, {"a": [T, K, np.eye(2)]}):
        with pytest.raises(ValueError, match="each title needs T, K and P of one shape"):
            plan_maps(rows, "x", "y")


def test_numbers_over_two_settings_are_written_out() -> None:
    figure = settings_map([[1.0, 2.04], [3.0, 40.0]], ["0.1", "1"], ["1", "10"], ("eps", "t"))
    texts = draw(figure)
    assert {"1.0", "2.0", "3.0", "40.0", "eps", "t", "0.1", "10"} <= set(texts)
    with pytest.raises(ValueError, match=r"1 rows and 2 columns are named, got numbers \(2, 2\)"):
        settings_map(np.eye(2), ["a"], ["b", "c"], ("eps", "t"))
