"""Every figure draws without a warning and holds what it should; text of any kind survives."""

import io
import sys
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from evaluation.plots import (
    GREEN,
    _width,
    confusion_matrix,
    fit_text,
    recall_over_passes,
    retrieval_sheet,
    similarity_matrix,
    singular_values,
)

HARD = [
    "costs $5 or $6",
    "日本語 🎉 \x00\u200d",
    "x_1^2 \\frac{",
    "",
    "  a\n\tb ",
    "w" * 400,
    "many words " * 60,
]


def draw(figure: Figure) -> list[str]:
    """All texts of the figure, drawn for real."""
    figure.savefig(io.BytesIO(), format="png")
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


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
    figure = recall_over_passes([*history, {"pass": n_steps + 1}])
    assert {"a to b", "b to a", "recall (%)", "pass", "R@1", "R@5", "R@10"} <= set(draw(figure))
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


@pytest.mark.parametrize("value", [0.0, -0.3, 1.0])
def test_similarity_matrix(value: float) -> None:
    figure = similarity_matrix(np.full((64, 64), value), "image", "text $")
    assert {"cosine", "image item", "text $ item"} <= set(draw(figure))
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high


def test_confusion_matrix() -> None:
    figure = confusion_matrix([[3, 1, 0], [0, 2, 0], [0, 0, 0]], ["$cat$", "日本", "a class of a very long name " * 3])
    texts = draw(figure)
    assert {"$cat$", "□□", "75", "25", "100", "Confusion matrix, accuracy 83.3 %"} <= set(texts)
    assert figure.axes[0].images[0].get_array().tolist() == [[75, 25, 0], [0, 100, 0], [0, 0, 0]]
    draw(confusion_matrix(np.eye(100, dtype=int), [str(i) for i in range(100)]))
    with pytest.raises(ValueError, match="as many names"):
        confusion_matrix(np.eye(2), ["one"])


def test_retrieval_sheet_marks_right_captions_by_sign_and_colour() -> None:
    modes = ["RGB", "RGBA", "L", "P", "1", "CMYK", "LA"]
    images = [Image.new(mode, (400, 30 + 90 * i)) for i, mode in enumerate(modes)] + [None] * 9
    captions = [[HARD[(i + j) % len(HARD)] for j in range(3)] for i in range(16)]
    right = [[j == i % 4 for j in range(3)] for i in range(16)]
    figure = retrieval_sheet(images, captions, right, [f"item {i}" for i in range(16)], "Three best $ captions")
    texts = draw(figure)
    assert texts.count("✓") == sum(map(sum, right))
    assert texts.count("✗") == 48 - sum(map(sum, right))
    assert {"item 0", "item 15", "costs $5 or $6", "Three best $ captions"} <= set(texts)
    marks = [text for axes in figure.axes for text in axes.texts if text.get_text() == "✓"]
    assert {text.get_color() for text in marks} == {GREEN}


def test_retrieval_sheet_keeps_its_texts_inside_and_apart() -> None:
    captions = [[HARD[-1], HARD[-2], HARD[0]]] * 2
    figure = retrieval_sheet([None, None], captions, [[True, False, False]] * 2, ["a", "b"], "Title")
    draw(figure)
    for axes in (figure.axes[1], figure.axes[3]):
        boxes = [text.get_window_extent() for text in axes.texts if text.get_text() not in "✓✗"]
        assert all(box.x1 <= axes.bbox.x1 + 1 <= figure.bbox.x1 for box in boxes)
        assert all(upper.y0 > lower.y1 for upper, lower in pairwise(boxes))


def test_a_sheet_of_few_items_and_of_unequal_lists() -> None:
    draw(retrieval_sheet([None], [["one"]], [[True]], ["item 3"], "Title"))
    draw(retrieval_sheet([], [], [], [], "Nothing"))
    with pytest.raises(ValueError, match="one length"):
        retrieval_sheet([None], [], [], [], "Title")


@pytest.mark.parametrize("text", HARD)
@pytest.mark.parametrize("n_lines", [1, 2])
def test_fit_text_fits(text: str, n_lines: int) -> None:
    lines = fit_text(text, 120, n_lines, 10)
    assert 1 <= len(lines) <= n_lines
    assert all(_width(line, 10) <= 120 for line in lines)


def test_fit_text_by_example() -> None:
    assert fit_text("  a\n b ", 100, 2, 10) == ["a b"]
    assert fit_text("two words", 40, 2, 10) == ["two", "words"]
    assert fit_text("two, words", 45, 1, 10) == ["two…"]
    assert fit_text("日 a", 100, 1, 10) == ["□ a"]


def test_no_global_state() -> None:
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
