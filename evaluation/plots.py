"""Figures of a run. Every function returns a matplotlib ``Figure`` of its own: no pyplot, no global state.

Colours are after Okabe and Ito, which colour-blind readers can tell apart, and never the only sign. Text of
the data (captions, class names) is drawn as it is: no mathematics between dollar signs, and a box for what
the font lacks.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import cycle
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from PIL import Image

BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#007A5A", "#767676", "#222222"
_FONT = FontProperties(family="DejaVu Sans")  # comes with matplotlib, so text looks the same everywhere


def recall_over_passes(history: Sequence[Mapping[str, float]], step: str = "pass") -> Figure:
    """Recall in percent against passes or epochs, one panel a direction.

    ``history`` holds one mapping a step, with its number under ``step`` and recalls under keys that end with
    ``image_to_text/R@1`` and the like; other keys, and steps without recalls, are left out.

    Raises:
        ValueError: when there is no recall in it.
    """
    keys = list(dict.fromkeys(key for row in history for key in row if "_to_" in key and "/R@" in key))
    ways = list(dict.fromkeys(key.rpartition("/")[0] for key in keys))
    if not ways:
        raise ValueError("the history holds no recall: keys like 'image_to_text/R@1' are needed")
    figure = _figure(4.6 * len(ways) + 0.6, 3.8)
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
        axes.set_title(way.rpartition("/")[2].replace("_", " "), fontsize=11)
        axes.set_xlabel(step)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _bare(axes)
    panels[0].set_ylim(0, 100)
    panels[0].set_ylabel("recall (%)")
    panels[-1].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    figure.suptitle("Retrieval recall", fontsize=13)
    return figure


def objective_over_passes(values: ArrayLike) -> Figure:
    """The objective (k,) at the start, pass 0, and after each pass."""
    values = np.asarray(values, dtype=float)
    figure = _figure(6.4, 3.8)
    axes = figure.subplots()
    axes.plot(np.arange(len(values)), values, color=BLUE, linewidth=1.8, marker="o", markersize=3.5)
    axes.set(xlabel="pass", ylabel="objective", title="Objective")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def singular_values(values: ArrayLike) -> Figure:
    """Singular values (r,) against their index from 1; a log axis where they span over two decades."""
    values = np.asarray(values, dtype=float)
    index = np.arange(1, len(values) + 1)
    figure = _figure(6.4, 3.8)
    axes = figure.subplots()
    axes.plot(index, values, color=BLUE, linewidth=1.8, marker="o", markersize=3.5)
    if len(values) and values.min() > 0 and values.max() > 100 * values.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min(0.0, values.min(initial=0.0)))
        axes.fill_between(index, values, color=BLUE, alpha=0.12, linewidth=0)
    axes.set(xlabel="index", ylabel="singular value", title="Singular values")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _bare(axes)
    return figure


def similarity_matrix(similarity: ArrayLike, x_name: str, y_name: str) -> Figure:
    """Cosines (n, m) of n items of x, rows, with m of y, columns; colours are centred at 0."""
    similarity = np.asarray(similarity, dtype=float)
    limit = max(float(np.abs(similarity).max(initial=0.0)), 1e-6)
    figure = _figure(6.2, 5.2)
    axes = figure.subplots()
    picture = axes.imshow(similarity, cmap="PuOr_r", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_title(
        f"Cosine of {similarity.shape[0]} {x_name} and {similarity.shape[1]} {y_name} items", parse_math=False
    )
    axes.set_xlabel(f"{y_name} item", parse_math=False)
    axes.set_ylabel(f"{x_name} item", parse_math=False)
    figure.colorbar(picture, ax=axes, label="cosine", shrink=0.9)
    return figure


def confusion_matrix(confusion: ArrayLike, class_names: Sequence[str]) -> Figure:
    """Counts (C, C), rows the true class, as percent of each true class; written out up to 20 classes.

    Raises:
        ValueError: when there are not C names.
    """
    counts = np.asarray(confusion, dtype=float)
    n = len(counts)
    if counts.shape != (n, n) or len(class_names) != n:
        raise ValueError(f"a confusion matrix of shape {counts.shape} needs as many names, got {len(class_names)}")
    total = counts.sum(1, keepdims=True)
    percent = 100 * np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    top = max(float(percent.max(initial=0.0)), 1.0)
    size = min(max(0.5 * n, 3.5), 10.0)
    figure = _figure(size + 2.2, size + 1.2)
    axes = figure.subplots()
    picture = axes.imshow(percent, cmap="Blues", vmin=0, vmax=top, interpolation="nearest")
    shown = range(n) if n <= 40 else range(0, n, -(-n // 40))
    names = [fit_text(class_names[i], 110, 1, 9)[0] for i in shown]
    axes.set_xticks(list(shown), names, fontsize=9, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(list(shown), names, fontsize=9, parse_math=False)
    for i, j in np.ndindex(n, n) if n <= 20 else ():
        if counts[i, j]:
            colour = "white" if percent[i, j] > 0.55 * top else INK
            axes.text(j, i, f"{percent[i, j]:.0f}", ha="center", va="center", fontsize=8, color=colour)
    accuracy = 100 * counts.trace() / max(counts.sum(), 1)
    axes.set(xlabel="predicted class", ylabel="true class", title=f"Confusion matrix, accuracy {accuracy:.1f} %")
    figure.colorbar(picture, ax=axes, label="share of the true class (%)", shrink=0.9)
    return figure


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
    figure = _figure(width, height, layout=None)
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


def fit_text(text: str, width: float, n_lines: int, size: float) -> list[str]:
    """``text`` as at most ``n_lines`` lines of at most ``width`` points at font size ``size``.

    White space becomes single spaces, a character that the font lacks a box; what does not fit ends in an
    ellipsis.
    """
    words = "".join(c if _known(c) else "□" for c in " ".join(text.split())).split(" ")
    lines: list[str] = []
    while words and len(lines) < n_lines:
        n_words = next((n for n in range(1, len(words)) if _width(" ".join(words[: n + 1]), size) > width), len(words))
        line, words = " ".join(words[:n_words]), words[n_words:]
        if _width(line, size) > width:  # one word, longer than a line: broken anywhere
            n = next((n for n in range(1, len(line)) if _width(line[: n + 1], size) > width), 1)
            line, words = line[:n], [line[n:], *words]
        lines.append(line)
    if words:
        last = lines[-1]
        while last and _width(last + "…", size) > width:
            last = last[:-1]
        lines[-1] = last.rstrip(" ,.;:") + "…"
    return lines


def _width(text: str, size: float) -> float:
    """Width in points of ``text`` at font size ``size``. Drawn in whole pixels, it is some 3 % off."""
    return size * sum(map(_advance, text))


@cache
def _advance(character: str) -> float:
    """Width of a character in a line, at font size 1."""
    with_it, without = (
        text_to_path.get_text_width_height_descent(t, _FONT, ismath=False)[0] for t in (f"n{character}n", "nn")
    )
    return float(with_it - without) / _FONT.get_size_in_points()


@cache
def _known(character: str) -> bool:
    """Whether the font has a glyph for it."""
    return ord(character) in get_font(findfont(_FONT)).get_charmap()


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
        lines = fit_text(text, 0.95 * (width_inches * 72 - 18), 2, 10)  # see _width
        axes.text(
            18,
            top,
            "\n".join(lines),
            fontsize=10,
            color=colour if mark else "#555555",
            va="top",
            parse_math=False,
        )


def _figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty white figure of ``width`` x ``height`` inches that can draw itself."""
    figure = Figure(figsize=(width, height), dpi=120, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _bare(axes: Axes) -> None:
    """Light horizontal lines, no box."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
