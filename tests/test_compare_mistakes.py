"""Mistakes in a command of ``compare.py``, and data that cannot be used: a line each."""

import csv
import subprocess
from pathlib import Path

import pytest
from safetensors.torch import save_file

from tests.comparison.contests import command, contest, environment, own_aligners
from tests.problems import random_features


def test_data_that_cannot_be_used_hide_no_result(tmp_path: Path) -> None:
    x, y, _ = random_features(60, 1, 9, 7, seed=0)
    good = tmp_path / "[b] a,b=c" / "x[b].safetensors"
    good.parent.mkdir()
    save_file({"x": x, "y": y}, good)
    (tmp_path / "damaged.safetensors").write_bytes(b"text")
    whole = [
        "datamodule=features", f"datamodule.path='{good}',damaged.safetensors", "aligners=[cca]", "aligner.rank=3",
        "trials=0", "seeds=1", f"run_dir={tmp_path / 'contest'}",
    ]  # fmt: skip
    ended = subprocess.run(
        [*command()[:2], *whole], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "x[b]: test split, rates in percent" in ended.stdout
    with (tmp_path / "contest" / "table.csv").open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["data"], first["seeds"]) == ("x[b]", "1")
    assert second["data"] == "damaged"
    assert second["told"].startswith("declined: damaged.safetensors is not a whole safetensors")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "contest").touch()
    ended = contest(tmp_path, "aligners=[cca]")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("aligners=[unicorn]",), "unknown row 'unicorn' of aligners=[unicorn]: did you mean 'unicon'"),
        (("seed=3",), "seed=3: a contest sets seed of its runs; set seeds=5"),
        (("seeds=0",), "seeds must be at least 1, got 0"),
        (("jobs=many",), "jobs must be auto or a number of runs at once, got 'many'"),
        (("datamodule=sinthetic", "aligners=[cca]"), "unknown datamodule 'sinthetic'"),
        (("trials=-1",), "trials must be at least 0, got -1"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    ended = contest(tmp_path, *arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: {message}"), ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "contest").exists()


def test_a_contest_that_nobody_can_play_says_why(tmp_path: Path) -> None:
    ended = contest(tmp_path, f"--config-dir={own_aligners(tmp_path)}", "aligners=[declines]")
    assert (ended.returncode, ended.stderr) == (2, "error: no row could run: declined: this one needs other data\n")
    assert not (tmp_path / "contest" / "report.html").exists()
