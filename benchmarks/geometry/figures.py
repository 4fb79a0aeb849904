"""The figures of ``docs/geometry.md``."""

import statistics
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure

from benchmarks.geometry.batches import Errors
from benchmarks.geometry.equilibrium import Equilibrium
from benchmarks.geometry.mismatch import Coupled
from report.figures.comparison_plots import log_axis, outside_legend
from report.figures.plot_style import BLUE, GREEN, GREY, MARKERS, ORANGE, PALETTE, bare, new_figure


def error_lines(found: Sequence[Errors]) -> Figure:
    """Errors of value and gradient against the batch's size, on logarithmic axes, beside a line of slope -1/2."""
    figure = new_figure(10.8, 3.8)
    panels = figure.subplots(1, 2)
    for axes, which, label in zip(
        panels, (0, 1), ("error of the value (nats)", "error of the gradient, relative"), strict=True
    ):
        for each, colour, marker in zip(found, PALETTE, MARKERS, strict=False):
            errors = (each.value, each.gradient)[which]
            name = f"tau {each.tau:g}: slope {each.slopes[which]:.2f}"
            axes.plot(list(errors), list(errors.values()), color=colour, marker=marker, markersize=5, label=name)
        sizes = np.array(list(found[0].value))
        start = max((each.value, each.gradient)[which][sizes[0]] for each in found)
        axes.plot(sizes, start * (sizes / sizes[0]) ** -0.5, color=GREY, linestyle=":", label="slope -0.5")
        log_axis(axes, "x")
        log_axis(axes, "y")
        axes.set(xlabel="batch size", ylabel=label)
        axes.legend(frameon=False, fontsize=9)
        bare(axes)
    figure.suptitle("The objective of a batch against that of all pairs", fontsize=12)
    return figure


def densities_of_particles(found: Sequence[Equilibrium]) -> Figure:
    """Histograms of the particles over the bins against the Gibbs density's, a panel a kappa, of one dimension."""
    kappas = list(dict.fromkeys(each.kappa for each in found))
    figure = new_figure(4.2 * len(kappas) + 2.2, 3.6)
    panels = figure.subplots(1, len(kappas), sharey=True, squeeze=False)[0]
    for axes, kappa in zip(panels, kappas, strict=True):
        of = [each for each in found if each.kappa == kappa]
        axes.stairs(of[0].gibbs, color="#D5D5D5", fill=True, label="Gibbs density")
        for each, colour in zip(of, (BLUE, ORANGE, GREEN), strict=False):
            axes.stairs(each.histogram, color=colour, linewidth=1.6, label=f"from {each.start}")
        apart = ", ".join(f"{each.total_variation:.3f}" for each in of)
        axes.set_title(f"kappa {kappa:g}: total variation\n{apart}", fontsize=10)
        axes.set_xlabel("bin of equal measure")
        bare(axes)
    panels[0].set_ylabel("share of the particles")
    panels[-1].legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    where = {2: "circle", 3: "sphere"}[found[0].dimension]
    figure.suptitle(f"Particles on the {where} under the unimodal loss, after their descent", fontsize=12)
    return figure


def over_spread(found: Sequence[Coupled]) -> Figure:
    """Cosine of partners, gap and divergence against the spread, before and after; means over seeds."""
    spreads = list(dict.fromkeys(each.spread for each in found))
    kappas = list(found[0].divergence)
    figure = new_figure(13.2, 3.8)
    cosine, gap, divergence = figure.subplots(1, 3)

    def mean(of: str, value: Callable[[Coupled], float]) -> list[float]:
        return [
            statistics.fmean(value(each) for each in found if (each.spread, each.of) == (spread, of))
            for spread in spreads
        ]

    for of, style in (("embeddings", "-"), ("raw features", "--")):
        cosine.plot(spreads, mean(of, lambda each: each.cosine), style, color=BLUE, marker="o", label=f"partners, {of}")
        gap.plot(spreads, mean(of, lambda each: each.gap), style, color=ORANGE, marker="o", label=of)
        for kappa, colour, marker in zip(kappas, PALETTE, MARKERS, strict=False):
            values = mean(of, lambda each, kappa=kappa: each.divergence[kappa])  # type: ignore[misc]
            divergence.plot(spreads, values, style, color=colour, marker=marker, label=f"kappa {kappa:g}, {of}")
    cosine.plot(spreads, mean("embeddings", lambda each: each.shuffled), color=GREY, label="others, embeddings")
    for axes, label in (
        (cosine, "mean cosine"), (gap, "distance of the means"), (divergence, "symmetric divergence D (nats)")
    ):  # fmt: skip
        axes.set(xlabel="spread of the pairs' angles (radians)", ylabel=label)
        bare(axes)
    divergence.set_yscale("symlog", linthresh=0.01)  # it may be 0, or a little below
    cosine.legend(frameon=False, fontsize=8)
    gap.legend(frameon=False, fontsize=8)
    outside_legend(divergence)
    figure.suptitle("Two modalities with a mismatched pairing, aligned by CLIP's loss", fontsize=12)
    return figure
