"""The tables of ``docs/geometry.md``, in Markdown."""

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.geometry.batches import Errors, slope
from benchmarks.geometry.equilibrium import Equilibrium
from benchmarks.geometry.mismatch import Coupled
from benchmarks.synthetic.tables import markdown


def errors(found: Sequence[Errors]) -> str:
    """A line a size, and the slopes of all sizes and of the upper half of them."""
    titles = [f"tau {each.tau:g}: {what}" for each in found for what in ("value", "gradient")]
    lines = [errors for each in found for errors in (each.value, each.gradient)]
    rows = [[str(size), *(f"{line[size]:.4f}" for line in lines)] for size in lines[0]]
    upper = list(lines[0])[len(lines[0]) // 2 :]
    rows.append(["slope", *(f"{slope(line):.2f}" for line in lines)])
    if len(upper) > 1:
        rows.append([f"slope from {upper[0]} on", *(f"{slope({n: line[n] for n in upper}):.2f}" for line in lines)])
    return markdown(["batch size", *titles], rows)


def equilibria(found: Sequence[Equilibrium]) -> str:
    """A line a dimension and kappa: total variations from each start, the losses at the end, and that of samples."""
    starts = list(dict.fromkeys(each.start for each in found))
    rows = []
    for dimension, kappa in dict.fromkeys((each.dimension, each.kappa) for each in found):
        of = {each.start: each for each in found if (each.dimension, each.kappa) == (dimension, kappa)}
        losses = [each.loss[1] for each in of.values()]
        rows.append([
            {2: "circle", 3: "sphere"}[dimension], f"{kappa:g}",
            *(f"{of[start].total_variation:.3f}" for start in starts),
            f"{next(iter(of.values())).sampling:.3f}", f"{max(losses) - min(losses):.1e}",
        ])  # fmt: skip
    columns = [*(f"from {start}" for start in starts), "independent draws", "spread of the final losses"]
    return markdown(["space", "kappa", *columns], rows)


def mismatches(found: Sequence[Coupled]) -> str:
    """A line a spread: means over seeds, of the raw features and of the embeddings."""
    rows = []
    kappas = list(found[0].divergence)
    for spread in dict.fromkeys(each.spread for each in found):
        for of in ("raw features", "embeddings"):
            here = [each for each in found if (each.spread, each.of) == (spread, of)]
            values = [
                *([getattr(each, name) for each in here] for name in ("cosine", "shuffled", "gap")),
                *([each.divergence[kappa] for each in here] for kappa in kappas),
            ]
            rows.append([f"{spread:g}", of, *(f"{statistics.fmean(value):.3f}" for value in values)])
    columns = ["cosine of partners", "of others", "gap", *(f"D, kappa {kappa:g}" for kappa in kappas)]
    return markdown(["spread", "of", *columns], rows)


def geometries(found: Mapping[str, Mapping[str, float]]) -> str:
    """A line a row, a column a number; empty where it has none."""
    columns = list(dict.fromkeys(name for numbers in [*found.values()][::-1] for name in numbers))
    rows = [
        [label, *(f"{numbers[name]:.2f}" if name in numbers else "" for name in columns)]
        for label, numbers in found.items()
    ]
    return markdown(["row", *columns], rows)
