"""The training losses of settings side by side."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from report.figures.comparison_plots import draw_over_passes, outside_legend
from report.figures.fitted_text import fit_text
from report.figures.plot_style import name_figure, new_figure
from report.figures.plots import History
from report.intervals import over_seeds

ACROSS = 3
"""So many panels at most stand in a row."""


def loss_over_passes(panels: Mapping[str, Mapping[str, Sequence[History]]]) -> Figure:
    """The training objective of several settings against the passes over the data, one panel an aligner.

    After Figures C2 and C3. Each aligner has an objective of its own, whose values say nothing beside another's: so
    each panel has an axis of its own. A line is the mean over the seeds of a setting, the band around it
    the 95 % interval of the mean (Student's t).

    Args:
        panels: by the aligner and the setting: the records, one a seed, with ``objective`` and the passes' ``pass``.

    Raises:
        ValueError: a panel without an objective, or none.
    """
    if not panels:
        raise ValueError("there is no training loss to draw")
    across = min(len(panels), ACROSS)
    down = -(-len(panels) // across)
    figure = new_figure(4.6 * across + 2.0, 3.4 * down + 0.4)
    grid = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for axes, (title, settings) in zip(grid, panels.items(), strict=False):
        draw_over_passes(axes, settings, "objective", "training objective")
        axes.set_title(fit_text(title, 260, 1, 11)[0], fontsize=11, parse_math=False)
        if len(settings) > 1:
            outside_legend(axes)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    name_figure(figure, over_seeds(len(each) for settings in panels.values() for each in settings.values()))
    return figure
