"""How GCA-INCE depends on its temperature and iterations, and its plans as heat maps: ``python -m benchmarks.plans``.

``gca_ince`` is fitted for every temperature eps, fixed, and every number of Sinkhorn's iterations; the table and the
figure have its mean recall on validation, of a features file or of synthetic features with domains. On the latter,
``gca_domains`` shows the target T, the kernel K and the plan P of a part of the test split, for domains that are kept
apart, left alone and mixed. The figures are drawn into ``docs/figures``.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.domains import GCADomains
from aligners.objectives.plans import domain_plan
from aligners.objectives.sinkhorn import DenseKernel, plan, sinkhorn
from aligners.objectives.transport import log_kernel
from benchmarks.domains.features import synthetic_file
from benchmarks.record import Parser, Record, command, path, positive
from benchmarks.runs import Outcome, composed, run
from benchmarks.synthetic.tables import accuracy, markdown
from ground.progress import progress_bar
from report.figures.matrix_plots import plan_maps, settings_map
from report.figures.plot_style import name_figure
from running.compose import quoted

FIGURES = Path("docs/figures")
EPS, ITERATIONS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0), (1, 2, 10, 50)
PLANS = {"a - b = -0.02": (0.0, 0.02), "a = b = 0": (0.0, 0.0), "a - b = 0.02": (0.02, 0.0)}
SHOWN = 16
"""Items of each domain in the heat maps."""
LESS = (
    "evaluation.geometry=null", "evaluation.hubness=null", "evaluation.probe=null", "evaluation.domain_probe=null",
    "trainer.accelerator=cpu",
)  # fmt: skip
SYNTHETIC, QUICK = ("aligner.rank=12", "datamodule.batch_size=240"), ("aligner.rank=4", "trainer.max_epochs=2")


def of_test(outcome: Outcome, a: float, b: float) -> tuple[Tensor, Tensor, Tensor]:
    """T, K and P of the first test items of each domain, one domain after another."""
    aligner, pairs = outcome.aligner, outcome.test
    assert isinstance(aligner, GCADomains)
    assert pairs.domain is not None
    rows = torch.cat([(pairs.domain == each).nonzero()[:SHOWN, 0] for each in pairs.domain.unique()])
    y = pairs.first_y[rows]
    x, y_rows = (normalize(part[at].double()) for part, at in zip(outcome.embeddings, (rows, y), strict=True))
    domain, group = pairs.domain[rows], pairs.group[rows]
    T = domain_plan(group[:, None] == group, domain[:, None] == domain, a, b)
    kernel = DenseKernel(log_kernel(x @ y_rows.T, aligner.tau))
    scaled = sinkhorn(kernel, T.sum(1).log(), T.sum(0).log(), aligner.iterations)
    return T, kernel.log_K.exp(), plan(kernel, *scaled)


def main(argv: Sequence[str]) -> None:
    parser = Parser("python -m benchmarks.plans", description=__doc__)
    parser.add_argument("--features", type=path, metavar="FILE", help="a features file; default: synthetic")
    parser.add_argument("--eps", nargs="+", type=float, default=list(EPS), help=f"default: {' '.join(map(str, EPS))}")
    parser.add_argument(
        "--iterations", nargs="+", type=positive, default=list(ITERATIONS),
        help=f"default: {' '.join(map(str, ITERATIONS))}",
    )  # fmt: skip
    parser.add_argument("--seeds", type=positive, default=3, help="how many, from 0; default: 3")
    parser.add_argument("--quick", action="store_true", help="tiny: shows that it runs")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    name = arguments.features.parent.name if arguments.features else "synthetic"
    record = Record("plans", {key: str(value) for key, value in vars(arguments).items()})
    grid = [(eps, t) for eps in arguments.eps for t in arguments.iterations]
    small = [*(() if arguments.features else SYNTHETIC), *(QUICK if arguments.quick else ())]
    recalls: dict[tuple[float, int], list[float]] = {setting: [] for setting in grid}
    with progress_bar("fits", arguments.seeds * len(grid), 0, visible=True) as advance:
        for seed in range(arguments.seeds):
            file = arguments.features or synthetic_file(seed, arguments.quick)
            data = ["datamodule=features", f"datamodule.path={quoted(str(file))}", f"seed={seed}", *LESS, *small]
            for (eps, t), found in recalls.items():
                setting = [f"aligner.tau={eps}", "aligner.learn_tau=false", "aligner.tau_min=0.001"]
                setting += [f"+aligner.objective_options.iterations={t}"]
                found.append(max(run(composed("gca_ince", name, [*data, *setting])).recalls))
                record.save(recalls=[{"eps": e, "iterations": i, "seeds": of} for (e, i), of in recalls.items()])
                advance(1)
    rows, columns = sorted({eps for eps, _ in grid}), sorted({t for _, t in grid})
    cells = [[f"{eps:g}", *(accuracy(recalls[eps, t]) for t in columns)] for eps in rows]
    print(f"{markdown(['eps', *(f't = {t}' for t in columns)], cells)}\n")
    FIGURES.mkdir(parents=True, exist_ok=True)
    means = [[statistics.fmean(recalls[eps, t]) for t in columns] for eps in rows]
    sensitivity = settings_map(means, list(map(str, rows)), list(map(str, columns)), ("eps", "Sinkhorn iterations"))
    name_figure(sensitivity, f"gca_ince, {name}, mean recall on validation (%)")
    sensitivity.savefig(FIGURES / f"sensitivity_{name}.png")
    if not arguments.features:
        data = [
            "datamodule=features",
            f"datamodule.path={quoted(str(synthetic_file(0, arguments.quick)))}",
            *LESS,
            *small,
        ]
        maps = {
            title: of_test(run(composed("gca_domains", name, [*data, f"aligner.a={a}", f"aligner.b={b}"])), a, b)
            for title, (a, b) in PLANS.items()
        }
        figure = plan_maps(maps, "x", "y")
        name_figure(figure, f"gca_domains, synthetic features, {SHOWN} test items of each of three domains")
        figure.savefig(FIGURES / "transport_plans.png")
    record.show()


if __name__ == "__main__":
    command(main)
