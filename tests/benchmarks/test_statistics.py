"""What the benchmarks make of repeats: spreads, growth, the search for settings."""

import io
import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from benchmarks.record import Parser, Record, command, spread, table, told
from benchmarks.scale import growth
from benchmarks.speed_table import reached, summarised
from benchmarks.synthetic.climb import climb
from ground.errors import UserError


def test_a_spread_is_median_and_ends() -> None:
    of = spread([3.0, 1.0, 2.0, 10.0])
    assert of == {"median": 2.5, "min": 1.0, "max": 10.0, "values": [3.0, 1.0, 2.0, 10.0]}
    assert told(of, 1) == "2.5 (1.0 to 10.0)"
    assert told(spread([2.0]), 2) == "2.00"


def test_growth_of_a_power_law() -> None:
    of = growth([10, 100, 1000], [2.0, 2 * 10**1.2, 2 * 10**2.4])
    assert of["exponents"] == pytest.approx([1.2, 1.2])
    assert of["fitted"] == pytest.approx(1.2)
    assert growth([10], [1.0]) == {"exponents": [], "fitted": None}


AXES = {"aligner.lam": [0.01, 0.1, 1.0, 10.0], "aligner.weight_power": [0.0, 1.0, 2.0]}


def test_a_climb_ends_on_the_top() -> None:
    asked = []

    def score(setting: list[str]) -> float:
        asked.append(tuple(setting))
        lam, power = (float(each.split("=")[1]) for each in setting)
        return -abs(lam - 0.1) - abs(power - 1)

    found = climb(AXES, OmegaConf.create({"aligner": {"lam": 7.0, "weight_power": 0.0}}), score)
    assert found["overrides"] == ["aligner.lam=0.1", "aligner.weight_power=1"]
    assert found["score"] == 0
    assert found["at_edge"] == []
    assert asked[0] == ("aligner.lam=10", "aligner.weight_power=0")  # the nearest to the YAML's
    assert len(asked) == len(set(asked)) == len(found["tried"])


def test_a_climb_names_the_edge_and_ends_on_a_plain() -> None:
    config = OmegaConf.create({"aligner": {"lam": 1.0, "weight_power": 1.0}})
    assert climb(AXES, config, lambda setting: 1.0)["overrides"] == ["aligner.lam=1", "aligner.weight_power=1"]
    upwards = climb(AXES, config, lambda setting: float(setting[0].split("=")[1]))
    assert upwards["at_edge"] == ["aligner.lam"]


def result(seconds: list[float], recalls: list[float]) -> dict[str, object]:
    best = recalls.index(max(recalls))
    return {"fit_seconds": seconds[-1], "seconds_to_best": seconds[best], "val": max(recalls), "test": 40.0,
            "seconds": seconds, "recalls": recalls}  # fmt: skip


def test_times_to_a_recall() -> None:
    ours = [result([1.0, 2.0, 3.0], [10.0, 30.0, 20.0]), result([1.5, 2.5], [20.0, 35.0])]
    assert reached(ours, 20.0) == [2.0, 1.5]
    assert reached(ours, 33.0) == [2.5]
    assert reached(ours, 50.0) == []


def test_ratios_to_gradient_descent() -> None:
    defaults, tuned = [result([20.0, 60.0], [25.0, 28.0])] * 3, [result([10.0, 20.0, 30.0], [5.0, 30.0, 29.0])] * 3
    fast, poor = [result([4.0, 5.0], [25.0, 31.0])] * 3, [result([1.0], [29.9])] * 3
    without_curve = [{"fit_seconds": 6.0, "val": 40.0, "test": 40.0}] * 3
    measured = {"sgd_clip": defaults, "fast": fast, "poor": poor, "peer": without_curve, "a": [{"note": "stopped"}]}
    summary = summarised(measured | {"none": []})
    assert summary["fast"]["times_sooner"] == pytest.approx(60 / 5)
    assert "times_sooner" not in summary["sgd_clip"]
    summary = summarised(measured | {"sgd_clip tuned": tuned})
    assert summary["fast"]["times_sooner"] == pytest.approx(20 / 5)
    assert summary["poor"]["times_sooner"] is None
    assert summary["sgd_clip"]["times_sooner"] is None
    assert not {"times_sooner", "seconds_to_sgd_best"} & {*summary["sgd_clip tuned"], *summary["peer"]}
    shares = {name: each["share_of_sgd"] for name, each in summary.items() if "share_of_sgd" in each}
    assert shares == pytest.approx({"sgd_clip": 1, "sgd_clip tuned": 0.5, "fast": 5 / 60, "poor": 1 / 60, "peer": 0.1})
    assert summary["a"] == {"note": "stopped"}


def test_a_record_is_kept_whole_after_every_measurement() -> None:
    record = Record("speed", {"repeats": 5})
    record.save(results={"a": [1.0, float("nan")]})
    record.save(summary={"a": 1})
    content = json.loads(record.path.read_text(encoding="utf-8"))
    assert content["results"] == {"a": [1.0, None]}
    assert content["summary"] == {"a": 1}
    assert content["settings"] == {"repeats": 5}
    assert {"cpu", "cores", "threads", "gpu", "torch", "cca-zoo"} <= set(content["machine"])
    assert record.path.parent == Path("outputs/benchmarks/speed")


def test_a_table_has_its_names_left() -> None:
    text = io.StringIO()
    Console(file=text, width=80).print(table("title", ["", "s"], [["unicon", "1.0"], ["b", "10.0"]]))
    lines = text.getvalue().splitlines()
    assert lines[0].strip() == "title"
    assert "│ unicon │  1.0 │" in lines
    assert "│ b      │ 10.0 │" in lines


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    parser = Parser("speed")
    with pytest.raises(UserError, match=r"unrecognized arguments: --repeat; --help lists the options"):
        parser.parse_args(["--repeat"])

    def main(argv: object) -> None:
        raise UserError("no such thing")

    monkeypatch.setattr("logging.captureWarnings", lambda on: None)
    with pytest.raises(SystemExit) as end:
        command(main)
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: no such thing\n"
