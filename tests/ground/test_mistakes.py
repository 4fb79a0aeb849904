"""Mistakes in a config: unknown names, and what is no mistake."""

from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from lightning.fabric.utilities.exceptions import MisconfigurationException

from ground.errors import UserError, nearest
from ground.mistakes import refuse_additions, user_line
from tests.ground.composed import composed


def test_additions_need_a_reader() -> None:
    config = composed("+trainer.fast_dev_run=1", "aligner=sgd_clip", "+aligner.optimizer.amsgrad=true")
    refuse_additions(["+trainer.fast_dev_run=1", "+aligner.optimizer.amsgrad=true", "++seed=1", "seed=2"], config)
    for addition in ("+rank=3", "+tags.a=1", "++logger.cvs=3"):
        with pytest.raises(UserError, match="unknown key"):
            refuse_additions([addition], config)


def test_only_mistakes_have_a_line() -> None:
    def failed(cause: Exception) -> InstantiationException:
        error = InstantiationException("Error in call to target 'a.B':\nX\nfull_key: trainer")
        error.__cause__ = cause
        return error

    assert user_line(UserError("one"), []) == "one"
    assert user_line(failed(UserError("two")), []) == "two"
    assert user_line(failed(ValueError("three\n  lines")), []) == "trainer: three lines"
    assert user_line(failed(ZeroDivisionError("ours")), []) is None
    assert user_line(RuntimeError("ours"), []) is None
    assert user_line(MisconfigurationException("four\n  lines"), []) == "four lines"
    below = type("Below", (MisconfigurationException,), {})
    assert user_line(below("five"), []) == "five"
    alike = type("MisconfigurationException", (Exception,), {})
    assert user_line(alike("ours"), []) is None


@pytest.mark.parametrize("quoted", ["two\nlines", "a\0b", "\ud800", "a\u2028b", "\x1b[31m"])
def test_whatever_a_line_quotes_it_is_one_that_a_terminal_shows(quoted: str) -> None:
    line = str(UserError(f"not '{quoted}'"))
    assert line == f"not '{quoted.encode('unicode_escape').decode()}'"
    assert user_line(InstantiationException(f"{quoted}"), []) is None
    line.encode()


def test_of_a_long_line_the_ends_are_told() -> None:
    line = str(UserError(f"begins {'x' * 10**6} ends"))
    assert line.startswith("begins xxx")
    assert line.endswith("xxx ends")
    assert len(line) == 2007


def test_what_hydra_raises_of_odd_values_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    for odd in ("9" * 5000, "[" * 5000):
        with pytest.raises(Exception) as raised:  # noqa: PT011
            composed(f"seed={odd}")
        assert user_line(raised.value, [f"seed={odd}"])


def test_a_name_that_is_too_long_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(OSError) as raised:  # noqa: PT011
        (tmp_path / ("x" * 300)).is_file()
    assert str(user_line(raised.value, [])).endswith("cannot be a file here: File name too long")


def test_wandb_without_a_key_is_a_mistake() -> None:
    from wandb.errors import UsageError

    line = user_line(UsageError("api_key not configured (no-tty)"), [])
    assert line is not None
    assert "WANDB_MODE=offline" in line


def test_nearest_names() -> None:
    assert nearest("rnak", ["rank", "seed"]) == "did you mean 'rank'?"
    assert nearest("zzz", ["rank", "a.b"]) == "known are rank"
    assert nearest("zzz", []) == "there are none"
