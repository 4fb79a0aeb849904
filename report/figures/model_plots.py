"""What becomes of a solved model over its passes: its norm, and its angles to the pass before."""

from itertools import product

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from report.figures.plot_style import BLUE, GREEN, ORANGE, bare, new_figure
from report.figures.plots import MARKED, History, mark_kept

SPREAD = 20.0
"""Angles that spread over this factor have a log axis."""


def model_over_passes(record: History, kept: int | None, names: tuple[str, str]) -> Figure:
    """The norm of the model after each pass, and the principal angles of both heads to the pass before, in degrees.

    After Figure C4's subject. A solid line is the largest angle of a head, a dashed one the mean of its angles.

    Args:
        record: a mapping a pass, with its number under ``pass``; those without ``model_norm`` are left out.
        kept: the pass that a line marks.
        names: of the modalities, x first.

    Raises:
        ValueError: fewer than two passes with a norm.
    """
    rows = [row for row in record if "model_norm" in row]
    if len(rows) < 2:
        raise ValueError(f"the norm of two passes at least is needed, got {len(rows)}")
    figure = new_figure(10.4, 3.8)
    norms, turns = figure.subplots(1, 2)
    marker = "o" if len(rows) <= MARKED else ""
    norms.plot(
        [row["pass"] for row in rows], [row["model_norm"] for row in rows],
        color=GREEN, linewidth=1.8, marker=marker, markersize=3.5,
    )  # fmt: skip
    norms.set_ylim(bottom=0)
    norms.set(xlabel="pass", ylabel=r"$\|Z\|_F$", title="Norm of the model")
    shown = []
    for (side, name, colour), (kind, style) in product(
        (("x", names[0], BLUE), ("y", names[1], ORANGE)), (("largest", "-"), ("mean", "--"))
    ):
        points = [(row["pass"], row[key]) for row in rows if (key := f"{kind}_angle_{side}") in row]
        shown += [angle for _, angle in points]
        turns.plot(
            *zip(*points, strict=True),
            color=colour, linestyle=style, linewidth=1.8, marker=marker, markersize=3.5, label=f"{name}, {kind}",
        )  # fmt: skip
    if min(shown) > 0 and max(shown) > SPREAD * min(shown):
        turns.set_yscale("log")
    else:
        turns.set_ylim(bottom=0)
    turns.set(xlabel="pass", ylabel="principal angle (degrees)", title="Angle to the pass before")
    for axes in (norms, turns):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        bare(axes)
        mark_kept(axes, kept, "pass")
    legend = turns.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure
