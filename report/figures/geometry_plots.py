"""What smoothed densities on the sphere say, against the concentration of their kernels."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from evaluation.densities import Densities
from report.figures.comparison_plots import log_axis, outside_legend
from report.figures.fitted_text import fit_text
from report.figures.plot_style import MARKERS, PALETTE, bare, new_figure


def over_kappa(before_after: Mapping[str, Sequence[Densities]], x_name: str, y_name: str) -> Figure:
    """Entropies of both modalities and their divergence against kappa, a line style for each of ``before_after``.

    Args:
        before_after: densities at rising kappas by what they are of, as ``embeddings`` and ``raw features``.

    Raises:
        ValueError: without any.
    """
    if not any(before_after.values()):
        raise ValueError("nothing to draw: there are no densities")
    figure = new_figure(10.8, 3.8)
    entropies, divergence = figure.subplots(1, 2)
    for (title, found), style in zip(before_after.items(), ("-", "--"), strict=False):
        kappas = [each.kappa for each in found]
        of = {
            f"{title}: {x_name}": (entropies, [each.entropies[0] for each in found]),
            f"{title}: {y_name}": (entropies, [each.entropies[1] for each in found]),
            f"{title}: divergence": (divergence, [each.divergence for each in found]),
        }
        for (label, (axes, values)), colour, marker in zip(of.items(), PALETTE, MARKERS, strict=False):
            shown = fit_text(label, 210, 1, 9)[0]
            axes.plot(kappas, values, style, color=colour, marker=marker, markersize=5, linewidth=1.8, label=shown)
    for axes, title in ((entropies, "entropy (nats)"), (divergence, "symmetric divergence D (nats)")):
        log_axis(axes, "x")
        axes.set(xlabel="kappa, the inverse of a temperature", ylabel=title)
        bare(axes)
    outside_legend(divergence, [*entropies.lines, *divergence.lines])
    figure.suptitle("Smoothed densities on the sphere", fontsize=13)
    return figure
