"""Tables of a run and of a sweep, on the screen and in files."""

import math
import statistics
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.console import Console, Group
from rich.table import Table

from ground.files import keep_former, to_json
from report.intervals import TOLD, half_interval
from report.sweep_figures import sweep_figures
from report.sweep_settings import by_setting

Metrics = dict[str, Any]
COLUMNS = ("direction", "R@1", "R@5", "R@10", "median rank", "MRR")
BESIDE = {"test/class_accuracy": "class\naccuracy", "test/linear_probe/accuracy": "linear\nprobe"}
"""Columns of a sweep's table, where all runs have the metric."""
WITHOUT = ("history", "passes", "first_number", "confusion")
"""What a run's own directory tells, and ``sweep.json`` leaves out."""


def directions(metrics: Metrics, of: str = "test") -> list[str]:
    """``image_to_text`` and ``text_to_image``, from the names of the metrics; ``of`` the test or the transfer."""
    return [
        key.split("/")[1]
        for key in metrics
        if key.startswith(f"{of}/") and key.endswith("/R@1") and key.count("/") == 2
    ]


def retrieval_rows(metrics: Metrics, of: str = "test") -> list[list[Any]]:
    """The values of ``COLUMNS`` for each direction."""
    keys = ("R@1", "R@5", "R@10", "median_rank", "mrr")
    return [[way.replace("_", " "), *(metrics[f"{of}/{way}/{key}"] for key in keys)] for way in directions(metrics, of)]


def result_line(metrics: Metrics) -> str:
    """The result of a run in a line."""
    facts = [f"mean recall {metrics['test/mean_recall']:.2f}"]
    if "test/class_accuracy" in metrics:
        facts.append(f"class accuracy {metrics['test/class_accuracy']:.1f} %")
    if "test/linear_probe/accuracy" in metrics:
        facts.append(f"linear probe {metrics['test/linear_probe/accuracy']:.1f} %")
    passes = metrics["fit/passes"]
    kept = f" (number {metrics['fit/kept_pass']} kept)" if passes > 1 else ""
    ran = f" in {passes} {'pass' if passes == 1 else 'passes'}{kept}" if passes else ""  # none after a first solution
    facts.append(f"fit {metrics['time/fit_seconds']:.1f} s{ran}")
    facts.append(f"features {metrics['time/feature_seconds']:.1f} s")
    return ", ".join(facts) + "; rates in percent"


def screen() -> Console:
    """The screen, which shows names as they are; a file or a pipe is wide enough for every table."""
    console = Console(markup=False, emoji=False)
    return console if console.is_terminal else Console(width=160, markup=False, emoji=False)


def run_table(metrics: Metrics, name: str) -> Group:
    """A row for each direction of the run of this name, another table of its transfer, and the line of its result."""
    parts: list[Any] = [
        _directions_table(metrics, f"{name}, test split, rates in percent", "test"),
        result_line(metrics),
    ]
    if directions(metrics, "transfer"):
        parts.append(_directions_table(metrics, f"{name}, transfer, rates in percent", "transfer"))
        parts.append(f"mean recall {metrics['transfer/mean_recall']:.2f} on the further data{_zero_shot(metrics)}")
    return Group(*parts)


def _directions_table(metrics: Metrics, title: str, of: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "direction" else "right")
    for way, *values in retrieval_rows(metrics, of):
        table.add_row(way, *(f"{value:.1f}" for value in values))
    return table


def _zero_shot(metrics: Metrics) -> str:
    if "transfer/zero_shot/top1" not in metrics:
        return ""
    rates = " and ".join(f"top-{k} {metrics[f'transfer/zero_shot/top{k}']:.1f} %" for k in (1, 5))
    return f"; zero-shot {rates} of {metrics['transfer/protocol/zero_shot_classes']} classes"


def sweep_table(runs: list[dict[str, Any]]) -> Table:
    """A row for each experiment and setting, best mean recall first: means over seeds, with 95 % intervals."""
    rows = {(name, " ".join(setting)): [run["metrics"] for run in of_setting]
            for (name, *setting), of_setting in by_setting(runs).items()}  # fmt: skip
    ways = directions(runs[0]["metrics"])
    beside = {key: title for key, title in BESIDE.items() if all(key in run["metrics"] for run in runs)}
    experiments = {name for name, _ in rows}
    repeated = any(len(of_setting) > 1 for of_setting in rows.values())
    title = f"test split, rates in percent{f'; {TOLD}' if repeated else ''}"
    table = Table(title=title, title_justify="left")
    for column in (
        *(["experiment"] if len(experiments) > 1 else []), "aligner", "mean recall", *beside.values(),
        *(f"{way.replace('_', ' ')}\nR@1   R@5  R@10" for way in ways), "fit s", "runs",
    ):  # fmt: skip
        named = column in ("experiment", "aligner")
        table.add_column(column, justify="left" if named else "right", no_wrap=named, overflow="fold")

    def mean(metrics: list[Metrics], key: str) -> float:
        return statistics.fmean(m.get(key, math.nan) for m in metrics)

    def interval(metrics: list[Metrics]) -> str:
        half = half_interval([each["test/mean_recall"] for each in metrics])
        return f" ± {half:.2f}" if len(metrics) > 1 else ""

    for (name, aligner), metrics in sorted(rows.items(), key=lambda row: -mean(row[1], "test/mean_recall")):
        table.add_row(
            *([name] if len(experiments) > 1 else []),
            aligner,
            f"{mean(metrics, 'test/mean_recall'):.2f}{interval(metrics)}",
            *(f"{mean(metrics, key):.1f}" for key in beside),
            *(" ".join(f"{mean(metrics, f'test/{way}/R@{k}'):5.1f}" for k in (1, 5, 10)) for way in ways),
            f"{mean(metrics, 'time/fit_seconds'):.2f}",
            str(len(metrics)),
        )
    return table


class SweepTable(Callback):
    """At the end of a sweep: prints its table, writes its runs to ``sweep.json`` and its figures in its folder.

    Example:
        >>> from omegaconf import OmegaConf
        >>> table = SweepTable()
        >>> config = OmegaConf.create({"hydra": {"overrides": {"task": ["aligner=cca", "seed=0"]}}})
        >>> table.on_job_end(config, JobReturn(_return_value={"metrics": {"test/mean_recall": 40.0}}))
        >>> table.runs
        [{'metrics': {'test/mean_recall': 40.0}, 'overrides': ['aligner=cca', 'seed=0']}]
    """

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        result = job_return._return_value
        if isinstance(result, dict) and "metrics" in result:
            given: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
            self.runs.append(result | {"overrides": [each.lstrip("+") for each in given]})

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if not self.runs:
            return
        folder = Path(config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "sweep.json"
        if file.exists():
            keep_former(file)
        kept = [{key: value for key, value in run.items() if key not in WITHOUT} for run in self.runs]
        file.write_text(to_json(kept), encoding="utf-8")
        console = screen()
        console.print(sweep_table(self.runs))
        console.print(f"runs: {file}", soft_wrap=True)
        (folder / "figures").mkdir(exist_ok=True)
        for name, figure in sweep_figures(self.runs).items():
            figure.savefig(folder / "figures" / f"{name}.png", dpi=120)
