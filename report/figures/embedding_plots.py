"""The shared space as a map of the plane."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from report.figures.fitted_text import fit_text
from report.figures.plot_style import GREY, INK, MARKERS, PALETTE, new_figure

PERPLEXITY = 30.0
"""scikit-learn's own; less where there are few points."""
NAMED_CLASSES = 12
"""So many classes at most have their name on the map."""


def t_sne(x: ArrayLike, y: ArrayLike, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One t-SNE map (van der Maaten and Hinton 2008) of x (n, r) and y (m, r) at length 1: (n, 2) and (m, 2).

    Raises:
        ValueError: fewer than three points in all.
    """
    from sklearn.manifold import TSNE  # a second to import, and by default no map is drawn

    rows = np.concatenate([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    if len(rows) < 3:
        raise ValueError(f"a map needs three points at least, got {len(rows)}")
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny)
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    start = "pca" if min(rows.shape) >= 2 and np.ptp(rows, axis=0).any() else "random"
    with threadpool_limits(limits=1):  # see evaluation.linear_probe
        points = TSNE(perplexity=perplexity, init=start, random_state=seed).fit_transform(rows)
    return points[: len(np.asarray(x))], points[len(np.asarray(x)) :]


def embedding_map(
    x: ArrayLike,
    y: ArrayLike,
    x_class: ArrayLike | None,
    y_class: ArrayLike | None,
    partners: ArrayLike,
    class_names: Sequence[str],
    names: tuple[str, str],
    title: str,
) -> Figure:
    """Points of both modalities in the plane: the colour is the class, the marker the modality.

    A thin line joins an item with its partner, as in UniCon's Figure 2.
    Up to ``NAMED_CLASSES`` classes have their name in the middle of their points.

    Args:
        x, y: (n, 2) and (m, 2), from ``t_sne``.
        x_class, y_class: (n,) and (m,) int in [0, C); None where there are no classes.
        partners: (p, 2) int, rows of x and of y that a line joins.
        class_names: C names.
        names: of the modalities.

    Raises:
        ValueError: points that are not of the plane, or do not have one class each.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    figure = new_figure(7.2, 6.0)
    axes = figure.subplots()
    ends = np.asarray(partners, dtype=int).reshape(-1, 2)
    if len(ends):
        joined = np.stack([x[ends[:, 0]], y[ends[:, 1]]])  # (2, p, 2): a column of ends is a line
        axes.plot(joined[..., 0], joined[..., 1], color=GREY, linewidth=0.5, alpha=0.5, zorder=0)
    handles = []
    everything = []
    for points, of_points, marker, name in ((x, x_class, "o", names[0]), (y, y_class, "^", names[1])):
        classes = np.zeros(len(points), dtype=int) if of_points is None else np.asarray(of_points, dtype=int)
        if points.shape != (len(classes), 2):
            raise ValueError(f"points of shape {points.shape} do not fit {len(classes)} classes in the plane")
        colours = [PALETTE[c % len(PALETTE)] for c in classes]
        axes.scatter(points[:, 0], points[:, 1], c=colours, marker=marker, s=22, alpha=0.7, linewidths=0)
        handles.append(Line2D([], [], linestyle="", marker=marker, color=GREY, label=fit_text(name, 120, 1, 10)[0]))
        everything.append((points, classes))
    if x_class is not None or y_class is not None:
        all_points, all_classes = (np.concatenate(parts) for parts in zip(*everything, strict=True))
        _name_classes(axes, all_points, all_classes, class_names)
    _legend(axes, handles=handles)
    _as_map(axes, title)
    return figure


def class_map(points: ArrayLike, classes: ArrayLike, class_names: Sequence[str], title: str) -> Figure:
    """Points of one modality in the plane, coloured by class, as in UniCon's Figure 4.

    Up to ``NAMED_CLASSES`` classes have their name in the middle of their points. Beyond ``len(PALETTE)`` classes a
    colour comes again under another marker.

    Args:
        points: (n, 2), from ``t_sne``.
        classes: (n,) int in [0, C).
        class_names: C names.
        title: above the map.

    Raises:
        ValueError: points that are not of the plane, or do not have one class each.
    """
    points, classes = np.asarray(points, dtype=float), np.asarray(classes, dtype=int)
    if points.shape != (len(classes), 2):
        raise ValueError(f"points of shape {points.shape} do not fit {len(classes)} classes in the plane")
    figure = new_figure(7.6, 6.0)
    axes = figure.subplots()
    for c in np.unique(classes).tolist():
        of_class = points[classes == c]
        colour, marker = PALETTE[c % len(PALETTE)], MARKERS[c // len(PALETTE) % len(MARKERS)]
        axes.scatter(
            of_class[:, 0], of_class[:, 1],
            color=colour, marker=marker, s=22, alpha=0.7, linewidths=0, label=fit_text(class_names[c], 110, 1, 9)[0],
        )  # fmt: skip
    _name_classes(axes, points, classes, class_names)
    if len(axes.collections) <= NAMED_CLASSES:
        _legend(axes, fontsize=9)
    _as_map(axes, title)
    return figure


def _legend(axes: Axes, **given: Any) -> None:
    """Beside the map; names are text and no formulas."""
    for text in axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), **given).get_texts():
        text.set_parse_math(False)


def _as_map(axes: Axes, title: str) -> None:
    """Without ticks: of a t-SNE the axes mean nothing."""
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=12, parse_math=False)
    axes.spines[:].set_color("#DDDDDD")


def _name_classes(
    axes: Axes, points: NDArray[np.float64], classes: NDArray[np.int64], class_names: Sequence[str]
) -> None:
    present: list[int] = np.unique(classes).tolist()
    for c in present if len(present) <= NAMED_CLASSES else []:
        column, row = np.median(points[classes == c], axis=0)
        box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": PALETTE[c % len(PALETTE)], "alpha": 0.8}
        label = fit_text(class_names[c], 110, 1, 9)[0]
        axes.text(column, row, label, fontsize=9, color=INK, ha="center", va="center", bbox=box, parse_math=False)
