"""What all figures share: their colours, their empty page, their axes.

Every plot returns a matplotlib ``Figure`` of its own: no pyplot, no global state. Colours are after Okabe and
Ito, which colour-blind readers can tell apart, and never the only sign. Text of the data (captions, class
names) is drawn as it is: no mathematics between dollar signs, and a box for what the font lacks.
"""

from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#007A5A", "#767676", "#222222"
PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#6A4C93", INK)
MARKERS = "os^Dv*Px"


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty white figure of ``width`` x ``height`` inches that can draw itself."""
    figure = Figure(figsize=(width, height), dpi=120, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def name_figure(figure: Figure, said: str) -> None:
    """A small line below the figure that says what it is of, after what it says already."""
    said = "; ".join(filter(None, (figure.get_supxlabel(), said)))
    figure.supxlabel(said, x=0.99, ha="right", fontsize=8, color=GREY, parse_math=False)


def bare(axes: Axes, grid: Literal["x", "y"] = "y") -> None:
    """Light lines across the axis of the values, no box."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
