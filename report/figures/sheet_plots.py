"""Test items with what was retrieved for them."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from report.figures.fitted_text import fit_text
from report.figures.plot_style import GREEN, GREY, INK, new_figure


def retrieval_sheet(
    images: Sequence[Image.Image | None],
    captions: Sequence[Sequence[str]],
    right: Sequence[Sequence[bool]],
    true: Sequence[str],
    names: Sequence[str],
    title: str,
) -> Figure:
    """Test items, two a row, each with its best captions: right ones ticked and green, others crossed.

    Args:
        images: one an item; None shows the name in the picture's place.
        captions: of each item, best first, three as a rule.
        right: whether each caption is one of its item's.
        true: a caption of each item, which is shown below the others where none of them is right.
        names: one an item, such as ``item 17``.
        title: above the sheet.

    Raises:
        ValueError: when the five differ in length.
    """
    if not len(images) == len(captions) == len(right) == len(true) == len(names):
        lengths = [len(part) for part in (images, captions, right, true, names)]
        raise ValueError(f"images, captions, right, true and names must be of one length, got {lengths}")
    n_rows = max(1, -(-len(images) // 2))
    width, cell, head, foot = 13.0, 1.75, 0.75, 0.3  # inches; the foot is for the line that names the run
    height = head + n_rows * cell + foot
    figure = new_figure(width, height, layout=None)
    figure.text(
        0.25 / width,
        1 - 0.42 / height,
        title,
        fontsize=15,
        weight="bold",
        va="center",
        color=INK,
        parse_math=False,
    )
    legend = "✓ right caption    ✗ wrong caption    best match first    → the right one, where all are wrong"
    figure.text(1 - 0.25 / width, 1 - 0.42 / height, legend, fontsize=10, va="center", ha="right", color=GREY)
    for i, (image, texts, marks) in enumerate(zip(images, captions, right, strict=True)):
        left, bottom = (i % 2) * width / 2 + 0.25, height - head - (i // 2 + 1) * cell + 0.15
        side = cell - 0.3
        box = figure.add_axes((left / width, bottom / height, side / width, side / height))
        _item(box, image, names[i])
        lines = figure.add_axes(
            ((left + side + 0.15) / width, bottom / height, (width / 2 - side - 0.5) / width, side / height)
        )
        shown = [("✓" if mark else "✗", text) for text, mark in zip(texts, marks, strict=True)]
        if not any(marks):
            shown.append(("→", true[i]))
        _captions(lines, shown, width_inches=width / 2 - side - 0.5, height_inches=side)
    return figure


def _item(axes: Axes, image: Image.Image | None, name: str) -> None:
    """A picture on white with its name below, or the name alone in a grey box, on several lines where it is long."""
    if image is None:
        axes.add_patch(Rectangle((0, 0), 1, 1, facecolor="#EEEEEE", edgecolor="none", transform=axes.transAxes))
        axes.text(
            0.5,
            0.5,
            "\n".join(fit_text(name, 95, 5, 11)),
            ha="center",
            va="center",
            fontsize=11,
            color=INK,
            transform=axes.transAxes,
            parse_math=False,
        )
    else:
        small = image.convert("RGBA")
        small.thumbnail((256, 256))
        axes.imshow(Image.alpha_composite(Image.new("RGBA", small.size, "white"), small))
        axes.set_anchor("N")
        axes.set_title(fit_text(name, 95, 1, 9)[0], y=-0.02, va="top", fontsize=8, color=GREY, pad=0, parse_math=False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#DDDDDD")


def _captions(axes: Axes, shown: Sequence[tuple[str, str]], width_inches: float, height_inches: float) -> None:
    """Marks and captions from top to bottom, two lines each at most, one where there are more than three."""
    axes.set_axis_off()
    axes.set(xlim=(0, width_inches * 72), ylim=(height_inches * 72, 0))  # points
    step = height_inches * 72 / max(3, len(shown))
    for i, (mark, text) in enumerate(shown):
        colour, weight = (GREY, "normal") if mark == "✗" else (GREEN, "bold")
        top = i * step + 2
        axes.text(0, top, mark, fontsize=12, weight=weight, color=colour, va="top")
        lines = fit_text(text, 0.95 * (width_inches * 72 - 18), 2 if len(shown) <= 3 else 1, 10)  # see text_width
        axes.text(
            18,
            top,
            "\n".join(lines),
            fontsize=10,
            color="#555555" if mark == "✗" else colour,
            va="top",
            parse_math=False,
        )
