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
    names: Sequence[str],
    title: str,
) -> Figure:
    """Test items, two a row, each with its best captions: right ones ticked and green, others crossed.

    Args:
        images: one an item; None shows the name in the picture's place.
        captions: of each item, best first, three as a rule.
        right: whether each caption is a positive of its item.
        names: one an item, such as ``item 17``.
        title: above the sheet.

    Raises:
        ValueError: when the four differ in length.
    """
    if not len(images) == len(captions) == len(right) == len(names):
        lengths = [len(part) for part in (images, captions, right, names)]
        raise ValueError(f"images, captions, right and names must be of one length, got {lengths}")
    n_rows = max(1, -(-len(images) // 2))
    width, cell, head = 13.0, 1.75, 0.75  # inches
    height = head + n_rows * cell
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
    legend = "✓ right caption    ✗ wrong caption    best match first"
    figure.text(1 - 0.25 / width, 1 - 0.42 / height, legend, fontsize=10, va="center", ha="right", color=GREY)
    for i, (image, texts, marks) in enumerate(zip(images, captions, right, strict=True)):
        left, bottom = (i % 2) * width / 2 + 0.25, height - head - (i // 2 + 1) * cell + 0.15
        side = cell - 0.3
        box = figure.add_axes((left / width, bottom / height, side / width, side / height))
        _item(box, image, names[i])
        lines = figure.add_axes(
            ((left + side + 0.15) / width, bottom / height, (width / 2 - side - 0.5) / width, side / height)
        )
        _captions(lines, texts, marks, width_inches=width / 2 - side - 0.5, height_inches=side)
    return figure


def _item(axes: Axes, image: Image.Image | None, name: str) -> None:
    """A picture on white with its name below, or the name alone in a grey box."""
    name = fit_text(name, 95, 1, 9)[0]
    if image is None:
        axes.add_patch(Rectangle((0, 0), 1, 1, facecolor="#EEEEEE", edgecolor="none", transform=axes.transAxes))
        axes.text(
            0.5,
            0.5,
            name,
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
        axes.set_title(name, y=-0.02, va="top", fontsize=8, color=GREY, pad=0, parse_math=False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#DDDDDD")


def _captions(
    axes: Axes, texts: Sequence[str], marks: Sequence[bool], width_inches: float, height_inches: float
) -> None:
    """Captions from top to bottom, two lines each at most, a mark before each."""
    axes.set_axis_off()
    axes.set(xlim=(0, width_inches * 72), ylim=(height_inches * 72, 0))  # points
    step = height_inches * 72 / max(3, len(texts))
    for i, (text, mark) in enumerate(zip(texts, marks, strict=True)):
        colour, weight = (GREEN, "bold") if mark else (GREY, "normal")
        top = i * step + 2
        axes.text(0, top, "✓" if mark else "✗", fontsize=12, weight=weight, color=colour, va="top")
        lines = fit_text(text, 0.95 * (width_inches * 72 - 18), 2, 10)  # see text_width
        axes.text(
            18,
            top,
            "\n".join(lines),
            fontsize=10,
            color=colour if mark else "#555555",
            va="top",
            parse_math=False,
        )
