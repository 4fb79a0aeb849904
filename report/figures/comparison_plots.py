"""Settings compared: their metrics over the passes, against a swept number, as bars."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from report.figures.fitted_text import fit_text
from report.figures.plot_style import GREY, INK, MARKERS, PALETTE, bare, name_figure, new_figure
from report.figures.plots import History
from report.intervals import half_interval, over_seeds

WIDE = 20.0
"""A swept number, or a time, that spreads over this factor has a log axis."""


def accuracy_over_passes(settings: Mapping[str, Sequence[History]], metrics: Mapping[str, str]) -> Figure:
    """Metrics of several settings against the passes over the data, one panel a metric.

    After Figure C1's subject, the accuracy of SGD over its epochs. A line is the mean over the histories of a setting
    (its seeds), the band around it the 95 % interval of the mean (Student's t); a step that some seeds did not reach
    is the mean of the others.

    Args:
        settings: the histories of each setting, one a seed, with readings of the data under ``pass``, from 1.
        metrics: the axis label of each key of the histories that has a panel.

    Raises:
        ValueError: when no history has any of the metrics.
    """
    panels = {key: label for key, label in metrics.items() if any(_has(each, key) for each in settings.values())}
    if not panels:
        raise ValueError(f"the histories hold none of the metrics {', '.join(metrics)}")
    figure = new_figure(5.0 * len(panels) + 2.0, 3.8)
    for axes, (key, label) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        draw_over_passes(axes, settings, key, label)
    legend_of_all(figure, settings)
    name_figure(figure, over_seeds(map(len, settings.values())))
    return figure


def draw_over_passes(axes: Axes, settings: Mapping[str, Sequence[History]], key: str, label: str) -> None:
    """The lines of one metric, at least one of which the histories hold; the style says the setting, in any panel."""
    lasts = []
    for style, (name, histories) in zip(_styles(), settings.items(), strict=False):
        at: dict[float, list[float]] = {}
        for row in (row for history in histories for row in history if key in row):
            at.setdefault(row["pass"], []).append(row[key])
        if at:
            _line(axes, at, name, *style, marks=len(at) <= 30, bars=False)
            lasts.append(max(at))
    if max(lasts) >= WIDE * min(lasts):
        log_axis(axes, "x")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set(xlabel="passes over the data", ylabel=label)
    bare(axes)


def metrics_against(
    panels: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]], x_label: str, title: str = ""
) -> Figure:
    """Metrics against a swept number, one panel a metric, a line a setting.

    After the subjects of Figures C2 to C4 (accuracy and time against the batch size). Points are means over
    seeds, bars their 95 % intervals (Student's t). Positive numbers that spread over a factor of ``WIDE`` have a
    log axis.

    Args:
        panels: by the label of the metric and the name of the line: the values of the seeds at each number.
        x_label: the name of the swept number.

    Raises:
        ValueError: when there is nothing to draw.
    """
    if not any(points for lines in panels.values() for points in lines.values()):
        raise ValueError("nothing to draw: no metric was measured at any number")
    figure = new_figure(4.6 * len(panels) + 2.0, 3.8)
    for axes, (label, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for style, (name, points) in zip(_styles(), lines.items(), strict=False):
            _line(axes, points, name, *style, marks=True, bars=True)
        if is_wide([number for points in lines.values() for number in points]):
            log_axis(axes, "x")
        if is_wide([value for points in lines.values() for values in points.values() for value in values]):
            log_axis(axes, "y")
        axes.set_xlabel(x_label, parse_math=False)
        axes.set_ylabel(label, parse_math=False)
        bare(axes)
    if len(next(iter(panels.values()))) > 1:
        outside_legend(axes)
    if title:
        figure.suptitle(title, fontsize=12, parse_math=False)
    points_of_lines = [points for lines in panels.values() for points in lines.values()]
    name_figure(figure, over_seeds(len(values) for points in points_of_lines for values in points.values()))
    return figure


def metric_bars(panels: Mapping[str, Mapping[str, Sequence[float]]], title: str = "") -> Figure:
    """A bar for each setting, best first by the first metric; one panel a metric, the 95 % interval over seeds a line.

    The interval is that of the mean, by Student's t.

    Args:
        panels: by the label of the metric and the name of the setting: the values of the seeds. All panels
            have the settings of the first.

    Raises:
        ValueError: without a metric or a setting.
    """
    if not panels or not all(panels.values()):
        raise ValueError("nothing to draw: no setting was measured")
    first = next(iter(panels.values()))
    order = sorted(first, key=lambda name: statistics.fmean(first[name]))
    names = [fit_text(name, 230, 1, 9)[0] for name in order]
    figure = new_figure(4.2 * len(panels) + 2.5, 0.36 * len(order) + 1.4)
    panes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (label, settings), colour in zip(panes, panels.items(), cycle(PALETTE), strict=False):
        for place, name in enumerate(order):
            mean, half = statistics.fmean(settings[name]), half_interval(settings[name])
            axes.barh(place, mean, height=0.66, color=colour, alpha=0.85)
            if half:
                axes.plot([mean - half, mean + half], [place, place], color=INK, linewidth=1.5)
            axes.annotate(
                f"{mean:.3g}", (mean + half, place), (4, 0), textcoords="offset points", va="center", fontsize=8
            )
        axes.margins(x=0.14)
        axes.set_xlabel(label, parse_math=False)
        bare(axes, grid="x")
    panes[0].set_yticks(range(len(order)), names, fontsize=9, parse_math=False)
    if title:
        figure.suptitle(title, fontsize=12, parse_math=False)
    name_figure(figure, over_seeds(map(len, first.values())))
    return figure


def _has(histories: Sequence[History], key: str) -> bool:
    return any(key in row for history in histories for row in history)


def _styles() -> Iterator[tuple[str, str]]:
    """Colours and markers without end; together they repeat late."""
    return zip(cycle(PALETTE), cycle(MARKERS), strict=False)


def _line(
    axes: Axes,
    points: Mapping[float, Sequence[float]],
    name: str,
    colour: str,
    marker: str,
    marks: bool,
    bars: bool,
) -> None:
    """A line through the means of the points, with their 95 % intervals as bars or as a band."""
    x = sorted(points)
    mean, half = ([each(points[number]) for number in x] for each in (statistics.fmean, half_interval))
    low, high = ([m + sign * h for m, h in zip(mean, half, strict=True)] for sign in (-1, 1))
    label = _label(name)
    shape = {"marker": marker, "markersize": 5} if marks else {}
    axes.plot(x, mean, color=colour, linewidth=1.8, label=label, **shape)  # type: ignore[arg-type]
    if not any(half):
        return
    if bars:
        axes.vlines(x, low, high, color=colour, linewidth=1.2)
    else:
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def is_wide(values: Sequence[float]) -> bool:
    """Whether positive numbers spread over a factor of ``WIDE``."""
    return bool(values) and min(values) > 0 and max(values) >= WIDE * min(values)


def log_axis(axes: Axes, side: str) -> None:
    """A log axis with plain numbers."""
    axis = axes.xaxis if side == "x" else axes.yaxis
    (axes.set_xscale if side == "x" else axes.set_yscale)("log")
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_of_all(figure: Figure, settings: Iterable[str]) -> None:
    """A legend of the settings beside the last panel, of their lines in any panel."""
    lines = {line.get_label(): line for axes in figure.axes for line in axes.lines}
    outside_legend(figure.axes[-1], [lines[label] for name in settings if (label := _label(name)) in lines])


def outside_legend(axes: Axes, lines: Sequence[Line2D] | None = None) -> None:
    """A legend on the right of ``axes``, of ``lines`` or of its own."""
    legend = axes.legend(
        handles=lines or axes.lines, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9,
        labelcolor=GREY,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)


def _label(name: str) -> str:
    return fit_text(name, 210, 1, 9)[0]
