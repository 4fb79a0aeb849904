"""Small tables of pairs, in every format."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from datamodules.formats.table_pairs import ColumnNames
from datamodules.table import TableDataModule
from tests.datamodules.own_files import arguments

Rows = list[dict[str, Any]]


def written(path: Path, rows: Rows) -> Path:
    """The rows in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def column_names(**given: str) -> ColumnNames:
    """As in a config: null where none is given."""
    return ColumnNames(**(dict.fromkeys(ColumnNames.__annotations__) | given))  # type: ignore[typeddict-item]


def table(path: Path, columns: dict[str, str] | None = None, **changes: Any) -> TableDataModule:
    return TableDataModule(path=str(path), columns=column_names(**columns or {}), **arguments(path.parent, **changes))


def captioned(n: int, **columns: Any) -> Rows:
    """Images 0 to n - 1 with a text of as many letters as its number says."""
    return [{"image": f"{i}.png", "text": "a" * (i + 1)} | {k: f(i) for k, f in columns.items()} for i in range(n)]
