"""Which aligner retrieves best: ``python -m benchmarks.quality``.

Every aligner of ``configs/aligner`` on the bundled data and on features files, over seeds. Recalls are means with
95 % intervals over seeds, fit times medians; each aligner is compared with ``unicon`` on the same test queries.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from torch import Tensor

from benchmarks.ablations import ABLATIONS
from benchmarks.paired import credits, paired_difference
from benchmarks.record import Parser, Record, command, positive, spread, table, told
from benchmarks.runs import composed, run
from benchmarks.tuning import axes_of, climb
from ground.configs import CONFIGS
from ground.errors import UserError, nearest
from ground.mistakes import user_line
from ground.progress import progress_bar
from report.tables import sweep_table

ALIGNERS = sorted(path.stem for path in (CONFIGS / "aligner").glob("*.yaml"))
OURS = "unicon"
LESS = ["evaluation.probe.every_pass=false"]
"""What no number of this benchmark needs is not computed."""
TUNING_SEED = 0
QUICK = [
    "datamodule=synthetic", "datamodule.n_train=60", "datamodule.n_val=20", "datamodule.n_test=20",
    "datamodule.batch_size=32", "aligner.rank=8", "trainer.max_epochs=2",
]  # fmt: skip

Contestant = tuple[str, str, list[str]]
"""Its label in the tables, its config, and its overrides."""
Runs = list[dict[str, Any]]


def contestants(arguments: Any) -> list[Contestant]:
    for name in arguments.aligners:
        if name not in ALIGNERS:
            raise UserError(f"unknown aligner '{name}': {nearest(name, ALIGNERS)}")
    if arguments.ablation:
        rows = [row for row in ABLATIONS[arguments.ablation] if row[1] in arguments.aligners]
        if not rows:
            raise UserError(
                f"--ablation {arguments.ablation} has no row of {', '.join(arguments.aligners)}: take {OURS}"
            )
        return rows
    return [(name, name, []) for name in arguments.aligners]


def datasets(arguments: Any) -> dict[str, list[str]]:
    """Names of the data and the overrides that choose them."""
    if arguments.quick:
        return {"synthetic": QUICK}
    chosen = {} if arguments.no_bundled else {"clipart": ["datamodule=clipart"]}
    for file in arguments.features:
        path = Path(file).expanduser()
        if not path.is_file():
            raise UserError(f"no features file at {file}: give --features safetensors files with x and y")
        name = path.stem if path.stem not in chosen else str(path)
        quoted = str(path).replace("\\", "\\\\").replace("'", "\\'")
        chosen[name] = ["datamodule=features", f"datamodule.path='{quoted}'"]
    if not chosen:
        raise UserError("no data: give --features, or leave --no-bundled out")
    return chosen


def tuned(data: str, of_data: list[str], each: Contestant, coarse: bool) -> dict[str, Any]:
    """The best setting of a contestant on validation, as ``tuning.climb`` tells it; empty where nothing is tuned."""
    _, aligner, overrides = each
    config = composed(aligner, data, [*of_data, *LESS, *overrides])
    axes = axes_of(aligner, config, coarse=coarse)
    if not axes:
        return {}

    def score(setting: list[str]) -> float:
        try:
            outcome = run(composed(aligner, data, [*of_data, *LESS, *overrides, *setting, f"seed={TUNING_SEED}"]))
        except UserError:  # a setting that diverges, or a ridge too small: the worst of all
            return -1.0
        return max(outcome.recalls)

    return climb(axes, config, score)


def tables(data: str, runs: Runs, credit: dict[str, list[Tensor]], failed: dict[str, str]) -> tuple[list[Table], Runs]:
    """The recalls of a dataset, and the fit times with the paired differences, as tables and as plain rows."""
    ours = next(iter(credit)) if OURS not in credit else OURS
    rows: Runs = []
    for label in credit:
        mine = [each["metrics"] for each in runs if each["aligner"] == label]
        row: dict[str, Any] = {
            "aligner": label,
            "mean_recall": spread([each["test/mean_recall"] for each in mine]),
            "fit_seconds": spread([each["time/fit_seconds"] for each in mine]),
            "set": next(each["set"] for each in runs if each["aligner"] == label),
        }
        if label != ours:
            difference, half = paired_difference(credit[ours], credit[label])
            row |= {"behind": difference, "behind_half_interval": half}
        rows.append(row)
    cells = [
        [
            row["aligner"],
            told(row["fit_seconds"], 2),
            f"{row['behind']:+.2f} ± {row['behind_half_interval']:.2f}" if "behind" in row else "",
            ", ".join(map(_short, row["set"])),
        ]
        for row in rows
    ] + [[label, "failed", "", line] for label, line in failed.items()]
    recalls = sweep_table([each | {"overrides": []} for each in runs])  # settings stand in the second table
    recalls.title = f"{data}: test split, rates in percent, 95 % intervals over seeds"
    columns = ["aligner", "fit s, median (min to max)", f"{ours} minus it", "set"]
    return [recalls, table(f"{data}: fit, and the difference on the same queries", columns, cells)], rows


def _short(override: str) -> str:
    """``aligner.optimizer.lr=0.01`` as ``lr=0.01``."""
    key, _, value = override.partition("=")
    return f"{key.rpartition('.')[2]}={value}"


def main(argv: Sequence[str]) -> None:
    parser = Parser("python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--features", nargs="+", default=[], metavar="FILE", help="beside the bundled data")
    parser.add_argument("--no-bundled", action="store_true", help="leave the bundled data out")
    parser.add_argument(
        "--aligners", nargs="+", default=ALIGNERS, metavar="NAME", help="default: all of configs/aligner"
    )
    parser.add_argument("--seeds", type=positive, default=5, help="how many, from 0; default: 5")
    parser.add_argument("--tune", action="store_true", help="report each baseline at its best setting on validation")
    parser.add_argument(
        "--ablation", nargs="?", const="parts", choices=ABLATIONS,
        help="instead: unicon with one part at a time switched off; "
        "or matched: other weights, and gradient aligners on its features (with --tune); of --aligners",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="tiny synthetic data: shows that it runs, not who is best")
    arguments = parser.parse_args(argv)
    seeds = range(min(arguments.seeds, 2) if arguments.quick else arguments.seeds)
    field, data = contestants(arguments), datasets(arguments)
    record = Record("ablation" if arguments.ablation else "quality", vars(arguments))

    settings: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in data}
    if arguments.tune:
        with progress_bar("tuning", len(data) * len(field), 0, visible=True) as advance:
            for name, of_data in data.items():
                for each in field:
                    settings[name][each[0]] = tuned(name, of_data, each, coarse=bool(arguments.ablation))
                    record.save(tuned=settings)
                    advance(1)

    runs: dict[str, Runs] = {name: [] for name in data}
    credit: dict[str, dict[str, list[Tensor]]] = {name: {} for name in data}
    failed: dict[str, dict[str, str]] = {name: {} for name in data}
    with progress_bar("runs", len(seeds) * len(data) * len(field), 0, visible=True) as advance:
        for seed in seeds:
            for name, of_data in data.items():
                for label, aligner, overrides in field:
                    advance(1)
                    if label in failed[name]:
                        continue
                    chosen = [*overrides, *settings[name].get(label, {}).get("overrides", [])]
                    try:
                        outcome = run(composed(aligner, name, [*of_data, *LESS, *chosen, f"seed={seed}"]))
                    except Exception as error:  # one that cannot run on this data does not stop the others
                        line = user_line(error, [])
                        if line is None:
                            raise
                        failed[name][label] = line
                        continue
                    runs[name].append(
                        {"name": name, "aligner": label, "seed": seed, "set": chosen, "metrics": outcome.metrics}
                    )
                    credit[name].setdefault(label, []).append(credits(*outcome.embeddings, outcome.test))
                    record.save(runs=runs, failed=failed)

    shown: list[Table] = []
    summary = {}
    for name in data:
        if not runs[name]:
            raise UserError(f"no aligner could run on {name}: {next(iter(failed[name].values()))}")
        of_name, summary[name] = tables(name, runs[name], credit[name], failed[name])
        shown += of_name
    record.save(summary=summary)
    record.show(*shown)


if __name__ == "__main__":
    command(main)
