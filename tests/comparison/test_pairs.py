"""The number of training pairs as an axis: what counts as one, and what does not."""

from pathlib import Path
from typing import Any

import pytest
import vl_convert
import yaml

from comparison import charts
from comparison.pairs import Point, curve
from comparison.results import Standing, standings
from tests.comparison.made import drawn_ranks, finished, result


def tables(folder: Path, sizes: dict[str, dict[str, Any]], pairs: dict[str, int]) -> dict[str, list[Standing]]:
    """Two rows on data sets of these settings, whose runs say that they had as many training pairs."""
    results = []
    for data, settings in sizes.items():
        for number, row in enumerate(("good", "bad")):
            metrics = {"data/train_pairs": pairs[data], "protocol/test_image": 40}
            job = finished(folder, row, 0, drawn_ranks(40, 1, 0.6 - 0.3 * number, number), 1, data, **metrics)
            # a batch size is tuned, of each row for itself
            datamodule = {"seed": 0, "batch_size": 32 + number + pairs[data], **settings}
            config = {"aligner_name": row, "name": "clipart", "seed": 0, "datamodule": datamodule}
            (job.folder / "config.yaml").write_text(yaml.safe_dump(config))
            results.append(result(job))
    return standings(results, {("gone", "good"): ["failed"]})


def points(tables: dict[str, list[Standing]]) -> list[Point]:
    over = curve(tables)
    assert over is not None
    return over.points


@pytest.mark.parametrize("key", ["train_noise", "train_unpaired"])
def test_a_share_is_an_axis_of_its_own_values(tmp_path: Path, key: str) -> None:
    sizes = {f"{key}={share}": {key: share, "train_items": None} for share in (0, 0.2, 0.4)}
    pairs = (100, 100, 100) if key == "train_noise" else (100, 80, 60)
    over = curve(tables(tmp_path, sizes, dict(zip(sizes, pairs, strict=True))))
    assert over is not None
    assert "share of training" in over.title
    assert {(each.row, each.at) for each in over.points} == {(row, n) for row in ("good", "bad") for n in (0, 0.2, 0.4)}
    spec = charts.over_data(over)
    assert spec["layer"][0]["encoding"]["x"] == {"field": "at", "title": over.title, "type": "quantitative"}
    assert vl_convert.vegalite_to_svg(spec).startswith("<svg")


def test_runs_that_differ_in_one_number_alone(tmp_path: Path) -> None:
    sizes = {f"train_items={n}": {"train_items": n, "path": "a"} for n in (50, 100, None)}
    made = tables(tmp_path, sizes, dict(zip(sizes, (101, 203, 480), strict=True)))
    over = curve(made)
    assert over is not None
    assert over.title == "training pairs"
    assert {(each.row, each.data, each.at) for each in over.points} == {
        (row, data, pairs) for row in ("good", "bad") for data, pairs in zip(sizes, (101, 203, 480), strict=True)
    }
    assert vl_convert.vegalite_to_svg(charts.over_data(over)).startswith("<svg")


def test_another_axis_beside_it_is_told_in_the_rows_name(tmp_path: Path) -> None:
    sizes = {f"train_items={n}, rank={rank}": {"train_items": n} for n in (50, 100) for rank in (8, 16)}
    found = points(tables(tmp_path, sizes, dict(zip(sizes, (50, 50, 100, 100), strict=True))))
    assert {each.row for each in found} == {f"{row}, rank={rank}" for row in ("good", "bad") for rank in (8, 16)}


@pytest.mark.parametrize(
    ("sizes", "pairs"),
    [
        pytest.param({"a": {"path": "a"}, "b": {"path": "b"}}, (50, 100), id="other data"),
        pytest.param({"a": {"path": "a", "n": 1}, "b": {"path": "b", "n": 2}}, (50, 100), id="two settings"),
        pytest.param({"a": {"shuffled": True}, "b": {"shuffled": False}}, (50, 100), id="no number"),
        pytest.param({"a": {"seed_of_y": 1}, "b": {"seed_of_y": 2}}, (50, 50), id="as many pairs"),
        pytest.param({"a": {"n": 1}}, (50,), id="one data set"),
    ],
)
def test_what_is_no_axis_of_pairs(tmp_path: Path, sizes: dict[str, dict[str, Any]], pairs: tuple[int, ...]) -> None:
    assert curve(tables(tmp_path, sizes, dict(zip(sizes, pairs, strict=True)))) is None


def test_tested_on_other_items_it_is_none(tmp_path: Path) -> None:
    sizes = {f"n={n}": {"n": n} for n in (50, 100)}
    made = tables(tmp_path, sizes, dict(zip(sizes, (50, 100), strict=True)))
    assert len(points(made)) == 4
    for row in made["n=100"]:
        for each in row.results:
            each.metrics["protocol/test_image"] = 41
    assert curve(made) is None


def test_runs_of_a_time_when_none_said_so(tmp_path: Path) -> None:
    sizes = {f"n={n}": {"n": n} for n in (50, 100)}
    made = tables(tmp_path, sizes, dict(zip(sizes, (50, 100), strict=True)))
    for row in (row for table in made.values() for row in table):
        for each in row.results:
            del each.metrics["data/train_pairs"]
    assert curve(made) is None
