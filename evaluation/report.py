"""Tables of a run and of a sweep, on the screen and in files."""

import json
import logging
import math
import statistics
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

logger = logging.getLogger(__name__)

Metrics = dict[str, Any]


def directions(metrics: Metrics) -> list[str]:
    """``image_to_text`` and ``text_to_image``, from the names of the metrics."""
    return [key.split("/")[1] for key in metrics if key.startswith("test/") and key.endswith("/R@1")]


def run_table(metrics: Metrics, title: str) -> Table:
    """A row for each direction of one run."""
    table = Table(title=title, title_justify="left")
    for column in ("direction", "R@1", "R@5", "R@10", "median rank", "MRR"):
        table.add_column(column, justify="left" if column == "direction" else "right")
    for way in directions(metrics):
        keys = ("R@1", "R@5", "R@10", "median_rank", "mrr")
        values = [f"{metrics[f'test/{way}/{key}']:.1f}" for key in keys]
        table.add_row(way.replace("_", " "), *values)
    facts = [f"mean recall {metrics['test/mean_recall']:.2f}"]
    if "test/linear_probe/accuracy" in metrics:
        facts.append(f"linear probe {metrics['test/linear_probe/accuracy']:.1f} %")
    facts.append(f"fit {metrics['time/fit_seconds']:.1f} s in {metrics['fit/passes']} passes")
    facts.append(f"features {metrics['time/feature_seconds']:.1f} s")
    table.caption = ", ".join(facts) + "; rates in percent"
    return table


def sweep_table(runs: list[dict[str, Any]]) -> Table:
    """A row for each experiment and aligner, best mean recall first: means over seeds, with 95 % intervals."""
    rows: dict[tuple[str, str], list[Metrics]] = {}
    for run in runs:
        rows.setdefault((run["name"], run["aligner"]), []).append(run["metrics"])
    ways = directions(runs[0]["metrics"])
    experiments = {name for name, _ in rows}
    table = Table(title="test split, rates in percent", title_justify="left")
    for column in (
        *(["experiment"] if len(experiments) > 1 else []), "aligner", "mean recall",
        *(f"{way.replace('_', ' ')} R@{k}" for way in ways for k in (1, 5, 10)), "fit s", "runs",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column in ("experiment", "aligner") else "right")

    def mean(metrics: list[Metrics], key: str) -> float:
        return statistics.fmean(m.get(key, math.nan) for m in metrics)

    for (name, aligner), metrics in sorted(rows.items(), key=lambda row: -mean(row[1], "test/mean_recall")):
        table.add_row(
            *([name] if len(experiments) > 1 else []),
            aligner,
            f"{mean(metrics, 'test/mean_recall'):.2f}{_interval([m['test/mean_recall'] for m in metrics])}",
            *(f"{mean(metrics, f'test/{way}/R@{k}'):.1f}" for way in ways for k in (1, 5, 10)),
            f"{mean(metrics, 'time/fit_seconds'):.2f}",
            str(len(metrics)),
        )
    return table


def _interval(values: list[float]) -> str:
    """Half the 95 % interval of the mean, by Student's t; nothing for one value."""
    if len(values) < 2:
        return ""
    from scipy.stats import t  # costs a second to import, and one run has no need of it

    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f" ± {half:.2f}"


class SweepTable(Callback):
    """Prints the table of a sweep when it ends, and writes its runs to ``sweep.json`` in the sweep's folder."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        result = job_return._return_value
        if isinstance(result, dict) and "metrics" in result:
            self.runs.append(result)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if not self.runs:
            return
        folder = Path(config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sweep.json").write_text(json.dumps(self.runs, indent=2) + "\n", encoding="utf-8")
        console = Console()
        console.print(sweep_table(self.runs))
        console.print(f"runs: {folder / 'sweep.json'}", soft_wrap=True)
