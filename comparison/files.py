"""The files of a contest: a row of ``results.parquet`` for each run, its queries in ``ranks.parquet``, and tables."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comparison.contest import Entry
from comparison.results import Result, Standing
from comparison.tables import as_csv, as_latex, as_markdown


def write_tables(folder: Path, tables: dict[str, list[Standing]], told: Sequence[str]) -> None:
    """``table.csv``, ``table.md`` and ``table.tex``; ``told`` stands under that of Markdown."""
    notes = "".join(f"\n{line}\n" for line in told)
    for name, text in (
        ("table.csv", as_csv(tables)), ("table.md", as_markdown(tables) + notes), ("table.tex", as_latex(tables)),
    ):  # fmt: skip
        _whole(folder / name, text.encode())


def write_results(folder: Path, entries: Sequence[Entry], results: Sequence[Result]) -> None:
    """``results.parquet``, a row for each run, finished or not, and ``ranks.parquet``, a row for each query of each."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors import safe_open

    by_folder = {result.folder: result for result in results}
    rows: list[dict[str, Any]] = []
    ranks: list[pa.Table] = []
    for entry in entries:
        for job in entry.jobs:
            ended, result = job.ended(), by_folder.get(job.folder)
            rows.append(
                {
                    "run": job.key, "data": job.data, "row": job.row, "seed": job.seed,
                    "status": ended.status if ended else "not run", "reason": ended.reason if ended else "",
                    "config": json.dumps(job.config, sort_keys=True, default=str),
                    **(result.metrics if result else {}),
                }
            )  # fmt: skip
            if result is None:
                continue
            with safe_open(job.folder / "ranks.safetensors", framework="np") as file:
                names = list(file.keys())
                ways = [name.removesuffix("/rank") for name in names if name.endswith("/rank")]
                for way in ways:
                    of = {name: file.get_tensor(f"{way}/{name}") for name in ("index", "group", "rank")}
                    n = len(of["rank"])
                    ranks.append(pa.table({"run": [job.key] * n, "seed": [job.seed] * n, "direction": [way] * n, **of}))
    columns = dict.fromkeys(name for row in rows for name in row)
    table = pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in rows])
    for name, each in (("results.parquet", table), ("ranks.parquet", pa.concat_tables(ranks) if ranks else None)):
        if each is not None:
            sink = pa.BufferOutputStream()
            pq.write_table(each, sink)
            _whole(folder / name, sink.getvalue().to_pybytes())


def _whole(path: Path, content: bytes) -> None:
    """Write a file in one stroke: who reads it meanwhile has the former one."""
    part = path.with_name(f".{path.name}.tmp")
    part.write_bytes(content)
    part.replace(path)
