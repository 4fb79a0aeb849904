"""The map of the shared space: neighbours stay together, colours are classes, markers modalities."""

import numpy as np
import pytest
from numpy.typing import NDArray

from report.figures.embedding_plots import class_map, embedding_map, t_sne
from report.figures.plot_style import PALETTE
from tests.report.drawing import draw


def clusters(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rows around three orthogonal directions, and the direction of each."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % 3
    return np.eye(5)[classes] + 0.05 * rng.normal(size=(n, 5)), classes


def test_t_sne_puts_the_same_cluster_of_both_modalities_together_whatever_the_scale() -> None:
    (x, x_class), (y, y_class) = clusters(30, 0), clusters(24, 1)
    of_x, of_y = t_sne(x, 100 * y, seed=0)
    assert (of_x.shape, of_y.shape) == ((30, 2), (24, 2))
    distance = np.linalg.norm(of_x[:, None] - of_y[None], axis=2)
    assert (y_class[distance.argmin(1)] == x_class).all()
    assert (x_class[distance.argmin(0)] == y_class).all()
    for again, before in zip(t_sne(x, 100 * y, seed=0), (of_x, of_y), strict=True):
        np.testing.assert_array_equal(again, before)


@pytest.mark.parametrize(("n", "m"), [(2, 1), (5, 0), (4, 4)])
def test_t_sne_of_few_or_equal_or_zero_rows(n: int, m: int) -> None:
    for rows in (np.zeros((n + m, 3)), np.ones((n + m, 1)), np.eye(n + m, 3)):
        of_x, of_y = t_sne(rows[:n], rows[n:], seed=0)
        assert (of_x.shape, of_y.shape) == ((n, 2), (m, 2))
        assert np.isfinite(of_x).all()
    with pytest.raises(ValueError, match="three points"):
        t_sne(np.eye(1), np.eye(1), seed=0)


def test_embedding_map_tells_classes_by_colour_and_name_and_modalities_by_marker() -> None:
    x, y = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 2.0], [3.0, 3.0], [5.0, 5.0]])
    partners = [[0, 2], [1, 0]]
    figure = embedding_map(x, y, [0, 1], [0, 1, 1], partners, ["$cat$", "日本"], ("image", "text $"), "title $1")
    assert {"$cat$", "□□", "image", "text $", "title $1"} <= set(draw(figure))
    of_x, of_y = figure.axes[0].collections
    np.testing.assert_array_equal(of_x.get_offsets(), x)
    np.testing.assert_array_equal(of_y.get_offsets(), y)
    colours = [tuple(each[:3]) for each in of_y.get_facecolors()]
    assert colours[1] == colours[2] != colours[0]
    assert [tuple(each[:3]) for each in of_x.get_facecolors()] == colours[:2]
    assert not np.array_equal(of_x.get_paths()[0].vertices, of_y.get_paths()[0].vertices)
    names = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert names["□□"] == (3.0, 3.0)
    lines = [line.get_xydata().tolist() for line in figure.axes[0].lines]
    assert lines == [[[0, 0], [5, 5]], [[1, 0], [0, 2]]]


def test_a_map_of_many_classes_and_of_none() -> None:
    n = len(PALETTE) + 20
    rows, classes = np.random.default_rng(0).normal(size=(n, 2)), np.arange(n)
    figure = embedding_map(rows, rows, classes, classes, [], [str(c) for c in classes], ("x", "y"), "")
    draw(figure)
    assert not figure.axes[0].texts
    figure = embedding_map(rows, rows[:0], None, None, [], [], ("x", "y"), "")
    draw(figure)
    assert not figure.axes[0].texts


@pytest.mark.parametrize(("points", "classes"), [(np.zeros((3, 3)), [0, 0, 0]), (np.zeros((3, 2)), [0, 0])])
def test_points_that_do_not_fit_are_refused(points: NDArray[np.float64], classes: list[int]) -> None:
    with pytest.raises(ValueError, match="in the plane"):
        embedding_map(points, points, classes, classes, [], ["a"], ("x", "y"), "")


def test_a_class_map_tells_more_classes_than_colours_apart() -> None:
    n = len(PALETTE) + 2
    points = np.random.default_rng(0).normal(size=(3 * n, 2))
    figure = class_map(points, np.arange(3 * n) % n, [f"class ${c}" for c in range(n)], "title $1")
    assert "title $1" in draw(figure)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    named = [f"class ${c}" for c in range(n)]
    assert [text.get_text() for text in legend.get_texts()] == named
    assert [text.get_text() for text in figure.axes[0].texts] == named  # amid its points
    first, again = figure.axes[0].collections[0], figure.axes[0].collections[len(PALETTE)]
    assert np.array_equal(first.get_facecolor(), again.get_facecolor())
    assert len(first.get_paths()[0].vertices) != len(again.get_paths()[0].vertices)
    with pytest.raises(ValueError, match="do not fit"):
        class_map(points, [0], ["a"], "")
