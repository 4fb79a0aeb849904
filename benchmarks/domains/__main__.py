"""Domain accuracy over a - b, the domain experiment of GCA: ``python -m benchmarks.domains``.

Fits ``gca_domains`` for every difference a - b, where a is the difference above 0 and b the one below, and every seed,
and tests by linear probes of the domain and, where there are labels, of the class, and by recall. On synthetic features
with classes and domains, or on a table or features file with domains, whose split is drawn with the seed where it has
none. Prints the table as Markdown, and draws the figure into ``docs/figures``.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate

from benchmarks.domains.features import synthetic_file
from benchmarks.domains.shown import DOMAIN, KEPT, RAW, figure, table
from benchmarks.record import Parser, Record, command, path, positive
from benchmarks.runs import composed, run
from ground.errors import UserError
from ground.progress import progress_bar
from running.compose import quoted

FIGURES = Path("docs/figures")
DIFFERENCES = (-0.01, -0.003, -0.001, 0.0, 0.001, 0.003, 0.01)
LESS = (
    "evaluation.geometry=null", "evaluation.hubness=null", "evaluation.probe.every_pass=false",
    "evaluation.probe.raw=false", "evaluation.probe.strengths=[0.1]", "evaluation.domain_probe.strengths=[0.1]",
    "trainer.accelerator=cpu",
)  # fmt: skip
QUICK = ("aligner.rank=4", "trainer.max_epochs=2")
METRICS = dict(zip((DOMAIN, *KEPT), ("domain_probe/accuracy", "linear_probe/accuracy", "mean_recall"), strict=True))


def parsed(argv: Sequence[str]) -> Namespace:
    parser = Parser("python -m benchmarks.domains", description=__doc__)
    parser.add_argument("--data", type=path, metavar="FILE", help="a table or a features file; default: synthetic")
    parser.add_argument(
        "--differences", nargs="+", type=float, default=list(DIFFERENCES), metavar="A-B",
        help=f"default: {' '.join(map(str, DIFFERENCES))}",
    )  # fmt: skip
    parser.add_argument("--seeds", type=positive, default=3, help="how many, from 0; default: 3")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="further overrides, as of train.py")
    parser.add_argument("--quick", action="store_true", help="tiny: shows that it runs")
    return parser.parse_args(argv)


def of_data(arguments: Namespace, seed: int) -> list[str]:
    """The overrides of the data of a seed."""
    file: Path = arguments.data or synthetic_file(seed, arguments.quick)
    kind = "features" if file.suffix == ".safetensors" else "table"
    return [f"datamodule={kind}", f"datamodule.path={quoted(str(file))}", f"datamodule.split_seed={seed}"]


def main(argv: Sequence[str]) -> None:
    arguments = parsed(argv)
    torch.set_num_threads(1)
    name = arguments.data.stem if arguments.data else "synthetic"
    record = Record("domains", vars(arguments) | {"data": name})
    rates: dict[float, list[dict[str, float]]] = {d: [] for d in sorted(set(arguments.differences))}
    with progress_bar("fits", arguments.seeds * len(rates), 0, visible=True) as advance:
        for seed in range(arguments.seeds):
            common = [*of_data(arguments, seed), f"seed={seed}", *LESS]
            common += [*(QUICK if arguments.quick else ()), *arguments.set]
            datamodule: Any = None
            for number, (difference, found) in enumerate(rates.items()):
                plan = [f"aligner.a={max(difference, 0)}", f"aligner.b={max(-difference, 0)}"]
                raw = f"evaluation.domain_probe.raw={str(number == 0).lower()}"  # of a seed they are the same
                config = composed("gca_domains", name, [*common, *plan, raw])
                datamodule = datamodule or instantiate(config.datamodule)
                metrics = run(config, datamodule).metrics
                if f"test/{METRICS[DOMAIN]}" not in metrics:
                    raise UserError(f"{name}: the training or the test split has fewer than two domains")
                keys = METRICS | {RAW: f"raw/{METRICS[DOMAIN]}"}
                found.append({key: metrics[f"test/{at}"] for key, at in keys.items() if f"test/{at}" in metrics})
                record.save(rates=[{"a - b": d, "seeds": seeds} for d, seeds in rates.items()])
                advance(1)
    print(f"{table(rates)}\n")
    FIGURES.mkdir(parents=True, exist_ok=True)
    figure(rates, f"Domains apart or mixed, {name}").savefig(FIGURES / f"domains_{name}.png")
    record.show()


if __name__ == "__main__":
    command(main)
