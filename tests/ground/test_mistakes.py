"""Mistakes in a config: unknown names, and what is no mistake."""

import pytest
from hydra.errors import InstantiationException

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


def test_wandb_without_a_key_is_a_mistake() -> None:
    from wandb.errors import UsageError

    line = user_line(UsageError("api_key not configured (no-tty)"), [])
    assert line is not None
    assert "WANDB_MODE=offline" in line


def test_nearest_names() -> None:
    assert nearest("rnak", ["rank", "seed"]) == "did you mean 'rank'?"
    assert nearest("zzz", ["rank", "a.b"]) == "known are rank"
    assert nearest("zzz", []) == "there are none"
