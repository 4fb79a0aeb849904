"""Columns of a CSV, TSV, JSON lines or Parquet file, read in one stream."""

import csv
import json
import logging
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.formats.own_pairs import plain
from ground.errors import UserError

logger = logging.getLogger(__name__)

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
LONGEST = 1 << 24
"""Characters of a CSV's cell: a longer one is a quote that is not closed."""


@dataclass(frozen=True)
class Column:
    """n cells by their distinct ``values``, in the order of their first appearance: ``values[index[i]]``.

    Example:
        >>> column = Column(["dog.png", "cat.png"], np.array([0, 0, 1]))
        >>> column[1]
        'dog.png'
    """

    values: list[str]
    index: np.ndarray  # (n,) int64

    def __getitem__(self, i: int) -> str:
        return self.values[int(self.index[i])]


@dataclass(frozen=True)
class Table:
    """The rows without empty cells: ``columns`` by name, and where in the file each row is.

    Example:
        >>> columns = {"text": Column(["a dog", "a cat"], np.arange(2))}
        >>> Table(Path("pairs.csv"), columns, number=np.array([2, 3])).where(1)
        'line 3'
    """

    path: Path
    columns: dict[str, Column]
    number: np.ndarray  # (n,) int64, from 1: of the row's first line, or in Parquet of the row

    def where(self, i: int) -> str:
        """Row ``i`` for a message: ``line 7``."""
        return f"{_unit(self.path)} {self.number[i]}"


def read_header(path: Path) -> list[str]:
    """The names of the columns; in JSON lines the keys of the first object.

    Raises:
        UserError: no such file, another format, nothing in it, or a name that stands twice.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path} is no table: a table is a file {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise UserError(f"no table at {path}: set datamodule.path to a file {', '.join(SUFFIXES)}")
    with _readable(path):
        match path.suffix.lower():
            case ".jsonl":
                names = list(next(_json_objects(path), (0, {}))[1])
            case ".parquet":
                names = list(_parquet(path).schema_arrow.names)
            case _:
                names = [name.strip() for name in next(_csv_rows(path), (0, []))[1]]
    if not names:
        raise UserError(f"{path} is empty: a table begins with the names of its columns")
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise UserError(f"{path} has two columns '{twice[0]}': keep one of them")
    return names


def read_table(path: Path, names: Sequence[str], string_names: Sequence[str]) -> Table:
    """The columns ``names``. Rows with an empty cell in them are counted, logged and left out.

    Cells of the columns ``string_names`` must be strings; in the others numbers do as well.

    Raises:
        UserError: a row that cannot be read, in one line that names it, or no row without empty cells.
    """
    unit = _unit(path)
    indices = [array("q") for _ in names]
    known: list[dict[str, int]] = [{} for _ in names]
    columns = list(zip(indices, known, strict=True))
    numbers = array("q")
    n_empty, first_empty = 0, ""
    with _readable(path):
        for number, cells in _cells(path, names):
            for i, cell in enumerate(cells):
                if type(cell) is not str:
                    cells = _strings(cells, names, string_names, f"{path}, {unit} {number}")
                    cell = cells[i]
                if not cell or cell.isspace():
                    n_empty += 1
                    first_empty = first_empty or f"{unit} {number}, without {names[i]}"
                    break
            else:
                numbers.append(number)
                for (index, numbered), cell in zip(columns, cells, strict=True):
                    index.append(numbered.setdefault(cell, len(numbered)))
    n = len(numbers) + n_empty
    if not numbers:
        raise UserError(f"{path} has no row with {' and '.join(names)}: {n} rows, {n_empty} with an empty cell")
    if n_empty:
        what = f"{n_empty:,} of {n:,} rows have an empty cell and are left out; the first is {first_empty}"
        logger.warning("%s: %s", path, what)
    return Table(
        path,
        {
            name: Column(list(numbered), np.frombuffer(index, dtype=np.int64))
            for name, (index, numbered) in zip(names, columns, strict=True)
        },
        np.frombuffer(numbers, dtype=np.int64),
    )


def _unit(path: Path) -> str:
    return "row" if path.suffix.lower() == ".parquet" else "line"


def _cells(path: Path, names: Sequence[str]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Each row's number and its cells of the columns ``names``."""
    match path.suffix.lower():
        case ".jsonl":
            for number, record in _json_objects(path):
                yield number, tuple(_stripped(record.get(name)) for name in names)
        case ".parquet":
            number = 1
            for batch in _parquet(path).iter_batches(columns=list(names)):
                columns = [map(_stripped, batch.column(name).to_pylist()) for name in names]
                yield from enumerate(zip(*columns, strict=True), number)
                number += batch.num_rows
        case _:
            rows = _csv_rows(path)
            header = [name.strip() for name in next(rows)[1]]
            places = [header.index(name) for name in names]
            # of one place an itemgetter gives no tuple
            pick = itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)
            for number, row in rows:
                yield number, tuple(cell.strip() for cell in pick(row))  # blanks after a comma are no part of a cell


def _stripped(cell: Any) -> Any:
    return cell.strip() if type(cell) is str else cell


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number of the first line and cells of each row, the header's first; rows of blanks are passed over."""
    tabs = path.suffix.lower() == ".tsv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, "excel-tab" if tabs else "excel", strict=True)
        width, line = 0, 1
        csv.field_size_limit(LONGEST)
        try:
            for row in reader:
                if len(row) == width:
                    yield line, row
                elif any(cell.strip() for cell in row):
                    if width:
                        raise UserError(
                            f"{path}, line {line} has {len(row)} cells, the header has {width}: "
                            f"put quotes around a cell that holds a {'tab' if tabs else 'comma'}"
                        )
                    width = len(row)
                    yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            if "field larger" in str(error):
                raise UserError(
                    f"{path}, line {line} has a cell of more than {LONGEST:,} characters: is a quote not closed?"
                ) from error
            raise UserError(f"{path}, line {line}: {error}; quotes inside of quotes are doubled") from error


def _json_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                record = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                why = f"{error.msg} at column {error.colno}" if isinstance(error, ValueError) else "nested too deeply"
                raise UserError(f"{path}, line {number} is no JSON ({why}): each line holds one object") from error
            if not isinstance(record, dict):
                raise UserError(f"{path}, line {number} is no JSON object: each line holds one")
            yield number, record


def _parquet(path: Path) -> Any:
    from pyarrow.parquet import ParquetFile  # here alone: the import takes long

    return ParquetFile(path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Errors of the file as one line."""
    try:
        yield
    except UnicodeDecodeError as error:
        bad = error.object[error.start : error.start + 1].hex()
        raise UserError(f"{path} is not UTF-8 (byte 0x{bad}): save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or ' '.join(str(error).split())}") from error
    except ValueError as error:  # what pyarrow raises for broken files
        raise UserError(f"{path} is not a whole {path.suffix[1:]} file ({' '.join(str(error).split())})") from error


def _strings(cells: tuple[Any, ...], names: Sequence[str], string_names: Sequence[str], where: str) -> tuple[str, ...]:
    """The cells as strings, ``""`` where they are empty."""
    strings = []
    for name, cell in zip(names, cells, strict=True):
        string = plain(cell)
        if string is None or (string and name in string_names and not isinstance(cell, str)):
            raise UserError(f"{where}: {name} must be a string, got {cell!r:.60}")
        strings.append(string)
    return tuple(strings)
