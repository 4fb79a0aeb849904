"""How near scores come to the pointwise mutual information, over the points of KME-CLIP: ``python -m benchmarks.pmi``.

On a latent mixture of Gaussians whose PMI is known in closed form, with MLP heads on features as they are: m points
of 4 dimensions, beside one point of as many numbers, which is CLIP. A seed draws data of its own, and a fit sees each
pair once: nothing is learned by heart. Logits are known up to a constant: the error is the root mean square of
``logit - PMI`` less its mean, over test pairs that belong together (drawn from the joint), over all others (drawn from
the product of the marginals), and over both at half the weight each; the mean is the last one's. Prints the table as
Markdown and draws the figure into ``docs/figures``.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.mixture_pmi import LatentMixture
from benchmarks.record import Parser, Record, command, positive
from benchmarks.runs import composed, run
from benchmarks.synthetic.tables import markdown
from ground.progress import progress_bar
from report.figures.plot_style import BLUE, GREY, ORANGE, bare, new_figure
from report.intervals import half_interval, over_seeds

FIGURE = Path("docs/figures/pmi_over_points.png")
RANK = 4
"""Dimensions of a point: one of so few cannot hold the memberships in all the centres."""
POINTS = (1, 2, 4, 8, 16)
DATA = (
    "datamodule.n_train=200000", "datamodule.n_val=200", "datamodule.n_test=1000", "datamodule.d_x=10",
    "datamodule.d_y=10", "datamodule.n_centres=16", "datamodule.latent_std=0.5", "datamodule.noise=1.0",
    "datamodule.batch_size=64",
)  # fmt: skip
FIT = (
    "aligner.unit=false", "aligner.head=mlp", "aligner.hidden=128", "aligner.optimizer.weight_decay=0.01",
    "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1", "trainer.accelerator=cpu", "evaluation.keep=last",
    "evaluation.probe=null", "evaluation.geometry=null", "evaluation.hubness=null",
)  # fmt: skip
QUICK = (
    "datamodule.n_train=256", "datamodule.n_test=40", "datamodule.n_val=20", "trainer.max_epochs=1",
    "trainer.check_val_every_n_epoch=1",
)  # fmt: skip
SETS, ONE, CONSTANT = "m points", "one point of as many numbers", "a constant"
MEASURES = ("both", "joint", "product", "correlation_joint", "correlation_product")
Measured = dict[str, float]


def departure(logits: Tensor, pmi: Tensor) -> Measured:
    """How far logits (n, n) are from the PMI (n, n) of the same pairs, by ``MEASURES``; the diagonal is of the joint.

    >>> pmi = torch.tensor([[2.0, 0.0, -1.0], [0.0, 3.0, -2.0], [1.0, 0.0, 2.5]])
    >>> departure(pmi + 7, pmi)["both"]
    0.0
    """
    own = torch.eye(len(pmi), dtype=torch.bool)
    parts = {"joint": own, "product": ~own}
    left = {name: (logits - pmi)[part].double() for name, part in parts.items()}
    constant = sum(each.mean() for each in left.values()) / 2
    squares = {name: float((each - constant).square().mean()) for name, each in left.items()}
    errors = {"both": sum(squares.values()) / 2, **squares}
    correlations = {
        f"correlation_{name}": float(torch.corrcoef(torch.stack([logits[part].double(), pmi[part]]))[0, 1])
        for name, part in parts.items()
    }
    return {name: square**0.5 for name, square in errors.items()} | correlations


def measured(overrides: Sequence[str], seed: int) -> dict[str, Measured]:
    """Fit and compare on the test split; of a constant in the place of the logits as well."""
    outcome = run(composed("kme_clip", "synthetic", ["datamodule=synthetic", *overrides, f"seed={seed}",
                                                     f"datamodule.data_seed={seed}"]))  # fmt: skip
    aligner: Any = outcome.aligner
    data: Any = outcome.judged.datamodule
    pairs = outcome.test[torch.arange(outcome.test.n_x)]
    mixture = LatentMixture(data.centres, data.basis_x, data.basis_y, data.latent_std, data.noise)
    pmi = mixture.pmi(pairs.x, pairs.y)
    logits = aligner.score(*outcome.embeddings) / aligner.fitted_objective.tau
    nothing = departure(torch.zeros_like(pmi), pmi) | dict.fromkeys(MEASURES[3:], 0.0)
    return {"fit": departure(logits, pmi), "nothing": nothing}


def told(values: Sequence[float]) -> str:
    """The mean with half its 95 % interval, two digits; of one value, the value.

    >>> told([1.0, 2.0, 3.0])
    '2.00 ± 2.48'
    """
    middle = f"{statistics.fmean(values):.2f}"
    return middle if len(values) < 2 else f"{middle} ± {half_interval(values):.2f}"


Results = dict[str, dict[int, list[Measured]]]
"""The numbers of every seed, by the curve's name and the number of points."""


