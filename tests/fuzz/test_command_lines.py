"""Command lines of train.py with mutated keys and values: parts that are built, a fit without NaN, or one line."""

import json
import math
import shutil
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig

from ground.configs import CONFIGS
from ground.errors import UserError
from ground.mistakes import _known_keys
from running import run
from tests.cli import call, small
from tests.fuzz.outcome import outcome, share

ALIGNERS = sorted(path.stem for path in (CONFIGS / "aligner").glob("*.yaml"))
DATAMODULES = ["synthetic", "features", "table", "clipart", "webdataset", "flickr30k", "mscoco", "clotho", "cifar10"]
VALUES = [
    "", "null", "true", "false", "0", "1", "-1", "2", "0.5", "-0.5", "1e-9", "1e400", "nan", "inf", "-inf", "9" * 30,
    "9" * 5000, "18446744073709551616", "2147483648", "0x10", "1_000", "1e3", "abc", "é", "two words", "'quoted'",
    "[]", "[1]", "[1,2]", "[0.1,1]", "[null]", "[[1]]", "[a]", "{}", "{a:1}", "{a:{b:[]}}", "${seed}", "${nope}",
    "${oc.env:HOME}", "${oc.env:NOPE}", "${now:%Y}", "${", "}", "[", "]", "{", '"', "'", "\\", "=", "a=b", "???",
    "_here_", "none", "auto", "range(1,3)", "choice(1,2)", "int(3)", "~", "/", "..", "/dev/null", "/proc/nope/x",
    "http://a/b", "a\nb", "a\tb", "\udcff", "\0", "a" * 4000, "@x", "#", "*", "?", "%", "clip", "all", "random", "cpu",
]  # fmt: skip
EXTRA = [
    "+a=1", "++seed=2", "~seed", "~aligner.rank", "+aligner.x=1", "seed", "=", "", " ", "==", "a.b.c=1",
    "aligner@x=cca", "objective=clip", "trainer=ddp_cpu", "logger=tensorboard", "+logger@x=csv",
    "experiment=nope", "evaluation=null",
    "report=[]", "test=nope", "resume=auto", "resume=nope", "aligner.rank", "--nope", "-x", "--cfg=job", "--cfg=x",
    "--multirun=1", "hydra.searchpath=[file:///nope]", "hydra.searchpath=nope", "--config-dir=nope", "hydra=nope",
    "~hydra", "hydra.nope=1", "eval_datamodule=synthetic", "eval_datamodule=null", "+eval_datamodule.x=1", "_target_=a",
    "aligner._target_=torch.nn.Identity", "+_self_=1", "defaults=[]", "aligner=[cca,pls]", "aligner=cca.yaml",
    "aligner=../trainer/default", "aligner=base/common", "backbone@datamodule.image_backbone=nope", "trainer=null",
]  # fmt: skip
MARKS = list("=.,[]{}'\"\\$@~+:#() \t\n0a-é")


RUN = run.run


class Built(Exception):  # noqa: N818 - it is no error
    """The run is about to make its directory."""


@cache
def keys(aligner: str, datamodule: str) -> list[str]:
    """Every key of a config with these two."""
    return [
        key for key in _known_keys([f"aligner={aligner}", f"datamodule={datamodule}"]) if not key.startswith("hydra")
    ]


def build(config: DictConfig) -> dict[str, Any] | None:
    """All of a run before its directory is made, and the parts that are made after it."""
    try:
        RUN(config)
    except Built:
        instantiate(config.evaluation)
        instantiate(config.report)
        instantiate(config.trainer, logger=False, callbacks=[], enable_progress_bar=False)
    return None


def lines(caught: pytest.CaptureFixture[str], act: Any, *overrides: str) -> None:
    """Raises the one line of a command line that is refused as a ``UserError``."""
    caught.readouterr()
    code = act(*overrides)
    told = caught.readouterr().err
    assert "Traceback" not in told, told
    assert code in (0, 2), told
    if code:
        assert told.startswith("error: "), told
        assert told.endswith("\n"), told
        raise UserError(Line(told[:-1]))


class Line(str):
    """A line as it was printed."""


def mutated(text: str, marks: list[tuple[int, int, str]]) -> str:
    for place, width, mark in marks:
        at = place % (len(text) + 1)
        text = text[:at] + mark + text[at + width :]
    return text


@pytest.fixture
def at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for what runs write, with the environment of a command line."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


mark = st.tuples(st.integers(0, 60), st.integers(0, 2), st.sampled_from([*MARKS, ""]))
setting = st.tuples(
    st.integers(0, 10**6), st.sampled_from(VALUES), st.sampled_from([[], []]) | st.lists(mark, max_size=2)
)


@share(0.008)
@given(
    aligner=st.sampled_from(ALIGNERS), datamodule=st.sampled_from(DATAMODULES),
    settings=st.lists(setting, min_size=1, max_size=3), extra=st.lists(st.sampled_from(EXTRA), max_size=1),
    extra_first=st.booleans(),
)  # fmt: skip
def test_building(
    at_work: Path, capfd: pytest.CaptureFixture[str], aligner: str, datamodule: str,
    settings: list[tuple[int, str, list[tuple[int, int, str]]]], extra: list[str], extra_first: bool,
) -> None:  # fmt: skip
    names = keys(aligner, datamodule)
    given = [mutated(f"{names[i % len(names)]}={value}", marks) for i, value, marks in settings]
    overrides = [*extra, *given] if extra_first else [*given, *extra]
    with patch.object(run, "RunDirectory", side_effect=Built), patch.object(run, "run", build):
        outcome(
            "command line", lambda: lines(capfd, call, f"aligner={aligner}", f"datamodule={datamodule}", *overrides)
        )


FITS = [
    "0", "1", "2", "3", "8", "20", "1000", "0.5", "1e-6", "1e-30", "1e6", "1e30", "[0.1,1]", "true", "false",
    "null", "-1",
]  # fmt: skip
NOT_FITTED = (
    "run_dir", "data_dir", "cache_dir", "trainer", "logger", "datamodule", "report", "tags", "test", "resume",
    "threads", "name", "eval_datamodule", "aligner_name", "experiment", "aligner.warm_start",
)  # fmt: skip
"""Beginnings of keys that say where things are written, or what would take long."""


@share(0.001)
@given(
    aligner=st.sampled_from([a for a in ALIGNERS if "paper" not in a]),
    settings=st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(FITS)), min_size=1, max_size=2),
)
def test_fits(at_work: Path, capfd: pytest.CaptureFixture[str], aligner: str, settings: list[tuple[int, str]]) -> None:
    """Every value that is taken gives numbers."""
    names = [
        key for key in keys(aligner, "synthetic") if not key.startswith(NOT_FITTED) and key.rpartition(".")[2][0] != "_"
    ]
    given = [f"{names[i % len(names)]}={value}" for i, value in settings]
    run_dir = at_work / "run"

    def fit() -> None:
        lines(capfd, small, f"aligner={aligner}", "trainer.max_epochs=2", *given, f"run_dir={run_dir}")
        metrics = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
        # what is not finite is written as null
        assert all(v is not None and (not isinstance(v, float) or math.isfinite(v)) for v in metrics.values()), metrics

    try:
        outcome("command line, fitted", fit)
    finally:
        shutil.rmtree(at_work / "run", ignore_errors=True)
