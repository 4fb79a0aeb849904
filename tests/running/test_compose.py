"""The overrides of the command line."""

import sys
from pathlib import Path

import pytest

from ground.errors import UserError
from ground.mistakes import search_path
from running.compose import options_first, overrides
from tests.cli import SMALL, call


def given(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    return overrides()


def test_flags_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, "-m", "aligner=cca,pls", "seed=1") == ["aligner=cca,pls", "seed=1"]
    assert given(monkeypatch, "--cfg", "job", "seed=1") == ["seed=1"]
    assert given(monkeypatch) == []


@pytest.mark.parametrize(
    ("flag", "says"),
    [("--nope", "unrecognized arguments: --nope"), ("--cfg=x", "argument --cfg/-c: invalid choice: 'x'")],
)
def test_an_unknown_flag_is_one_line(
    flag: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=says) as raised:
        given(monkeypatch, flag)
    assert "\n" not in str(raised.value)
    assert capsys.readouterr().err == ""


def test_folders_of_both_ways_stand_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    found = given(monkeypatch, "--config-dir", "it's mine", "seed=1", "hydra.searchpath=[file:///a,'file:///b c']")
    assert found[0] == "seed=1"
    assert search_path(found) == [f"file://{tmp_path}/it's mine", "file:///a", "file:///b c"]


@pytest.mark.parametrize(
    ("arguments", "sorted_ones"),
    [
        (["seed=0", "-m", "aligner=cca,pls"], ["-m", "seed=0", "aligner=cca,pls"]),
        (["seed=0", "--config-dir", "a=b", "lam=1"], ["--config-dir", "a=b", "seed=0", "lam=1"]),
        (["lam=1", "--config-dir=conf", "--cfg", "job"], ["--config-dir=conf", "--cfg", "job", "lam=1"]),
        (["~logger", "+x=-1", "seed=-1"], ["~logger", "+x=-1", "seed=-1"]),
        (["-m", "seed=0"], ["-m", "seed=0"]),
        ([], []),
    ],
)
def test_options_may_stand_anywhere(arguments: list[str], sorted_ones: list[str]) -> None:
    assert options_first(arguments) == sorted_ones


def test_a_sweep_whose_flag_stands_among_its_overrides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = (f"hydra.sweep.dir={tmp_path / 'sweep'}", f"run_dir={tmp_path / 'run'}")
    assert call("evaluation.keep=last", "-m", *SMALL, "aligner.lam=0.1,1.0", *places) == 0
    assert "cca aligner.lam=0.1" in capsys.readouterr().out
