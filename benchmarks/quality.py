"""Which aligner retrieves best: ``python -m benchmarks.quality``.

Every aligner of ``configs/aligner`` on the bundled data and on features files, over seeds. Recalls are means with
95 % intervals over seeds (Student's t), fit times medians; each aligner is compared with ``unicon`` on the same test
queries, with a 95 % interval over these.
"""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from torch import Tensor

from benchmarks.ablations import ABLATIONS
from benchmarks.paired import credits, paired_difference
from benchmarks.record import Parser, Record, command, path, positive, spread, table, told
from benchmarks.runs import composed, run
from benchmarks.tuning import axes_of, climb
from ground.configs import CONFIGS
from ground.errors import UserError, nearest
from ground.mistakes import user_line
from ground.progress import progress_bar
from report.tables import sweep_table
from running.compose import quoted

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
    names = dict.fromkeys(arguments.aligners or ALIGNERS)
    for name in names:
        if name not in ALIGNERS:
            raise UserError(f"unknown aligner '{name}': {nearest(name, ALIGNERS)}")
    if not arguments.ablation:
        return [(name, name, []) for name in names]
    if arguments.ablation == "parts" and arguments.tune:
        raise UserError(f"--ablation parts is of {OURS} at its own settings: leave --tune out")
    rows = [row for row in ABLATIONS[arguments.ablation] if row[1] in names]
    if not rows:
        raise UserError(f"--ablation {arguments.ablation} has no row of {', '.join(names)}: take {OURS}")
    return rows


def datasets(arguments: Any) -> dict[str, list[str]]:
    """Names of the data and the overrides that choose them."""
    if arguments.quick:
        if arguments.features or arguments.no_bundled:
            raise UserError("--quick has data of its own: leave --features and --no-bundled out")
        return {"synthetic": QUICK}
    chosen = {} if arguments.no_bundled else {"clipart": ["datamodule=clipart"]}
    for file in dict.fromkeys(arguments.features):
        if not file.is_file():
            raise UserError(f"no features file at {file}: give --features safetensors files with x and y")
        name = file.stem if file.stem not in chosen else str(file)
        chosen[name] = ["datamodule=features", f"datamodule.path={quoted(str(file))}"]
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
        except Exception as error:  # a setting that diverges, or a ridge too small: the worst of all
            if user_line(error, []) is None:
                raise
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
        if label != ours and len(credit[ours][0]) > 1:  # an interval needs two groups
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
    recalls.title = f"{data}: {recalls.title}"
    columns = ["aligner", "fit s, median (min to max)", f"{ours} minus it", "set"]
    differences = f"{data}: fit, and the difference on the same queries, ± 95 % over queries"
    return [recalls, table(differences, columns, cells)], rows


def _short(override: str) -> str:
    """``aligner.optimizer.lr=0.01`` as ``lr=0.01``."""
    key, _, value = override.partition("=")
    return f"{key.rpartition('.')[2]}={value}"


def main(argv: Sequence[str]) -> None:
    parser = Parser("python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--features", nargs="+", type=path, default=[], metavar="FILE", help="beside the bundled data")
    parser.add_argument("--no-bundled", action="store_true", help="leave the bundled data out")
    parser.add_argument("--aligners", nargs="+", metavar="NAME", help="default: all of configs/aligner")
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
    record = Record(
        "ablation" if arguments.ablation else "quality",
        vars(arguments) | {"aligners": [label for label, *_ in field], "features": list(map(str, arguments.features))},
    )

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

    def summarise() -> tuple[dict[str, Any], list[Table]]:
        measured = {name: tables(name, runs[name], credit[name], failed[name]) for name in data if runs[name]}
        summary = {name: rows for name, (_, rows) in measured.items()}
        return {"summary": summary}, [each for shown, _ in measured.values() for each in shown]

    with (
        record.ending(summarise),
        progress_bar("runs", len(seeds) * len(data) * len(field), 0, visible=True) as advance,
    ):
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
                        record.save(failed=failed)
                        continue
                    # before the run is counted: whatever ends it here, the two go together
                    mine = credits(*outcome.embeddings, outcome.test)
                    runs[name].append(
                        {"name": name, "aligner": label, "seed": seed, "set": chosen, "metrics": outcome.metrics}
                    )
                    credit[name].setdefault(label, []).append(mine)
                    record.save(runs=runs, failed=failed)

    for name in data:
        if not runs[name]:
            raise UserError(f"no aligner could run on {name}: {next(iter(failed[name].values()))}")


if __name__ == "__main__":
    command(main)
