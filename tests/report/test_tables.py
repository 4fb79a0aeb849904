"""Tables of runs and sweeps."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn
from omegaconf import OmegaConf
from rich.console import Console
from scipy.stats import t

from report.tables import SweepTable, directions, result_line, retrieval_rows, run_table, sweep_table


def metrics(recall: float, passes: int = 2, **more: Any) -> dict[str, Any]:
    of_way = {"R@1": recall, "R@5": recall, "R@10": recall, "median_rank": 1.0, "mrr": recall}
    values: dict[str, Any] = {
        f"test/{way}/{key}": value for way in ("image_to_text", "text_to_image") for key, value in of_way.items()
    }
    return values | {
        "test/mean_recall": recall, "time/fit_seconds": 1.5, "time/feature_seconds": 0.25, "fit/passes": passes,
        "fit/kept_pass": passes,
    } | more  # fmt: skip


def run(aligner: str, recall: float, *overrides: str, name: str = "clipart", **more: Any) -> dict[str, Any]:
    return {"name": name, "aligner": aligner, "overrides": list(overrides), "metrics": metrics(recall, **more)}


def printed(what: Any) -> str:
    text = io.StringIO()
    Console(file=text, width=160).print(what)
    return text.getvalue()


def rows(runs: list[dict[str, Any]]) -> list[list[str]]:
    lines = printed(sweep_table(runs)).splitlines()
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]


def test_a_run_has_a_row_for_each_direction() -> None:
    assert directions(metrics(50.0)) == ["image_to_text", "text_to_image"]
    assert retrieval_rows(metrics(50.0))[0] == ["image to text", 50.0, 50.0, 50.0, 1.0, 50.0]
    text = printed(run_table(metrics(50.0), "cca on clipart"))
    assert "cca on clipart" in text
    assert text.count(" 50.0 ") == 8
    assert text.splitlines()[-1].startswith("mean recall 50.00, fit 1.5 s in 2 passes (number 2 kept), features 0.2 s")


def test_the_result_in_a_line() -> None:
    told = result_line(metrics(50.0, passes=1) | {"test/linear_probe/accuracy": 75.0})
    assert told == "mean recall 50.00, linear probe 75.0 %, fit 1.5 s in 1 pass, features 0.2 s; rates in percent"
    assert result_line(metrics(50.0) | {"test/class_accuracy": 60.0}).startswith(
        "mean recall 50.00, class accuracy 60.0 %, fit"
    )


def test_rows_are_sorted_by_mean_recall() -> None:
    table = rows([run("cca", 20.0, "aligner=cca"), run("pls", 40.0, "aligner=pls"), run("unicon", 30.0)])
    assert [row[0] for row in table] == ["pls", "unicon", "cca"]
    assert all("±" not in row[1] for row in table)


def test_seeds_give_a_mean_with_an_interval() -> None:
    values = [10.0, 14.0, 12.0]
    (row,) = rows([run("cca", value, f"seed={seed}") for seed, value in enumerate(values)])
    half = t.ppf(0.975, 2) * 2 / 3**0.5
    assert row[:2] == ["cca", f"12.00 ± {half:.2f}"]
    assert row[-1] == "3"
    runs = [run("cca", value, f"seed={seed}") for seed, value in enumerate(values)]
    title = "test split, rates in percent; ± 95 %, Student's t over seeds"
    assert title in printed(sweep_table(runs))
    assert printed(sweep_table(runs[:1])).splitlines()[0].strip() == "test split, rates in percent"


def test_settings_that_differ_are_not_taken_for_seeds() -> None:
    runs = [run("cca", 10.0 * lam + seed, f"aligner.lam={lam}", f"seed={seed}", "threads=1")
            for lam in (1, 2) for seed in (0, 1)]  # fmt: skip
    assert [row[0] for row in rows(runs)] == ["cca aligner.lam=2", "cca aligner.lam=1"]


def test_experiments_have_a_column() -> None:
    table = rows([run("cca", 10.0), run("cca", 20.0, name="features")])
    assert [row[:2] for row in table] == [["features", "cca"], ["clipart", "cca"]]


def test_metrics_of_classes_have_columns_where_all_runs_have_them() -> None:
    labelled = {"test/class_accuracy": 61.0, "test/linear_probe/accuracy": 72.0}
    runs = [run("cca", 10.0, f"seed={seed}") for seed in (0, 1)]
    assert len(rows(runs)[0]) == 6
    runs[0]["metrics"] |= labelled
    assert len(rows(runs)[0]) == 6
    runs[1]["metrics"] |= labelled | {"test/class_accuracy": 62.0}
    assert rows(runs)[0][2:4] == ["61.5", "72.0"]


def test_a_sweep_leaves_its_runs_and_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = SweepTable()
    history = [{"pass": i, "mean_recall": 10.0 * i} for i in range(3)]
    for rule in ("a", "b"):
        overrides = {"hydra": {"overrides": {"task": [f"rule={rule}"]}, "sweep": {"dir": str(tmp_path / "sweep")}}}
        job = JobReturn()
        job._return_value = run("cca", 10.0) | {"history": history, "confusion": None}
        sweep.on_job_end(OmegaConf.create(overrides), job)
    sweep.on_job_end(OmegaConf.create(overrides), JobReturn())  # a run that failed
    sweep.on_multirun_end(OmegaConf.create(overrides))
    told = json.loads((tmp_path / "sweep" / "sweep.json").read_text(encoding="utf-8"))
    assert [each["overrides"] for each in told] == [["rule=a"], ["rule=b"]]
    assert all(set(each) == {"name", "aligner", "overrides", "metrics"} for each in told)
    assert {path.name for path in (tmp_path / "sweep" / "figures").iterdir()} == {
        "accuracy_over_passes.png",
        "by_setting.png",
    }
    assert "cca rule=b" in capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 80])
def test_names_stay_whole_on_a_narrow_screen(width: int) -> None:
    text = io.StringIO()
    Console(file=text, width=width).print(sweep_table([run("unicon_paper", 1.0), run("unicon", 2.0)]))
    assert "unicon_paper" in text.getvalue()
