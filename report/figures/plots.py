"""Curves of a run: metrics over its passes, the spectrum of its solution."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from report.figures.plot_style import BLUE, GREEN, GREY, ORANGE, bare, new_figure

History = Sequence[Mapping[str, float]]
"""Metrics after each pass or epoch, with its number under ``pass``."""
MARKED = 60
"""So many points at most of a curve have a marker."""


def recall_over_passes(history: History, kept: int | None = None, step: str = "pass") -> Figure:
    """Recall in percent against passes or epochs, one panel a direction.

    ``history`` holds one mapping a step, with its number under ``step`` and recalls under keys that end with
    ``image_to_text/R@1`` and the like; other keys, and steps without recalls, are left out. A line
    marks the step ``kept``.

    Raises:
        ValueError: when there is no recall in it.
    """
    keys = list(dict.fromkeys(key for row in history for key in row if "_to_" in key and "/R@" in key))
    ways = list(dict.fromkeys(key.rpartition("/")[0] for key in keys))
    if not ways:
        raise ValueError("the history holds no recall: keys like 'image_to_text/R@1' are needed")
    figure = new_figure(4.6 * len(ways) + 0.6, 3.8)
    panels = figure.subplots(1, len(ways), sharey=True, squeeze=False)[0]
    for axes, way in zip(panels, ways, strict=True):
        of_way = [key for key in keys if key.startswith(way + "/")]
        for key, colour, marker in zip(of_way, cycle((BLUE, ORANGE, GREEN)), cycle("os^"), strict=False):
            points = [(row[step], row[key]) for row in history if key in row]
            label = key.rpartition("/")[2]
            axes.plot(
                *zip(*points, strict=True),
                color=colour,
                marker=marker,
                markersize=5,
                linewidth=1.8,
                label=label,
            )
        mark_kept(axes, kept, step)
        axes.set_title(way.rpartition("/")[2].replace("_", " "), fontsize=11)
        axes.set_xlabel(step)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        bare(axes)
    panels[0].set_ylim(0, 100)
    panels[0].set_ylabel("recall (%)")
    panels[-1].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    figure.suptitle("Retrieval recall on validation", fontsize=13)
    return figure


def objective_over_passes(values: ArrayLike, kept: int | None = None) -> Figure:
    """The objective (k,) at the start, pass 0, and after each pass; a line marks the one that is kept."""
    return _objective(values, 0, kept, "pass", "Objective")


def loss_over_epochs(values: ArrayLike, kept: int | None = None) -> Figure:
    """The mean training loss (k,) of each epoch, from 1, after Figures C2 and C3; a line marks the one that is kept."""
    return _objective(values, 1, kept, "epoch", "Training loss, mean of each epoch")


def _objective(values: ArrayLike, first: int, kept: int | None, step: str, title: str) -> Figure:
    values = np.asarray(values, dtype=float)
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    marker = "o" if len(values) <= MARKED else ""
    axes.plot(np.arange(first, first + len(values)), values, color=BLUE, linewidth=1.8, marker=marker, markersize=3.5)
    axes.set(xlabel=step, ylabel="objective", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    bare(axes)
    mark_kept(axes, kept, step)
    if kept is not None:
        axes.legend(frameon=False)
    return figure


def mark_kept(axes: Axes, kept: int | None, step: str) -> None:
    """A dotted line at the step that is kept, where one is."""
    if kept is not None:
        axes.axvline(kept, color=GREY, linestyle=":", linewidth=1.4, zorder=0, label=f"{step} {kept}, kept")


def singular_values(values: ArrayLike) -> Figure:
    """Singular values (r,) against their index from 1; a log axis where they span over two decades."""
    values = np.asarray(values, dtype=float)
    index = np.arange(1, len(values) + 1)
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    axes.plot(index, values, color=BLUE, linewidth=1.8, marker="o", markersize=3.5)
    if len(values) and values.min() > 0 and values.max() > 100 * values.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min(0.0, values.min(initial=0.0)))
        axes.fill_between(index, values, color=BLUE, alpha=0.12, linewidth=0)
    axes.set(xlabel="index", ylabel="singular value", title="Singular values")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    bare(axes)
    return figure
