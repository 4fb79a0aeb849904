"""The report of a contest: ``report.html``, one file, and each of its figures as PNG and PDF beside it."""

import json
import platform
import re
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vl_convert

from comparison import charts
from comparison.curves import readings
from comparison.pairs import PAIRS, curve
from comparison.pictures import pictures_of, small
from comparison.queries import ranks_of_rows, win_shares, with_items, within
from comparison.results import Standing
from comparison.tables import cells
from ground.files import folder_name
from report.html.page import Chart, Fold, Picture, Queries, Section, Table, page

LIBRARIES = ("unicon-align", "torch", "lightning", "numpy", "scipy", "optuna")
HUBNESS = (
    "The skewness of how often an item is among the nearest of the queries, as many as evaluation.hubness.neighbours; "
    "0 where all are met alike, high where few items are near to most queries."
)
SOUNDS = 6_000_000
"""Characters of all sounds in the page at most."""
GEOMETRY = ("test/geometry/", "test/hubness/")


def write_report(folder: Path, tables: dict[str, list[Standing]], told: Sequence[str], command: str) -> Path:
    """Write the report of these tables into ``folder``, from the runs' files; returns the page."""
    figures: dict[str, charts.Spec] = {}
    sections = [Section("What this is", [], " ".join(told))]
    for data, table in tables.items():
        sections += _of_data(folder, data, table, figures, SOUNDS // len(tables))
    if (across := curve(tables)) is not None:
        name = "over_pairs" if across.title == PAIRS else "over_share"
        figures[name] = charts.over_data(across)
        sections.append(Section(f"Quality against the {across.title}", [Chart(figures[name])]))
    sections += [_geometry(tables), _protocol(tables), _runs(tables, command)]
    _write_figures(folder / "figures", figures)
    file = folder / "report.html"
    part = file.with_suffix(".tmp")
    title = f"Aligners head to head on {', '.join(tables)}"
    part.write_text(page(title, sections, chart_library()), encoding="utf-8")
    part.replace(file)
    return file


def chart_library() -> str:
    """The script that draws charts: vega, vega-lite and vega-embed in one."""
    return str(vl_convert.javascript_bundle())  # type: ignore[call-arg]


def _of_data(
    folder: Path, data: str, table: Sequence[Standing], figures: dict[str, charts.Spec], sounds: int
) -> list[Section]:
    titles, *rows = cells(table)
    shown = [i for i, each in enumerate(titles) if each != "told"]
    named = ["told apart" if titles[i] == "" else titles[i] for i in shown]
    reasons = [f"{row.row}: {reason}" for row in table for reason in row.reasons]
    parts: list[Table | str] = [Table(named, [[row[i] for i in shown] for row in rows])]
    parts += ["\n".join(reasons)] if reasons else []
    sections = [Section(f"{data}: table", parts)]
    finished = [row for row in table if row.results]
    if not finished:
        return sections

    def chart(name: str, spec: charts.Spec) -> Chart:
        figures[f"{name}_{folder_name(data)}"] = spec | {"title": data}
        return Chart(spec)

    sections.append(
        Section(
            f"{data}: recall", [chart("recall", charts.recall_bars(finished))],
            "Means over seeds and queries, with 95 % intervals. Rows that share a letter cannot be told apart.",
        )
    )  # fmt: skip
    sections.append(
        Section(
            f"{data}: quality and time", [chart("front", charts.front(finished))],
            "The line joins the rows that no other beats in both. Time is that of the fit, without features.",
        )
    )  # fmt: skip
    read = readings([each for row in finished for each in row.results])
    for what, draw, words in (
        ("recall", charts.over_passes, "One seed each."),
        ("objective", charts.objectives, "Each row has an objective of its own, what it fits by. One seed each."),
    ):
        over = {against: draw(read, against) for against in ("number", "seconds")}
        drawn = [chart(f"{what}_over_{against}", spec) for against, spec in over.items() if spec is not None]
        if drawn:
            sections.append(Section(f"{data}: {what} over passes and time", drawn, words))
    if (hubness := charts.hubness(finished)) is not None:
        sections.append(Section(f"{data}: hubness", [chart("hubness", hubness)], HUBNESS))
    ranks = ranks_of_rows(finished)
    if len(ranks) > 1:
        order = [row.row for row in finished]
        words = "The share of queries in percent that the row on the left ranks better than the one below; one seed."
        sections.append(Section(f"{data}: wins", [chart("wins", charts.wins(win_shares(ranks), order))], words))
    kept, items = with_items(ranks, within(_items(folder, data), sounds))
    if kept:
        words = (
            "Queries on which two rows differ most, by the rank of the best right item; one seed, some of the test set."
        )
        sections.append(Section(f"{data}: query by query", [Queries(kept, items)], words))
    pictures = [
        *(Picture(small(file), "before: raw features, by principal components") for file in _kept(folder, data, "png")),
        *(each for row in finished for each in pictures_of(row)),
    ]
    if pictures:
        sections.append(Section(f"{data}: pictures", pictures, "Of the first seed of each row."))
    return sections


def _items(folder: Path, data: str) -> dict[str, Any]:
    """What test items look like; empty where no contest has kept it."""
    for file in _kept(folder, data, "json"):
        read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return read
    return {}


def _kept(folder: Path, data: str, kind: str) -> list[Path]:
    """What the preparation of a data set left of this kind: one file or none."""
    return sorted((folder / "data" / folder_name(data)).rglob(f"*.{kind}"))[:1]


def _geometry(tables: dict[str, list[Standing]]) -> Section:
    rows = [row for table in tables.values() for row in table if row.results]
    told = [name for row in rows for name in row.metrics if name.startswith(GEOMETRY)]
    # the densities at every kappa stand in the runs, and what shuffled pairs give is a control
    names = [name for name in dict.fromkeys(told) if "/kappa" not in name and "/shuffled/" not in name]
    of = [name.removeprefix("test/").removeprefix("geometry/").replace("_", " ").replace("/", " ") for name in names]
    titles = ["data", "row", *of]
    body = [
        [row.data, row.row, *(f"{row.metrics[name]:.3f}" if name in row.metrics else "" for name in names)]
        for row in rows
    ]
    words = (
        "Alignment: mean squared distance of partners; potential: minus their mean cosine. Uniformity: 0 where all is "
        "one point, -4 on a whole sphere. Centroid gap: distance of the modalities' means. Effective rank: how many "
        "directions are met. Densities at each kappa are in metrics.json and in geometry_over_kappa.png of a run."
    )
    return Section("Geometry of the shared space", [Table(titles, body)], words)


def _protocol(tables: dict[str, list[Standing]]) -> Section:
    lines = []
    for data, table in tables.items():
        results = [each for row in table for each in row.results]
        if not results:
            continue
        facts = {
            name.removeprefix("protocol/"): value
            for name, value in results[0].metrics.items()
            if name.startswith("protocol/")
        }
        lines.append(
            f"{data}: " + "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in sorted(facts.items()))
        )
    return Section("Protocol", ["\n\n".join(lines)], "What a recall here means.")


def _runs(tables: dict[str, list[Standing]], command: str) -> Section:
    """The command, and of every run its versions, its directory and its config."""
    results = [each for table in tables.values() for row in table for each in row.results]
    titles = ["data", "row", "seed", "versions", "run directory"]
    rows = [[each.data, each.row, str(each.seed), _versions(each.folder), str(each.folder)] for each in results]
    folds = [
        Fold(f"config of {each.row} on {each.data}, seed {each.seed}", (each.folder / "config.yaml").read_text("utf-8"))
        for each in results
    ]
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    told = f"{command}\n\npython {platform.python_version()}, {versions}; {platform.machine()}, {platform.system()}"
    return Section("Runs", [told, Table(titles, rows), *folds])


def _versions(run: Path) -> str:
    """What a run says of the libraries and threads that it had; empty where its log is not there."""
    with suppress(OSError):
        found = re.search("INFO run: (python .*)", (run / "train.log").read_text("utf-8", errors="replace"))
        if found:
            return found[1]
    return ""


def _write_figures(folder: Path, figures: dict[str, charts.Spec]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for former in folder.glob("*.p[nd][gf]"):
        if former.stem not in figures:
            former.unlink()
    for name, spec in figures.items():
        (folder / f"{name}.png").write_bytes(vl_convert.vegalite_to_png(spec, scale=2))
        (folder / f"{name}.pdf").write_bytes(vl_convert.vegalite_to_pdf(spec))
