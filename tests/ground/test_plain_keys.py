"""A command line over one YAML: texts as they are written, the rest as YAML."""

from pathlib import Path
from typing import Any

import pytest

from ground import plain_keys as module
from ground.errors import UserError
from ground.plain_keys import plain_keys
from ground.ranges import Count

DECLARED: dict[str, Any] = {"run": str | None, "top": Count, "loud": bool, "share": float | None}


@pytest.fixture(autouse=True)
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.yaml").write_text("run: null\ntop: 10\nloud: false\nshare: null\n")
    monkeypatch.setattr(module, "CONFIGS", tmp_path)


def test_defaults_are_of_the_file_and_words_are_left() -> None:
    assert plain_keys("own", DECLARED, []) == ({"run": None, "top": 10, "loud": False, "share": None}, [])
    values, words = plain_keys("own", DECLARED, ["a dog", "--loud", "top=3", "two = three", "share=0.5"])
    assert (values["top"], values["loud"], values["share"], words) == (3, True, 0.5, ["a dog", "two = three"])


@pytest.mark.parametrize("text", ["a: b, [c", "1", "true", "with=sign", "'quoted'", ""])
def test_a_text_is_taken_as_it_is_written(text: str) -> None:
    assert plain_keys("own", DECLARED, [f"run={text}"])[0]["run"] == text


def test_null_and_home() -> None:
    values, _ = plain_keys("own", DECLARED, ["run=null"])
    assert values["run"] is None
    assert plain_keys("own", DECLARED, ["run=~/r"])[0]["run"] == f"{Path.home()}/r"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rnu=1"], "^unknown key 'rnu' in 'rnu=1': did you mean 'run'?"),
        (["--nn"], "^unknown key 'nn' in '--nn'"),
        (["top=1", "top=2"], "^top is given twice$"),
        (["top=0"], "^top must be at least 1, got 0$"),
        (["top=[1"], r"^cannot read top=\[1: "),
        (["loud=3"], "^loud must be true or false, got 3$"),
        (["share=half"], "^share must be a number or null, got 'half'$"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: list[str], line: str) -> None:
    with pytest.raises(UserError, match=line):
        plain_keys("own", DECLARED, arguments)
