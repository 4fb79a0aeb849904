"""What a reader of a contest's tables has to know: the budget, the tests, what is absent, what is at an edge."""

import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from comparison.contest import Entry
from comparison.results import Standing
from comparison.rows import Rows

TELLING = (
    "[95 %]: bootstrap over seeds and groups of queries. Rows that share a letter cannot be told apart: paired t tests "
    "on groups and seeds, Holm's correction over all pairs, 5 %."
)


ENERGY = (
    "J: energy of the fit, without validation, as the machine tells it: all that its processors and their memory, or "
    "the run's GPUs, have taken meanwhile, other runs on them included."
)


def on_scoring(tables: dict[str, list[Standing]]) -> list[str]:
    """What rows are ranked by, where that is not the cosine alone."""
    rows_of: dict[str, list[str]] = {}
    for data, table in tables.items():
        for row in table:
            for result in row.results[:1]:
                rule = str(result.metrics.get("protocol/scoring", "cosine"))
                memory = ", with a memory of training items" if "protocol/memory" in result.metrics else ""
                if rule != "cosine" or memory:
                    rows_of.setdefault(f"{rule}{memory}", []).append(f"{row.row} on {data}")
    return [f"Ranked by {rule}: {'; '.join(rows)}." for rule, rows in rows_of.items()]


def on_energy(tables: dict[str, list[Standing]]) -> list[str]:
    """What joules in these tables are of; nothing where there are none."""
    told = any(name.startswith("energy/") for table in tables.values() for row in table for name in row.metrics)
    return [ENERGY] if told else []


def notes(settings: DictConfig, folder: Path, rows: Rows, entries: Sequence[Entry], slots: int) -> list[str]:
    """What a reader of the table has to know."""
    budget = (
        f"each row tuned on validation, {settings.trials} trials, its defaults the first (one where nothing is open)"
        if settings.trials
        else "untuned: every row at its defaults"
    )
    runs = f"{slots} runs at once, of {settings.threads} threads each"
    if settings.launcher == "slurm":
        runs = f"runs are jobs of SLURM, of {settings.threads} threads each; seconds are those of their nodes"
    told = [f"{settings.seeds} seeds; {budget}; {runs}.", TELLING]
    for path in sorted((folder / "data").rglob("*.json")):
        took = json.loads(path.read_text(encoding="utf-8"))
        if not took["items"]:  # they were there
            continue
        name = path.relative_to(folder / "data").parts[0]
        told.append(f"Features of {name}: {took['items']:,} items in {took['seconds']:.1f} s, not in the fits.")
    seconds = [each.tuning_seconds for each in entries if each.tuned is not None]
    if seconds:
        told.append(f"Trials of a row took {min(seconds):.0f} to {max(seconds):.0f} s of fits in all.")
    absent: dict[str, list[str]] = {}
    for label, reason in rows.absent.items():
        absent.setdefault(reason, []).append(label)
    told += [f"Absent, {reason}: {'; '.join(labels)}." for reason, labels in absent.items()]
    for entry in entries:
        if entry.tuned is not None and entry.tuned.at_edge:
            keys = ", ".join(f"{key}={entry.tuned.setting[key]:g}" for key in entry.tuned.at_edge)
            told.append(f"{entry.row} on {entry.data}: best at the edge of its range: {keys}.")
    return told
