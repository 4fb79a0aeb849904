"""Matrices as heat maps: similarities, weights, confusion of classes, plans of transport, numbers over two settings."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike, NDArray

from report.figures.fitted_text import fit_text
from report.figures.plot_style import INK, new_figure

Confusion = tuple[str, ArrayLike, Sequence[str]]
"""A title, counts (C, C) with the true class in the rows, and the C names of the classes."""


def similarity_matrix(similarity: ArrayLike, x_name: str, y_name: str) -> Figure:
    """Cosines (n, m) of n items of x, rows, with m of y, columns; colours are centred at 0."""
    similarity = np.asarray(similarity, dtype=float)
    limit = max(float(np.abs(similarity).max(initial=0.0)), 1e-6)
    figure = new_figure(6.2, 5.2)
    axes = figure.subplots()
    picture = axes.imshow(similarity, cmap="PuOr_r", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_title(
        f"Cosine of {similarity.shape[0]} {x_name} and {similarity.shape[1]} {y_name} items", parse_math=False
    )
    axes.set_xlabel(f"{y_name} item", parse_math=False)
    axes.set_ylabel(f"{x_name} item", parse_math=False)
    figure.colorbar(picture, ax=axes, label="cosine", shrink=0.9)
    return figure


def weights_over_passes(
    weights: Sequence[ArrayLike], positives: ArrayLike, titles: Sequence[str], x_name: str, y_name: str
) -> Figure:
    """Contrastive weights S (n, m) of the same items after some passes, a panel each, on one scale of colours.

    After Figure 3's subject. The scale ends at the largest weight of a negative pair: the weights of the
    positives lie beyond it, or nothing else would be seen.

    Args:
        weights: S after each pass that is shown, rows x, columns y.
        positives: (n, m) bool.
        titles: one a panel.

    Raises:
        ValueError: when there is no panel, a matrix has another shape, or there is not one title a panel.
    """
    shown = [np.asarray(each, dtype=float) for each in weights]
    mask = np.asarray(positives, dtype=bool)
    if not shown or len(titles) != len(shown) or any(each.shape != mask.shape for each in shown):
        shapes = [each.shape for each in shown]
        raise ValueError(f"one title a matrix of shape {mask.shape} is needed, got {len(titles)} and {shapes}")
    limit = max([float(np.abs(each[~mask]).max(initial=0.0)) for each in shown] + [1e-12])
    figure = new_figure(3.0 * len(shown) + 1.2, 3.7)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, each, title in zip(panels, shown, titles, strict=True):
        picture = axes.imshow(each, cmap="PuOr_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set_title(title, fontsize=10, parse_math=False)
        axes.set_xlabel(f"{y_name} item", parse_math=False)
    panels[0].set_ylabel(f"{x_name} item", parse_math=False)
    figure.colorbar(picture, ax=list(panels), label="contrastive weight", shrink=0.9, extend="both")
    return figure


def confusion_matrices(matrices: Sequence[Confusion]) -> Figure:
    """Confusion matrices side by side, as percent of each true class; written out up to 20 classes.

    Raises:
        ValueError: when there is none, or one has not as many names as classes.
    """
    if not matrices:
        raise ValueError("there is no confusion matrix to draw")
    shares = [_shares(counts, names) for _, counts, names in matrices]
    size = min(max(0.5 * max(map(len, shares)), 3.5), 10.0)
    figure = new_figure((size + 0.9) * len(matrices) + 1.3, size + 1.3)
    panels = figure.subplots(1, len(matrices), squeeze=False)[0]
    top = max(1.0, *(float(percent.max(initial=0.0)) for percent in shares))
    for axes, percent, (title, counts, names) in zip(panels, shares, matrices, strict=True):
        picture = _confusion(axes, percent, names, top)
        total = np.asarray(counts, dtype=float)
        accuracy = 100 * total.trace() / max(total.sum(), 1)
        axes.set_title(fit_text(f"{title}, accuracy {accuracy:.1f} %", 72 * size, 2, 11)[0], parse_math=False)
    panels[0].set_ylabel("true class")
    figure.colorbar(picture, ax=list(panels), label="share of the true class (%)", shrink=0.9)
    return figure


def _shares(counts: ArrayLike, class_names: Sequence[str]) -> NDArray[np.float64]:
    """Percent of each true class."""
    counts = np.asarray(counts, dtype=float)
    n = len(counts)
    if counts.shape != (n, n) or len(class_names) != n:
        raise ValueError(f"a confusion matrix of shape {counts.shape} needs as many names, got {len(class_names)}")
    total = counts.sum(1, keepdims=True)
    percent: NDArray[np.float64] = 100 * np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    return percent


def _confusion(axes: Axes, percent: NDArray[np.float64], class_names: Sequence[str], top: float) -> AxesImage:
    n = len(percent)
    picture = axes.imshow(percent, cmap="Blues", vmin=0, vmax=top, interpolation="nearest")
    shown = range(n) if n <= 40 else range(0, n, -(-n // 40))
    names = [fit_text(class_names[i], 110, 1, 9)[0] for i in shown]
    axes.set_xticks(list(shown), names, fontsize=9, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(list(shown), names, fontsize=9, parse_math=False)
    for i, j in np.ndindex(n, n) if n <= 20 else ():
        if percent[i, j]:
            colour = "white" if percent[i, j] > 0.55 * top else INK
            axes.text(j, i, f"{percent[i, j]:.0f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xlabel("predicted class")
    return picture


def plan_maps(rows: Mapping[str, Sequence[ArrayLike]], x_name: str, y_name: str) -> Figure:
    """The target T, the kernel K and the plan P, all (n, m), of each title: a row of three panels, on one log scale.

    What is below a ten-thousandth, zeros of T among it, is white.

    Raises:
        ValueError: when there is no row, or one has not three matrices of one shape.

    Example:
        >>> len(plan_maps({"GCA-INCE": [np.eye(2), np.ones((2, 2)), np.eye(2)]}, "image", "text").axes)
        4
    """
    shown = {title: [np.asarray(each, dtype=float) for each in row] for title, row in rows.items()}
    if not shown or any(len(row) != 3 or len({each.shape for each in row}) > 1 for row in shown.values()):
        shapes = {title: [each.shape for each in row] for title, row in shown.items()}
        raise ValueError(f"each title needs T, K and P of one shape, got {shapes}")
    figure = new_figure(9.0, 2.9 * len(shown) + 0.4)
    panels = figure.subplots(len(shown), 3, squeeze=False)
    for axes_of, (title, row) in zip(panels, shown.items(), strict=True):
        for axes, each, name in zip(axes_of, row, ("target T", "kernel K", "plan P"), strict=True):
            picture = axes.imshow(each, cmap="Blues", norm=LogNorm(1e-4, 1.0), interpolation="nearest")
            axes.set_title(f"{name}, {title}", fontsize=10, parse_math=False)
            axes.set_xticks([])
            axes.set_yticks([])
        axes_of[0].set_ylabel(f"{x_name} item", parse_math=False)
    for axes in panels[-1]:
        axes.set_xlabel(f"{y_name} item", parse_math=False)
    figure.colorbar(picture, ax=panels.ravel().tolist(), label="mass", shrink=0.9)
    return figure


def settings_map(values: ArrayLike, rows: Sequence[str], columns: Sequence[str], names: tuple[str, str]) -> Figure:
    """A number (k, l) for every two values of two settings, written out; ``names`` are those of the settings.

    Raises:
        ValueError: when there is not one name a row and a column.

    Example:
        >>> figure = settings_map([[30.0, 31.5]], ["0.1"], ["1", "10"], ("eps", "iterations"))
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['30.0', '31.5']
    """
    numbers = np.asarray(values, dtype=float)
    if numbers.shape != (len(rows), len(columns)):
        raise ValueError(f"{len(rows)} rows and {len(columns)} columns are named, got numbers {numbers.shape}")
    figure = new_figure(1.1 * len(columns) + 2.2, 0.6 * len(rows) + 1.4)
    axes = figure.subplots()
    picture = axes.imshow(numbers, cmap="Blues", aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(columns)), list(columns))
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set(xlabel=names[1], ylabel=names[0])
    middle = (numbers.min() + numbers.max()) / 2
    for i, j in np.ndindex(*numbers.shape):
        colour = "white" if numbers[i, j] > middle else INK
        axes.text(j, i, f"{numbers[i, j]:.1f}", ha="center", va="center", fontsize=9, color=colour)
    figure.colorbar(picture, ax=axes, shrink=0.9)
    return figure
