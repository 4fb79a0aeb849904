"""The tables of ``docs/synthetic.md`` as Markdown, from the numbers of the runs."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.synthetic.rows import DATA, FAIR, KERNELS, LINEAR, NONLINEAR, PASSES, PRINTED, TRIPLET, Group, Row
from report.intervals import half_interval

Runs = Mapping[str, Mapping[str, Mapping[str, Sequence[dict[str, Any]]]]]
"""The numbers of the seeds, by the title of a group, the data and the label of a row."""
PASSES_SHOWN = (0, 1, 2, 5, 10, 20)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose cells are text.

    >>> print(markdown(["method", "R@1"], [["UniCon", "95.0"]]))
    | method | R@1 |
    | --- | --- |
    | UniCon | 95.0 |
    """
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def accuracy(values: Sequence[float]) -> str:
    """The mean with half its 95 % interval, one digit; of one value, the value.

    >>> accuracy([94.0, 95.0, 96.0])
    '95.0 ± 2.5'
    """
    middle = f"{statistics.fmean(values):.1f}"
    return middle if len(values) < 2 else f"{middle} ± {half_interval(values):.1f}"


def tables(runs: Runs, tuned: Mapping[str, Mapping[str, dict[str, Any]]]) -> dict[str, str]:
    """Markdown by title, of the groups that have been run; ``tuned`` is what ``climb`` told of a fair row."""
    made: dict[str, str] = {}
    for group in (PRINTED, KERNELS, TRIPLET, PASSES, FAIR):
        if group.title not in runs:
            continue
        made[group.title] = _table(runs[group.title], group)
    if PASSES.title in runs:
        made["Departure of the weights"] = _departures(runs[PASSES.title], PASSES)
    if tuned:
        made["Settings chosen on validation"] = _settings(tuned)
    return made


Of = Mapping[str, Mapping[str, Sequence[dict[str, Any]]]]


def _rows(of: Of, group: Group) -> list[tuple[str, Row, Sequence[dict[str, Any]]]]:
    """Data, row and numbers of the seeds, in the order of the group, as far as they were run."""
    return [
        (data, row, of[data][row.label])
        for data, (_, rows) in group.rows.items()
        for row in rows
        if row.label in of.get(data, {})
    ]


def _pair(seeds: Sequence[dict[str, Any]]) -> list[str]:
    return [accuracy([each[key] for each in seeds]) for key in ("r1", "class")]


def _printed(of: Of, group: Group) -> str:
    rows = []
    for data, row, seeds in _rows(of, group):
        times = statistics.median(each["cpu_seconds"] for each in seeds), seeds[0]["bare_seconds"]
        rows.append([data, row.label, row.reported, *_pair(seeds), *(f"{time:.2g}" for time in times)])
    return markdown(["data", "method", "reported", "R@1", "class", "CPU s", "bare CPU s"], rows)


def _kernels(of: Of, group: Group) -> str:
    rows = [[row.label, row.reported, *_pair(seeds)] for _, row, seeds in _rows(of, group)]
    return markdown(["kernel", "reported", "R@1", "class"], rows)


def _both(of: Of, group: Group, reported: bool) -> str:
    """A line a method, both data side by side; falling by their R@1 where nothing is reported."""
    seeds = {(data, row.label): seeds for data, row, seeds in _rows(of, group)}
    rows = {row.label: row for _, row, _ in _rows(of, group)}

    def r1(label: str) -> float:
        measured = [seeds[data, label] for data in DATA if (data, label) in seeds]
        return statistics.fmean(each["r1"] for of_data in measured for each in of_data)

    labels = list(rows) if reported else sorted(rows, key=r1, reverse=True)
    columns = [f"{data}: {name}" for data in DATA for name in ("R@1", "class")]
    lines = []
    for label in labels:
        cells = [cell for data in DATA for cell in (_pair(seeds[data, label]) if (data, label) in seeds else ["", ""])]
        lines.append([label, *([rows[label].reported] if reported else []), *cells])
    return markdown(["method", *(["reported"] if reported else []), *columns], lines)


def _passes(of: Of, group: Group) -> str:
    """Means on validation after some passes. A fit that the safeguard ended stays where it is."""
    rows = []
    for data, row, seeds in _rows(of, group):
        means = [[_after([each["history"] for each in seeds], n, key) for key in ("r1", "class")] for n in PASSES_SHOWN]
        rows.append([data, row.label, *(f"{r1:.1f} / {of_class:.1f}" for r1, of_class in means)])
    return markdown(["data", "setting", *(f"pass {n}" for n in PASSES_SHOWN)], rows)


def _departures(of: Of, group: Group) -> str:
    rows = []
    for key, measure in (("matrix", "whole matrix"), ("negatives", "negatives alone")):
        for data, row, seeds in _rows(of, group):
            means = [_after([each["departures"] for each in seeds], n, key) for n in PASSES_SHOWN]
            rows.append([measure, data, row.label, *(f"{mean:.1f}" for mean in means)])
    return markdown(["measure", "data", "setting", *(f"pass {n}" for n in PASSES_SHOWN)], rows)


def _after(histories: Sequence[Sequence[dict[str, float]]], number: int, key: str) -> float:
    return statistics.fmean([at for at in history if at["pass"] <= number][-1][key] for history in histories)


def _settings(tuned: Mapping[str, Mapping[str, dict[str, Any]]]) -> str:
    rows = []
    for data in (LINEAR, NONLINEAR):
        for label, climb in tuned.get(data, {}).items():
            chosen = ", ".join(_short(each) for each in climb["overrides"])
            edge = ", ".join(key.rpartition(".")[2] for key in climb["at_edge"])
            rows.append([data, label, chosen, str(len(climb["tried"])), edge])
    return markdown(["data", "method", "chosen", "settings tried", "at the grid's edge"], rows)


def _short(override: str) -> str:
    """``aligner.optimizer.lr=0.01`` as ``lr 0.01``: the key's last part, the value whole."""
    key, _, value = override.partition("=")
    return f"{key.rpartition('.')[2]} {value}"


def _table(of: Of, group: Group) -> str:
    if group.name in (TRIPLET.name, FAIR.name):
        return _both(of, group, reported=group.name == TRIPLET.name)
    return {PRINTED.name: _printed, KERNELS.name: _kernels, PASSES.name: _passes}[group.name](of, group)
