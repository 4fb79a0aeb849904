"""Sheets of items and their captions: marked right, and readable whatever the text."""

from itertools import pairwise

import pytest
from PIL import Image

from report.figures.plot_style import GREEN, name_figure
from report.figures.sheet_plots import retrieval_sheet
from tests.report.drawing import HARD, draw


def test_retrieval_sheet_marks_right_captions_by_sign_and_colour() -> None:
    modes = ["RGB", "RGBA", "L", "P", "1", "CMYK", "LA"]
    images = [Image.new(mode, (400, 30 + 90 * i)) for i, mode in enumerate(modes)] + [None] * 9
    captions = [[HARD[(i + j) % len(HARD)] for j in range(3)] for i in range(16)]
    right = [[j == i % 4 for j in range(3)] for i in range(16)]
    true = [f"true {i}" for i in range(16)]
    figure = retrieval_sheet(images, captions, right, true, [f"item {i}" for i in range(16)], "Three best $ captions")
    texts = draw(figure)
    assert texts.count("✓") == sum(map(sum, right))
    assert texts.count("✗") == 48 - sum(map(sum, right))
    # every fourth item has no right one among its captions: there a true one is shown below them
    assert texts.count("→") == 4
    assert {text for text in texts if text.startswith("true ")} == {"true 3", "true 7", "true 11", "true 15"}
    assert {"item 0", "item 15", "costs $5 or $6", "Three best $ captions"} <= set(texts)
    marks = [text for axes in figure.axes for text in axes.texts if text.get_text() == "✓"]
    assert {text.get_color() for text in marks} == {GREEN}


def test_retrieval_sheet_keeps_its_texts_inside_and_apart() -> None:
    captions = [[HARD[-1], HARD[-2], HARD[0]]] * 2
    figure = retrieval_sheet(
        [None, None], captions, [[True, False, False], [False] * 3], [HARD[-1]] * 2, ["a", "b"], "Title"
    )
    draw(figure)
    for axes in (figure.axes[1], figure.axes[3]):
        boxes = [text.get_window_extent() for text in axes.texts if text.get_text() not in "✓✗→"]
        assert all(box.x1 <= axes.bbox.x1 + 1 <= figure.bbox.x1 for box in boxes)
        assert all(upper.y0 > lower.y1 for upper, lower in pairwise(boxes))


def test_a_sheet_of_few_items_and_of_unequal_lists() -> None:
    draw(retrieval_sheet([None], [["one"]], [[True]], ["one"], ["item 3"], "Title"))
    draw(retrieval_sheet([], [], [], [], [], "Nothing"))
    with pytest.raises(ValueError, match="one length"):
        retrieval_sheet([None], [], [], [], [], "Title")


@pytest.mark.parametrize("n", [1, 2, 3, 16])
@pytest.mark.parametrize("shape", [(300, 400), (400, 300)])
def test_the_line_that_names_the_run_is_below_the_last_row(n: int, shape: tuple[int, int]) -> None:
    images, texts = [Image.new("RGB", shape)] * n, [["one", "two", "three"]] * n
    marks, names = [[False] * 3] * n, [f"photo {i}.jpg" for i in range(n)]
    figure = retrieval_sheet(images, texts, marks, ["true"] * n, names, "Title")
    name_figure(figure, "cca on clipart, test split")
    draw(figure)
    (line,) = [text for text in figure.texts if text.get_text() == "cca on clipart, test split"]
    top = line.get_window_extent().y1
    assert line.get_window_extent().y0 >= 0
    for axes in figure.axes:
        assert axes.get_window_extent().y0 > top
        assert all(text.get_window_extent().y0 > top for text in [*axes.texts, axes.title] if text.get_text())


def test_a_long_name_in_the_place_of_a_picture_runs_over_lines() -> None:
    name = "a boat that lies in the harbour beside two others"
    texts = draw(retrieval_sheet([None], [["one"]], [[True]], ["one"], [name], "Title"))
    assert name in [text.replace("\n", " ") for text in texts]
