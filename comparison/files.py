"""The files of a contest: a row of ``results.parquet`` for each run, its queries in ``ranks.parquet``, and tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from comparison.job import Job
from comparison.results import Result, Standing
from comparison.tables import as_csv, as_latex, as_markdown

if TYPE_CHECKING:
    import pyarrow as pa


def write_tables(folder: Path, tables: dict[str, list[Standing]], told: Sequence[str]) -> None:
    """``table.csv``, ``table.md`` and ``table.tex``; ``told`` stands under that of Markdown."""
    notes = "".join(f"\n{line}\n" for line in told)
    for name, text in (
        ("table.csv", as_csv(tables)), ("table.md", as_markdown(tables) + notes), ("table.tex", as_latex(tables)),
    ):  # fmt: skip
        _whole(folder / name, text.encode())


def write_results(folder: Path, jobs: Sequence[Job], results: Sequence[Result]) -> None:
    """``results.parquet``, a row for each run, finished or not, and ``ranks.parquet``, a row for each query of each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    finished = {result.folder for result in results}
    rows = [_finished(result) for result in results]
    for job in jobs:
        if job.folder not in finished:
            ended = job.ended()
            told = {"status": ended.status if ended else "not run", "reason": ended.reason if ended else ""}
            rows.append({"run": str(job.folder), "data": job.data, "row": job.row, "seed": job.seed, **told})
    order = {job.folder: place for place, job in enumerate(jobs)}
    rows.sort(key=lambda row: order.get(Path(row["run"]), -1))
    ranks = [table for result in results for table in _queries(result)]
    columns = dict.fromkeys(name for row in rows for name in row)
    table = pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in rows])
    for name, each in (("results.parquet", table), ("ranks.parquet", pa.concat_tables(ranks) if ranks else None)):
        if each is not None:
            sink = pa.BufferOutputStream()
            pq.write_table(each, sink)
            _whole(folder / name, sink.getvalue().to_pybytes())


def _finished(result: Result) -> dict[str, Any]:
    config = (result.folder / "config.yaml").read_text(encoding="utf-8")
    return {
        "run": str(result.folder), "data": result.data, "row": result.row, "seed": result.seed, "status": "finished",
        "reason": "", "config": config, **result.metrics,
    }  # fmt: skip


def _queries(result: Result) -> "list[pa.Table]":
    """A table of the queries of each direction."""
    import pyarrow as pa

    tables = []
    with safe_open(result.folder / "ranks.safetensors", framework="np") as file:
        names = list(file.keys())
        for way in (name.removesuffix("/rank") for name in names if name.endswith("/rank")):
            of = {name: file.get_tensor(f"{way}/{name}") for name in ("index", "group", "rank")}
            n = len(of["rank"])
            named = {"run": [str(result.folder)] * n, "seed": [result.seed] * n, "direction": [way] * n}
            tables.append(pa.table(named | of))
    return tables


def _whole(path: Path, content: bytes) -> None:
    """Write a file in one stroke: who reads it meanwhile has the former one."""
    part = path.with_name(f".{path.name}.tmp")
    part.write_bytes(content)
    part.replace(path)
