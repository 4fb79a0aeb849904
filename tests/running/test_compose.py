"""The overrides of the command line."""

import sys
from pathlib import Path

import pytest

from ground.errors import UserError
from ground.mistakes import search_path
from running.compose import overrides


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
