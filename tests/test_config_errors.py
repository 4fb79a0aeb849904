"""Mistakes in a config: types from annotations, unknown names, and what is no mistake."""

from pathlib import Path
from typing import Any, Literal

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from config_errors import CONFIGS, _fits, check, refuse_additions, user_line
from errors import UserError, nearest

GROUPS = ("aligner", "datamodule", "trainer", "logger")
CHOICES = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONFIGS / group).glob("*.yaml"))]


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("train", overrides=["name=n", "aligner_name=a", "run_dir=r", *overrides])


@pytest.mark.parametrize("choice", CHOICES)
def test_every_shipped_config_passes(choice: str) -> None:
    check(composed(choice))


@pytest.mark.parametrize(
    "override",
    [
        "aligner.lam=1", "aligner.tau=1e-2", "threads=2", "trainer.devices=auto", "trainer.devices=[0,1]",
        "trainer.precision=16-mixed", "trainer.gradient_clip_val=1", "trainer.deterministic=warn",
        "+trainer.fast_dev_run=true", "tags=[a,b]",
    ],
)  # fmt: skip
def test_right_values_pass(override: str) -> None:
    check(composed(override))


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("aligner.unit=1", "aligner.unit must be true or false, got 1"),
        ("aligner.rank=8.5", "aligner.rank must be an integer, got 8.5"),
        ("aligner.rank=true", "aligner.rank must be an integer, got True"),
        ("aligner.kernel=7", "aligner.kernel must be text, got 7"),
        ("aligner.tau=null", "aligner.tau must be a number, got None"),
        ("threads=many", "threads must be an integer or null, got 'many'"),
        ("tags=a", "tags must be list, got 'a'"),
        ("seed=4294967296", "seed must be from 0 to 4294967295"),
        ("logger.csv.save_dir=[a]", "logger.csv.save_dir must be text"),
        ("+trainer.devces=1", "unknown key 'trainer.devces': did you mean 'devices'"),
        ("+datamodule.pth=a", "unknown key 'datamodule.pth'"),
    ],
)
def test_wrong_values_are_named(override: str, line: str) -> None:
    with pytest.raises(UserError) as told:
        check(composed(override))
    assert line in str(told.value)


@pytest.mark.parametrize(
    ("value", "hint", "fits"),
    [
        (1, int, True), (True, int, False), (1, float, True), ("1", float, False), (None, int | None, True),
        ("a", Literal["a", "b"], True), ("c", Literal["a", "b"], False), ("a", Path, True), ([1], list[int], True),
        ({}, dict[str, Any] | None, True), ("a", dict[str, Any], False), ("a", Any, True), ([1], str, False),
        (3, object, True), ("a", str | Path, True), ({}, int, False),
    ],
)  # fmt: skip
def test_plain_values_against_annotations(value: Any, hint: Any, fits: bool) -> None:
    assert _fits(value, hint) == fits


def test_additions_need_a_reader() -> None:
    config = composed("+trainer.fast_dev_run=1", "aligner=sgd_clip", "+aligner.optimizer.amsgrad=true")
    refuse_additions(["+trainer.fast_dev_run=1", "+aligner.optimizer.amsgrad=true", "++seed=1", "seed=2"], config)
    for addition in ("+rank=3", "+tags.a=1", "++evaluation.probe.seeds=3"):
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
