"""The contact sheet: every item and every name on it, none beyond it."""

import pytest
from PIL import Image

from report.figures.contact_sheet import contact_sheet


@pytest.mark.parametrize("n", [0, 1, 5, 6, 23])
def test_each_item_has_its_place_and_its_name(n: int) -> None:
    shown = [Image.new("RGBA", (40, 90)) if i % 2 else f"$text$ {i}" for i in range(n)]
    figure = contact_sheet(shown, [f"name {i}" for i in range(n)], "a query")
    figure.canvas.draw()
    assert len(figure.axes) == n
    texts = [text.get_text() for text in figure.texts]
    assert texts == ["a query", *(f"name {i}" for i in range(n))]
    whole = figure.bbox
    for axes in figure.axes:
        box = axes.get_window_extent()
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1  # noqa: PT018
    boxes = sorted((round(axes.bbox.x0), round(axes.bbox.y0)) for axes in figure.axes)
    assert len(set(boxes)) == n


def test_long_names_end_in_an_ellipsis() -> None:
    figure = contact_sheet(["a " * 500], ["n" * 500], "q" * 500)
    assert all(text.get_text().endswith("…") for text in figure.texts)
    assert figure.axes[0].texts[0].get_text().endswith("…")


def test_names_for_items() -> None:
    with pytest.raises(ValueError, match="items and names must be of one length, got 1 and 0"):
        contact_sheet(["a"], [], "q")
