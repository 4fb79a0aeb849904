"""What was found for a query, as a sheet of pictures."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from PIL import Image

from report.figures.fitted_text import fit_text
from report.figures.plot_style import GREY, INK, new_figure

COLUMNS = 5


def contact_sheet(shown: Sequence[Image.Image | str], names: Sequence[str], title: str) -> Figure:
    """Items in the order of a search, five a row: pictures, or texts in their place, each with its name below.

    Raises:
        ValueError: when the two differ in length.
    """
    if len(shown) != len(names):
        raise ValueError(f"items and names must be of one length, got {len(shown)} and {len(names)}")
    columns = min(COLUMNS, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    cell, head = 2.1, 0.6  # inches
    width, height = max(cell * columns, 4.2), head + rows * (cell + 0.35)
    figure = new_figure(width, height, layout=None)
    line = fit_text(title, (width - 0.3) * 72, 1, 14)[0]
    figure.text(0.15 / width, 1 - 0.35 / height, line, fontsize=14, weight="bold", va="center", color=INK,
                parse_math=False)  # fmt: skip
    for i, (item, name) in enumerate(zip(shown, names, strict=True)):
        left, bottom = (i % columns) * cell + 0.1, height - head - (i // columns + 1) * (cell + 0.35) + 0.4
        side = cell - 0.2
        axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#DDDDDD")
        if isinstance(item, Image.Image):
            small = item.convert("RGBA")
            small.thumbnail((256, 256))
            axes.imshow(Image.alpha_composite(Image.new("RGBA", small.size, "white"), small))
        else:
            axes.set(xlim=(0, 1), ylim=(0, 1))
            text = "\n".join(fit_text(item, 0.92 * side * 72, 7, 11))
            axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=11, color=INK, parse_math=False)
        label = fit_text(name, side * 72, 1, 9)[0]
        figure.text((left + side / 2) / width, (bottom - 0.16) / height, label, ha="center", va="center",
                    fontsize=9, color=GREY, parse_math=False)  # fmt: skip
    return figure
