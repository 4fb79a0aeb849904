"""What the domain experiment shows: a table and a figure of rates over a - b."""

import statistics
from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib.figure import Figure

from benchmarks.synthetic.tables import accuracy, markdown
from report.figures.plot_style import GREY, MARKERS, PALETTE, bare, name_figure, new_figure
from report.intervals import half_interval, over_seeds

Rates = Mapping[float, Sequence[Mapping[str, float]]]
"""By a - b, of each seed the rates in percent by ``DOMAIN``, ``RAW`` and those of ``KEPT``."""
DOMAIN, RAW = "domain accuracy", "domain accuracy of the raw features"
KEPT = ("class accuracy", "mean recall")


def table(rates: Rates) -> str:
    """Markdown, a row for each a - b; what is not there has no column."""
    keys = [key for key in (DOMAIN, *KEPT) if any(key in seed for seeds in rates.values() for seed in seeds)]
    rows = [[f"{d:g}", *(accuracy([seed[key] for seed in seeds]) for key in keys)] for d, seeds in rates.items()]
    return markdown(["a - b", *keys], rows)


def figure(rates: Rates, title: str) -> Figure:
    """A line for each rate over a - b, evenly spaced; dotted, what a probe of the raw features tells of the domain."""
    made = new_figure(7.0, 4.2)
    axes = made.subplots()
    places = range(len(rates))
    for key, colour, marker in zip((DOMAIN, *KEPT), cycle(PALETTE), cycle(MARKERS), strict=False):
        of = [[seed[key] for seed in seeds if key in seed] for seeds in rates.values()]
        if all(of):
            bars = [half_interval(each) for each in of]
            axes.errorbar(places, list(map(statistics.fmean, of)), bars, color=colour, marker=marker, label=key)
    if raw := [seed[RAW] for seeds in rates.values() for seed in seeds if RAW in seed]:
        axes.axhline(statistics.fmean(raw), color=GREY, linestyle=":", label=RAW)
    axes.set_xticks(list(places), [f"{d:g}" for d in rates])
    axes.set(xlabel="a - b: mass of a pair of one domain less that of two", ylabel="test items (%)")
    axes.set_title(title, parse_math=False)
    axes.legend(frameon=False, fontsize=9)
    bare(axes)
    name_figure(made, over_seeds(map(len, rates.values())))
    return made
