"""What runs tell of their passes, from the CSV that each leaves."""

import csv
from collections.abc import Sequence
from typing import NamedTuple

from comparison.results import Result

COLUMNS = {"recall": "val/mean_recall", "objective": "fit/objective", "seconds": "val/fit_seconds", "epoch": "epoch"}


class Reading(NamedTuple):
    """After a pass of a run, a first solution 0: the recall on validation, the objective, the seconds of the fit."""

    row: str
    number: int
    recall: float | None
    objective: float | None
    seconds: float | None


def readings(results: Sequence[Result]) -> list[Reading]:
    """Those of the first seed of each row."""
    first: dict[str, Result] = {}
    for each in sorted(results, key=lambda each: each.seed):
        first.setdefault(each.row, each)
    return [reading for result in first.values() for reading in _of(result)]


def _of(result: Result) -> list[Reading]:
    file = result.folder / "csv" / "metrics.csv"
    if not file.is_file():
        return []
    told: dict[str, dict[str, float]] = {}  # what is of one pass stands in several lines, in any order
    with file.open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            of_step = told.setdefault(line["step"], {})
            of_step |= {name: float(line[column]) for name, column in COLUMNS.items() if line.get(column)}
    passes = [each for each in told.values() if {"recall", "objective"} & set(each)]
    # epochs are counted from 0, and an epoch of gradient steps is pass 1
    first = result.metrics.get("fit/passes", 0) - max((int(each["epoch"]) for each in passes), default=0)
    return [
        Reading(
            result.row, int(each["epoch"]) + first, each.get("recall"), each.get("objective"), each.get("seconds")
        )
        for each in passes
    ]  # fmt: skip
