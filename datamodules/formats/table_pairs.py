"""Items from the columns of a table: which are one, what they belong to, and where the table contradicts itself."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TypedDict

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from datamodules.formats.own_pairs import split_number
from datamodules.formats.table_file import Column, Table
from datamodules.pairs.splits import SPLITS
from ground.errors import UserError, nearest

OPTIONAL = ("group", "split", "label", "domain")


class ColumnNames(TypedDict):
    """What the columns are called in a table; None for those that have the name of the key.

    Example:
        >>> names = ColumnNames(dict.fromkeys(ColumnNames.__annotations__), image="picture", text="caption")
        >>> read_from(["picture", "caption", "split"], names)
        {'image': 'picture', 'text': 'caption', 'split': 'split'}
    """

    image: str | None
    audio: str | None
    text: str | None
    group: str | None
    split: str | None
    label: str | None
    domain: str | None


def read_from(header: Sequence[str], columns: ColumnNames) -> dict[str, str]:
    """The column of the table that each name is read from, in the order of the header.

    A column of the header that another stands for is not read.

    Raises:
        UserError: a column that the header lacks, or one that stands for two names.
    """
    given = {name: str(column) for name, column in columns.items() if column is not None}
    name_of: dict[str, str] = {}
    for name, column in given.items():
        if column not in header:
            raise UserError(f"datamodule.columns.{name}: unknown column '{column}': {nearest(column, header)}")
        if column in name_of:
            raise UserError(f"datamodule.columns: '{column}' is both {name_of[column]} and {name}: give each its own")
        name_of[column] = name
    return {name_of.get(column, column): column for column in header if column in name_of or column not in given}


def used_columns(header: Sequence[str], modalities: tuple[str, str]) -> tuple[list[str], list[str]]:
    """The columns that are read, and the others.

    Raises:
        UserError: another column has almost the name of an optional one that is not there.
    """
    used = [*modalities, *(name for name in OPTIONAL if name in header)]
    others = [name for name in header if name and name not in used]
    refuse_typos(others, [name for name in OPTIONAL if name not in header])
    return used, others


def refuse_typos(names: Sequence[str], absent: Sequence[str]) -> None:
    """Raises a UserError for the first of ``names`` that is close to one of ``absent``."""
    for name in names:
        close = get_close_matches(name.lower(), absent, n=1, cutoff=0.8)
        if close:
            raise UserError(
                f"unknown column '{name}': did you mean '{close[0]}'? Rename it, or set "
                f"datamodule.columns.{close[0]}={name}"
            )


def renamed(column: Column, values: Sequence[str]) -> Column:
    """The column with other values (k,), of which equal ones become one."""
    known: dict[str, int] = {}
    number = np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int64)
    return Column(list(known), number[column.index])


def numbered_splits(table: Table, column: Column) -> Column:
    """The column with the splits' numbers as its index.

    Raises:
        UserError: an unknown split, naming its first row.
    """
    numbers = [
        split_number(value, table.where(int((column.index == i).argmax()))) for i, value in enumerate(column.values)
    ]
    return Column(list(SPLITS), np.array(numbers, dtype=np.int64)[column.index])


def first_rows(items: Column) -> np.ndarray:
    """(k,) int64: the first row of each item."""
    return np.unique(items.index, return_index=True)[1]


def agree(table: Table, items: Column, name: str, column: Column) -> None:
    """Raises a UserError where the column ``name`` says two things of one item, naming the first such row."""
    first = first_rows(items)
    bad = column.index != column.index[first][items.index]
    if bad.any():
        row = int(bad.argmax())
        before = int(first[items.index[row]])
        raise UserError(
            f"{table.where(row)} gives {items[row]} the {name} '{column[row]}', {table.where(before)} "
            f"'{column[before]}': a file has one {name}"
        )


def distinct_pairs(x: Column, y: Column) -> np.ndarray:
    """(k,) int64: the first row of each pair of items, in order."""
    pair = x.index * len(y.values) + y.index
    return np.sort(np.unique(pair, return_index=True)[1])


def linked_groups(x: Column, y: Column) -> np.ndarray:
    """(n_x,) int64: x that share a y, or are linked over several, are one group."""
    n_x, n = len(x.values), len(x.values) + len(y.values)
    links = coo_array((np.ones(len(x.index), dtype=bool), (x.index, n_x + y.index)), shape=(n, n))
    group: np.ndarray = connected_components(links, directed=False)[1][:n_x].astype(np.int64)
    return group
