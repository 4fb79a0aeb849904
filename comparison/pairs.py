"""Quality against the one number in which the data of a contest differ: of training pairs, or a share of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from comparison.found import config_in, leaves
from comparison.results import Standing

TUNED = ("datamodule.batch_size",)
"""A setting of the data that is the row's."""
PAIRS = "training pairs"
SHARES = {
    "datamodule.train_noise": "share of training pairs that are wrong",
    "datamodule.train_unpaired": "share of training x without a y",
}
"""Settings whose own values are the axis: any other stands for the number of training pairs that it leads to."""


class Point(NamedTuple):
    """A row at one number of training pairs, or at one share."""

    row: str
    data: str
    at: float
    mean: float
    low: float | None
    high: float | None


class Curve(NamedTuple):
    """Points, and what they are over."""

    title: str
    points: list[Point]


def curve(tables: dict[str, list[Standing]]) -> Curve | None:
    """The rows of all tables, or None where the data differ in more than one number, or are tested on other items.

    Where something else is an axis too, as ``aligner.rank=8,16``, a row stands for several, by their names.
    """
    finished = {data: [row for row in table if row.results] for data, table in tables.items()}
    finished = {data: table for data, table in finished.items() if table}
    key = _axis(finished)
    if key is None:
        return None
    found = [
        Point(_named(row, key), data, at, row.mean, row.low, row.high)
        for data, table in finished.items()
        for row in table
        if row.mean is not None and (at := _at(row, key)) is not None
    ]
    return Curve(SHARES.get(key, PAIRS), found) if len({each.at for each in found}) > 1 else None


def _at(row: Standing, key: str) -> float | None:
    if key not in SHARES:
        return row.metrics.get("data/train_pairs")
    return float(dict(_of_data(config_in(row.results[0].folder)))[key])


def _axis(tables: dict[str, list[Standing]]) -> str | None:
    """The one setting of the data in which these tables differ, where its values are numbers; null is all there are."""
    firsts = [table[0] for table in tables.values()]
    of_data = [dict(_of_data(config_in(row.results[0].folder))) for row in firsts]
    keys = dict.fromkeys(key for each in of_data for key in each)
    varied = {key: [each.get(key) for each in of_data] for key in keys}
    varied = {key: values for key, values in varied.items() if any(value != values[0] for value in values)}
    tests = [{name: n for name, n in row.metrics.items() if name.startswith("protocol/test_")} for row in firsts]
    if len(varied) != 1 or any(each != tests[0] for each in tests):
        return None
    ((key, values),) = varied.items()
    numbers = all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values)
    return key if numbers else None


def _of_data(config: dict[str, Any]) -> Sequence[tuple[str, Any]]:
    return [(key, value) for key, value in leaves(config["datamodule"], "datamodule.") if key not in TUNED]


def _named(row: Standing, key: str) -> str:
    others = [each for each in row.data.split(", ") if not each.startswith(f"{key.rpartition('.')[2]}=")]
    return ", ".join([row.row, *others])