def shown(results: Results) -> str:
    """The table as Markdown."""
    columns = ["", "m", "numbers", "error", "joint", "product", "correlation, joint", "correlation, product"]
    rows = [
        [name, str(m) if name == SETS else "1" if name == ONE else "", str(m * (RANK + 1)) if name != CONSTANT else "",
         *(told([each[key] for each in seeds]) for key in MEASURES)]
        for name, of in results.items()
        for m, seeds in of.items()
        if seeds
    ]  # fmt: skip
    return markdown(columns, rows)


def drawn(results: Results) -> Figure:
    """The error over the numbers of an embedding."""
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    for name, colour, marker in ((SETS, BLUE, "o"), (ONE, ORANGE, "s")):
        of = {m: [each["both"] for each in seeds] for m, seeds in results[name].items() if seeds}
        axes.errorbar(
            list(of), [statistics.fmean(values) for values in of.values()],
            yerr=[half_interval(values) for values in of.values()], color=colour, marker=marker, capsize=3,
            label=f"{name}, of {RANK} dimensions" if name == SETS else name,
        )  # fmt: skip
    nothing = [each["both"] for seeds in results[CONSTANT].values() for each in seeds]
    axes.axhline(statistics.fmean(nothing), color=GREY, linestyle=":", label=CONSTANT)
    axes.set_xscale("log", base=2)
    points = sorted(results[SETS])
    axes.set_xticks(points, [f"{m}\n{m * (RANK + 1)}" for m in points])
    axes.set_xlabel("points m, and numbers of an embedding")
    axes.set_ylabel("error of the logit against the PMI (nats)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    bare(axes)
    axes.set_title(over_seeds([len(seeds) for seeds in results[SETS].values()]), fontsize=9, color=GREY)
    return figure


def main(argv: Sequence[str]) -> None:
    parser = Parser("python -m benchmarks.pmi", description=__doc__)
    parser.add_argument(
        "--points", type=positive, nargs="+", default=list(POINTS), metavar="M", help="default: 1 to 16"
    )
    parser.add_argument("--seeds", type=positive, default=5, help="how many, from 0; default: 5")
    parser.add_argument("--quick", action="store_true", help="tiny data: shows that it runs, and no more")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    record = Record("pmi", vars(arguments))
    base = [*DATA, *FIT, *(QUICK if arguments.quick else ())]
    results: Results = {name: {m: [] for m in arguments.points} for name in (SETS, ONE)}
    results[CONSTANT] = {1: []}
    with progress_bar("fits", 2 * arguments.seeds * len(arguments.points), 0, visible=True) as advance:
        for seed in range(arguments.seeds):
            for m in arguments.points:
                for name, points, rank in ((SETS, m, RANK), (ONE, 1, m * (RANK + 1) - 1)):
                    of = measured([*base, f"aligner.points={points}", f"aligner.rank={rank}"], seed)
                    results[name][m].append(of["fit"])
                    if len(results[CONSTANT][1]) == seed:
                        results[CONSTANT][1].append(of["nothing"])
                    record.save(results=results)
                    advance(1)
    print(shown(results))
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    drawn(results).savefig(FIGURE)
    record.show()


if __name__ == "__main__":
    command(main)
