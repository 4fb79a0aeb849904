"""Matrices as heat maps: similarities, contrastive weights, confusion of classes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
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
