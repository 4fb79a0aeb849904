"""What runs tell of their passes, from the CSV that each leaves."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from comparison.results import Result


class Reading(NamedTuple):
    """After a pass or an epoch of a run: the recall on validation, the objective, and the seconds of the fit."""

    row: str
    number: int
    recall: float
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
    if not Path(file).is_file():
        return []
    found: list[Reading] = []
    objective: float | None = None
    with file.open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            objective = _number(line.get("fit/objective")) if line.get("fit/objective") else objective
            recall = _number(line.get("val/mean_recall"))
            if recall is not None:
                found.append(Reading(result.row, len(found), recall, objective, _number(line.get("val/fit_seconds"))))
    return found


def _number(text: str | None) -> float | None:
    return float(text) if text else None
