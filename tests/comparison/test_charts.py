"""Charts: each is drawn, and shows what the table says."""

import math
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from comparison import charts
from comparison.curves import Reading, readings
from comparison.pairs import Curve, Point
from comparison.results import Standing, standings
from tests.comparison.made import drawn_ranks, finished, result


def table(folder: Path, **metrics: Any) -> list[Standing]:
    jobs = [
        finished(folder, row, seed, drawn_ranks(40, 1, chance, seed + number), 1, **metrics)
        for number, (row, chance) in enumerate({"slow": 0.6, "fast": 0.4, "bad": 0.2}.items())
        for seed in range(2)
    ]
    return standings([result(job) for job in jobs], {("made", "gone"): ["failed"]})["made"]


def values(spec: charts.Spec) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for layer in [spec, *spec.get("layer", [])]:
        found += layer.get("data", {}).get("values", [])
    return found


def test_bars_and_front_hold_every_row_that_finished(tmp_path: Path) -> None:
    made = table(tmp_path)
    for spec in (charts.recall_bars(made), charts.front(made)):
        by_row = {each["row"]: each["mean"] for each in values(spec)}
        assert by_row == {row.row: row.mean for row in made if row.mean is not None}
        assert vl_convert.vegalite_to_png(spec)[:4] == b"\x89PNG"


def test_passes_are_read_from_the_csv_of_the_first_seed(tmp_path: Path) -> None:
    made = table(tmp_path, **{"fit/passes": 2})  # of two epochs, the first is pass 1
    first = next(row for row in made if row.row == "slow")
    for each in first.results:
        file = each.folder / "csv" / "metrics.csv"
        file.parent.mkdir()
        file.write_text(  # validation comes first or last, and the test has neither
            "epoch,step,fit/objective,val/fit_seconds,val/mean_recall\n"
            "0,1,,0.5,30.0\n0,1,2.5,,\n1,3,2.0,,\n1,3,,1.5,40.0\n2,4,,,\n"
        )
    read = readings([each for row in made for each in row.results])
    assert read == [Reading("slow", 1, 30.0, 2.5, 0.5), Reading("slow", 2, 40.0, 2.0, 1.5)]
    alone = Reading("once", 0, 35.0, None, 0.1)  # a closed form
    for against in ("number", "seconds"):
        for draw in (charts.over_passes, charts.objectives):
            spec = draw([*read, alone], against)
            assert spec is not None
            assert vl_convert.vegalite_to_svg(spec).startswith("<svg")
            assert {each["row"] for each in values(spec)} == {"slow"} | (
                {"once"} if draw == charts.over_passes else set()
            )
            assert draw([read[0], alone], against) is None
            assert draw([each._replace(seconds=None) for each in read], "seconds") is None
    assert charts.objectives([each._replace(objective=None) for each in read], "number") is None


def test_hubness_of_both_directions(tmp_path: Path) -> None:
    ways = {"test/hubness/image_to_text": 1.5, "test/hubness/text_to_image": -0.25}
    spec = charts.hubness(table(tmp_path / "some", **ways))
    assert spec is not None
    told = {(each["row"], each["direction"], each["hubness"]) for each in values(spec)}
    of_ways = (("image to text", 1.5), ("text to image", -0.25))
    assert told == {(row, *of_way) for row in ("slow", "fast", "bad") for of_way in of_ways}
    assert vl_convert.vegalite_to_svg(spec).startswith("<svg")
    assert charts.hubness(table(tmp_path / "none")) is None


def test_wins(tmp_path: Path) -> None:
    shares = [{"one": "a", "other": "b", "better": 0.5, "worse": 0.25, "equal": 0.25, "margin": 0.25}]
    spec = charts.wins(shares, ["a", "b"])
    assert values(spec)[0]["told"] == "50"
    assert math.isclose(values(spec)[0]["margin"], 0.25)


@pytest.mark.parametrize("seconds", [0.0, 1e-9])
def test_a_fit_of_no_time_has_a_place(tmp_path: Path, seconds: float) -> None:
    spec = charts.front(table(tmp_path, **{"time/fit_seconds": seconds}))
    assert all(each["seconds"] > 0 for each in values(spec))


def test_a_row_has_one_colour_in_every_chart(tmp_path: Path) -> None:
    made = table(tmp_path)
    rows = [row.row for row in made if row.mean is not None]
    assert rows != sorted(rows)  # the order of names would be the chart's own
    of_passes = [Reading(row, number, 40.0 + i, None, 1.0 * number) for i, row in enumerate(rows) for number in (1, 2)]
    of_pairs = Curve("training pairs", [Point(row, "a", n, 40.0, None, None) for row in rows for n in (10, 20)])
    specs = [charts.front(made), charts.over_passes(of_passes, "number"), charts.over_data(of_pairs)]
    assert [domains(spec) for spec in specs] == [[rows], [rows], [rows]]


def domains(node: Any) -> list[list[str]]:
    """The rows that colours stand for, wherever they stand in a specification, each list once."""
    found: list[list[str]] = []
    if isinstance(node, dict):
        domain = node.get("color", {}).get("scale", {}).get("domain") if isinstance(node.get("color"), dict) else None
        found += [domain] if domain else []
        parts = [each for value in node.values() for each in domains(value)]
    else:
        parts = [each for value in node for each in domains(value)] if isinstance(node, list) else []
    return [each for i, each in enumerate(found + parts) if each not in (found + parts)[:i]]
