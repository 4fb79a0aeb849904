"""The latent-factor experiments of UniCon: ``python -m benchmarks.synthetic``.

Runs every row of ``docs/synthetic.md`` over seeds, each with data of its own, prints the tables as Markdown, and draws
the figures into ``docs/figures``. Accuracies are means with half the 95 % interval of the mean over seeds (Student's
t), CPU seconds medians, on one thread, without validation; bare ones, without Lightning, are the first seed's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from benchmarks.record import Parser, Record, command, positive
from benchmarks.runs import composed, run
from benchmarks.synthetic.climb import Axes, climb
from benchmarks.synthetic.figures import figures
from benchmarks.synthetic.measured import Fit, measured
from benchmarks.synthetic.rows import FAIR, GROUPS, PASSES, PRINTED, Row
from benchmarks.synthetic.tables import tables
from ground.errors import UserError
from ground.progress import progress_bar

FIGURES = Path("docs/figures")
LESS = ("evaluation.probe=null", "evaluation.geometry=null", "trainer.accelerator=cpu")
QUICK = (
    "datamodule.n_train=60", "datamodule.n_val=20", "datamodule.n_test=20", "aligner.rank=8", "trainer.max_epochs=2",
    "trainer.check_val_every_n_epoch=1",
)  # fmt: skip
GRADIENT: Axes = {
    "aligner.optimizer.lr": [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
    "aligner.optimizer.weight_decay": [0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0],
    "trainer.max_epochs": [30, 60, 120, 240, 480],
}
CLOSED_FORM: Axes = {
    "aligner.lam": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0],
    "aligner.weight_power": [0.0, 0.5, 1.0, 2.0, 4.0],
}
TUNING_SEED = 0


def settings_of(row: Row, overrides: list[str]) -> dict[str, Any]:
    """The best setting of a row on the validation split of the first seed, as ``climb`` tells it."""
    config = composed(row.aligner, "synthetic", overrides)
    grid = CLOSED_FORM if OmegaConf.select(config, "aligner.optimizer") is None else GRADIENT
    axes = {key: values for key, values in grid.items() if isinstance(OmegaConf.select(config, key), int | float)}

    def score(setting: list[str]) -> float:
        try:
            return max(run(composed(row.aligner, "synthetic", [*overrides, *setting, f"seed={TUNING_SEED}"])).recalls)
        except UserError:  # a setting that diverges, or a ridge too small: the worst of all
            return -1.0

    return climb(axes, config, score)


def main(argv: Sequence[str]) -> None:
    parser = Parser("python -m benchmarks.synthetic", description=__doc__)
    parser.add_argument("--seeds", type=positive, default=5, help="how many, from 0; default: 5")
    names = [group.name for group in GROUPS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="TABLE", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="tiny data: shows that it runs, and no more")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    record = Record("synthetic", vars(arguments))
    small = QUICK if arguments.quick else ()
    runs: dict[str, dict[str, dict[str, list[dict[str, Any]]]]] = {}
    tuned: dict[str, dict[str, dict[str, Any]]] = {}
    fits: dict[tuple[str, str, str], Fit] = {}
    todo = [
        (group, data, experiment, row)
        for group in GROUPS
        if group.name in arguments.only
        for data, (experiment, rows) in group.rows.items()
        for row in rows
    ]
    with progress_bar("rows", len(todo), 0, visible=True) as advance:
        for group, data, experiment, row in todo:
            overrides = [*experiment, *row.overrides, *LESS, *small]
            if row.tuned:
                climbed = settings_of(row, overrides)
                tuned.setdefault(data, {})[row.label] = climbed
                overrides = [*overrides, *climbed["overrides"], *small]
            seeds = runs.setdefault(group.title, {}).setdefault(data, {}).setdefault(row.label, [])
            for seed in range(arguments.seeds):
                config = composed(row.aligner, "synthetic", [*overrides, f"seed={seed}"])
                timed = group.name == PRINTED.name and seed == 0
                fit = measured(config, watched=group.name == PASSES.name, timed=timed)
                if seed == 0 and group.name != FAIR.name:
                    fits[group.title, data, row.label] = fit
                seeds.append(fit.numbers)
            record.save(runs=runs, tuned=tuned)
            advance(1)
    for title, text in tables(runs, tuned).items():
        print(f"## {title}\n\n{text}\n")
    FIGURES.mkdir(parents=True, exist_ok=True)
    for name, figure in figures(runs, fits).items():
        figure.savefig(FIGURES / f"{name}.png")
    record.show()


if __name__ == "__main__":
    command(main)
