"""What came of a contest, from the files of its runs: one standing a row, and which rows can be told apart."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from comparison.letters import letters, p_values
from comparison.variance import LEVEL, Array, interval

CUTOFFS = (1, 5, 10)
SCORE = "test/mean_recall"
"""What rows are ordered and told apart by."""

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """A finished run: its row, its data, its seed, what ``metrics.json`` holds, and its directory."""

    row: str
    data: str
    seed: int
    metrics: Metrics
    folder: Path


@dataclass
class Standing:
    """A row of the table of one data set.

    Attributes:
        mean: of the score over seeds and queries, with the interval ``low`` to ``high`` where there are two groups.
        behind: how far it is behind the best, in points; 0 of the best.
        p: of that, corrected for all pairs of rows; None of the best.
        letters: two rows share one exactly where they cannot be told apart.
        setting: what was tuned, in words.
        metrics: means over seeds of all that are numbers.
        reasons: why runs did not finish.
    """

    row: str
    data: str
    results: list[Result] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    behind: float | None = None
    p: float | None = None
    letters: str = ""
    setting: str = ""

    @property
    def metrics(self) -> Metrics:
        names = dict.fromkeys(name for each in self.results for name in each.metrics)
        of_all = {name: self.values(name) for name in names}
        return {name: statistics.fmean(each) for name, each in of_all.items() if len(each) == len(self.results)}

    def values(self, name: str) -> list[float]:
        """A metric of each run."""
        return [each.metrics[name] for each in self.results if isinstance(each.metrics.get(name), int | float)]


def credits(ranks: Path) -> Array:
    """What each group of queries adds to the mean recall, times the number of groups: (G,), in percent.

    The mean recall is the mean over directions and cut-offs of the share of queries whose rank is within the cut-off;
    the mean of the credits is the mean recall.
    """
    with safe_open(ranks, framework="np") as file:
        names = list(file.keys())
        ways = sorted(name.removesuffix("/rank") for name in names if re.fullmatch("test/.*/rank", name))
        of_way = [(file.get_tensor(f"{way}/rank"), file.get_tensor(f"{way}/group")) for way in ways]
    groups = np.unique(np.concatenate([group for _, group in of_way]))
    total = np.zeros(len(groups))
    for rank, group in of_way:
        hits = np.mean([rank <= k for k in CUTOFFS], axis=0)
        total += np.bincount(np.searchsorted(groups, group), hits, minlength=len(groups)) / len(rank)
    return 100 * len(groups) * total / len(of_way)


def standings(results: Sequence[Result], reasons: dict[tuple[str, str], list[str]]) -> dict[str, list[Standing]]:
    """The rows of each data set, the best first and those without a finished run last.

    ``reasons``: of a row on a data set, why runs did not finish. Rows are told apart on the seeds that
    all of them have.
    """
    rows: dict[tuple[str, str], Standing] = {}
    for result in results:
        rows.setdefault((result.data, result.row), Standing(result.row, result.data)).results.append(result)
    for (data, row), told in reasons.items():
        rows.setdefault((data, row), Standing(row, data)).reasons += list(dict.fromkeys(told))
    tables: dict[str, list[Standing]] = {}
    for (data, _), standing in rows.items():
        tables.setdefault(data, []).append(standing)
    for data, table in tables.items():
        finished = [each for each in table if each.results]
        _compare(finished)
        finished.sort(key=lambda each: -(each.mean or 0.0))
        tables[data] = finished + [each for each in table if not each.results]
    return tables


def _compare(rows: list[Standing]) -> None:
    if not rows:
        return
    of_seed = [{each.seed: credits(each.folder / "ranks.safetensors") for each in row.results} for row in rows]
    for row, by_seed in zip(rows, of_seed, strict=True):
        row.mean = statistics.fmean(row.values(SCORE))
        whole = np.stack(list(by_seed.values()))
        if whole.shape[1] > 1:
            low, high = interval(whole)
            row.low, row.high = max(0.0, low), min(100.0, high)
    best = max(rows, key=lambda each: each.mean or 0.0)
    for row in rows:
        row.behind = (best.mean or 0.0) - (row.mean or 0.0)
    shared = sorted(set.intersection(*(set(by_seed) for by_seed in of_seed)))
    sizes = {len(each) for by_seed in of_seed for each in by_seed.values()}
    if not shared or len(sizes) != 1 or sizes == {1}:
        return  # other queries, or too few: nothing can be told
    common = [np.stack([by_seed[seed] for seed in shared]) for by_seed in of_seed]
    order = sorted(range(len(rows)), key=lambda i: -(rows[i].mean or 0.0))
    p = p_values(common)
    for row, of_row, letter in zip(rows, p[rows.index(best)], letters(p < 1 - LEVEL, order), strict=True):
        row.letters = letter
        row.p = None if row is best else float(of_row)
