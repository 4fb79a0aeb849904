"""What becomes of solved models over their passes: their norm, and their angles to the pass before."""

from collections.abc import Mapping, Sequence
from itertools import product

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from report.figures.comparison_plots import draw_over_passes, is_wide, legend_of_all, log_axis
from report.figures.plot_style import BLUE, GREEN, ORANGE, bare, name_figure, new_figure
from report.figures.plots import MARKED, History, mark_kept
from report.intervals import over_seeds

ANGLE = "largest angle of a head\nto the pass before (degrees)"


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
    norms.set_ylim(0, 1.04 * norms.get_ylim()[1])
    norms.set(xlabel="pass", ylabel=r"$\|Z\|_F$", title="Norm of the model")
    shown = []
    # the line of y is the narrower one: of a shared head both are one
    heads = (("x", names[0], BLUE, 3.2), ("y", names[1], ORANGE, 1.4))
    for (side, name, colour, width), (kind, style) in product(heads, (("largest", "-"), ("mean", "--"))):
        points = [(row["pass"], row[key]) for row in rows if (key := f"{kind}_angle_{side}") in row]
        shown += [angle for _, angle in points]
        turns.plot(
            *zip(*points, strict=True),
            color=colour, linestyle=style, linewidth=width, marker=marker, markersize=3.5, label=f"{name}, {kind}",
        )  # fmt: skip
    if is_wide(shown):
        log_axis(turns, "y")
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


def models_over_passes(settings: Mapping[str, Sequence[History]], validation: str) -> Figure:
    """The norms and largest angles of settings against the passes over the data, beside the validation of all.

    After Figure C4: the norm of UniCon's model over its iterations, and the validation of SGD over its epochs. The
    angle of a pass is the larger one of both heads. A line is the mean over the seeds of a setting, the band the
    95 % interval of the mean (Student's t).

    Args:
        settings: the histories of each setting, with readings of the data under ``pass``, from 1; ``model_norm`` and
            ``mean_recall`` among their metrics.
        validation: the axis label of the latter.

    Raises:
        ValueError: when no history has a norm.
    """
    turned = {name: [_with_larger_angle(history) for history in each] for name, each in settings.items()}
    panels = {
        key: label
        for key, label in (("model_norm", "norm of the model"), ("angle", ANGLE), ("mean_recall", validation))
        if any(key in row for each in turned.values() for history in each for row in history)
    }
    if "model_norm" not in panels:
        raise ValueError("the histories hold no norm of a model")
    figure = new_figure(4.6 * len(panels) + 2.0, 3.8)
    for axes, (key, label) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        draw_over_passes(axes, turned, key, label)
        if key == "angle" and is_wide([row[key] for each in turned.values() for h in each for row in h if key in row]):
            log_axis(axes, "y")
        else:
            axes.set_ylim(0, 1.04 * axes.get_ylim()[1])
    legend_of_all(figure, settings)
    seeds = [
        max(sum(any(key in row for row in history) for history in each) for key in panels) for each in turned.values()
    ]
    name_figure(figure, over_seeds(filter(None, seeds)))
    return figure


def _with_larger_angle(history: History) -> list[Mapping[str, float]]:
    return [
        {**row, "angle": max(row["largest_angle_x"], row["largest_angle_y"])} if "largest_angle_x" in row else row
        for row in history
    ]
