"""A fit inside somebody else's program."""

import logging
import os
import random
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from aligners.base import quiet
from aligners.closed_form import CCA
from aligners.gradient import SGDCLIP
from datamodules.pairs.pairs import Pairs

ROOT = Path(__file__).parents[3]
SCRIPT = """
import warnings
warnings.simplefilter("always")
import torch
from aligners.gradient import SGDCLIP
from aligners.unicon import UniConSpectral
x = torch.randn(60, 8)
for aligner in (UniConSpectral(rank=2, feature_map="identity"), SGDCLIP(rank=2)):
    aligner.fit(x, x @ torch.randn(8, 5), max_epochs=2).encode_x(x)
"""


def test_a_script_that_fits_prints_nothing(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (ended.stdout, ended.stderr) == ("", "")


def state() -> list[object]:
    """What a fit could change of the process."""
    return [
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002 - the state that programs share
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        signal.getsignal(signal.SIGINT),
        [logging.getLogger(name).level for name in (None, "lightning", "lightning.pytorch", "lightning.fabric")],
        list(warnings.filters),
        dict(os.environ),
    ]


def test_the_process_is_as_it_was(pairs: Pairs, caplog: pytest.LogCaptureFixture) -> None:
    before = state()
    with caplog.at_level(logging.INFO):
        SGDCLIP(rank=4).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=2)
    assert state() == before
    assert not [record for record in caplog.records if record.name.startswith("lightning")]
    with pytest.raises(ZeroDivisionError), quiet.quiet(3):
        _ = 1 / 0
    assert state() == before


def test_an_interrupted_fit_leaves_the_next_to_be_interrupted(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: CCA, *_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(CCA, "training_step", interrupted)
    before, aligner = state(), CCA(rank=4)
    with pytest.raises(KeyboardInterrupt):
        aligner.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y)
    assert state() == before
    assert aligner.dims is None


def test_the_same_numbers_whatever_was_drawn_before(pairs: Pairs) -> None:
    def heads() -> torch.Tensor:
        torch.rand(3)
        return SGDCLIP(rank=4).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=1, seed=5).encode_x(pairs.x)

    assert torch.equal(heads(), heads())


@pytest.mark.parametrize(("seconds", "terminal", "shown"), [(-1.0, True, 1), (60.0, True, 0), (-1.0, False, 0)])
def test_a_bar_shows_long_fits_on_a_terminal(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch, seconds: float, terminal: bool, shown: int
) -> None:
    bars: list[list[int]] = []

    @contextmanager
    def bar(name: str, total: int, done: int, *, visible: bool) -> Iterator[Callable[[int], None]]:
        bars.append([total, done])
        yield bars[-1].append
        bars[-1].append(0)  # closed

    monkeypatch.setattr(quiet, "LONG", seconds)
    monkeypatch.setattr(quiet, "progress_bar", bar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    SGDCLIP(rank=4).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, batch_size=32, max_epochs=2)
    assert bars == [[4, 1, 1, 1, 1, 0]] * shown


def test_a_bar_ends_with_a_fit_that_fails(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: CCA, *_: object) -> None:
        raise RuntimeError("of the solver")

    callback = quiet.LongFitBar()
    closed: list[bool] = []
    callback.stack.callback(closed.append, True)
    monkeypatch.setattr("aligners.base.arrays.LongFitBar", lambda: callback)
    monkeypatch.setattr(CCA, "training_step", fail)
    with pytest.raises(RuntimeError, match="of the solver"):
        CCA(rank=4).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y)
    assert closed == [True]
