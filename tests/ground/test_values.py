"""Types and ranges of a config's values, from the annotations of the arguments that take them."""

from pathlib import Path
from typing import Any, Literal

import pytest

from ground.annotations import fits
from ground.configs import CONFIGS
from ground.errors import UserError
from ground.values import check
from tests.ground.composed import composed

GROUPS = ("aligner", "datamodule", "evaluation", "trainer", "logger")
CHOICES = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONFIGS / group).glob("*.yaml"))]


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
        ("aligner.kernel=7", "aligner.kernel must be text or a list, each text, got 7"),
        ("aligner.tau=null", "aligner.tau must be a number or a list, each a number, got None"),
        ("aligner.tau=[0.1,cold]", "aligner.tau must be a number or a list, each a number, got [0.1, 'cold']"),
        ("threads=many", "threads must be an integer or null, got 'many'"),
        ("matmul_precision=tf32", "unknown matmul_precision 'tf32': known are high, highest, medium"),
        ("tags=a", "tags must be a list, each text, got 'a'"),
        ("seed=4294967296", "seed must be from 0 to 4294967295"),
        ("logger.csv.save_dir=[a]", "logger.csv.save_dir must be text"),
        ("+trainer.devces=1", "unknown key 'trainer.devces': did you mean 'devices'"),
        ("+datamodule.pth=a", "unknown key 'datamodule.pth'"),
        ("threads=4294967296", "threads must be at least 1 and at most 2147483647, got 4294967296"),
        ("threads=0", "threads must be at least 1 and at most 2147483647, got 0"),
        ("trainer.max_epochs=0", "trainer.max_epochs must be at least 1, got 0"),
        ("trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch must be at least 1, got 0"),
        ("+trainer.val_check_interval=0", "trainer.val_check_interval must be above 0, got 0"),
        ("+trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches must be at least 1, got 0"),
        ("evaluation.block_size=0", "evaluation.block_size must be at least 1, got 0"),
        ("evaluation.probe.strengths=[1,0]", "evaluation.probe.strengths must be above 0, got 0"),
        ("evaluation.probe.holdout=1", "evaluation.probe.holdout must be above 0 and below 1, got 1"),
        ("evaluation.probe.raw=1", "evaluation.probe.raw must be true or false, got 1"),
        ("datamodule.image_backbone.size=0", "datamodule.image_backbone.size must be at least 1, got 0"),
        ("datamodule.image_backbone.fit=corp", "unknown datamodule.image_backbone.fit 'corp': did you mean 'crop'"),
        ("datamodule.precision=float61", "unknown datamodule.precision 'float61': did you mean 'float16'"),
        ("datamodule.train_items=0", "datamodule.train_items must be at least 1, got 0"),
        ("datamodule.max_unreadable_share=nan", "datamodule.max_unreadable_share must be from 0 to 1, got nan"),
    ],
)
def test_wrong_values_are_named(override: str, line: str) -> None:
    with pytest.raises(UserError) as told:
        check(composed(override))
    assert line in str(told.value)


@pytest.mark.parametrize(
    ("value", "hint", "fitting"),
    [
        (1, int, True), (True, int, False), (1, float, True), ("1", float, False), (None, int | None, True),
        ("a", Literal["a", "b"], True), ("c", Literal["a", "b"], False), ("a", Path, True), ([1], list[int], True),
        ({}, dict[str, Any] | None, True), ("a", dict[str, Any], False), ("a", Any, True), ([1], str, False),
        (3, object, True), ("a", str | Path, True), ({}, int, False),
        (Path("a"), str, True),
    ],
)  # fmt: skip
def test_plain_values_against_annotations(value: Any, hint: Any, fitting: bool) -> None:
    assert fits(value, hint) == fitting
