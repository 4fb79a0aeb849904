"""The command line, called in this process; what it sets for the whole process is put back."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

import train

TRAIN = Path(train.__file__)
SMALL = (
    "datamodule=synthetic", "datamodule.n_train=60", "datamodule.n_val=20", "datamodule.n_test=20",
    "datamodule.batch_size=32", "aligner=cca", "aligner.rank=8",
    "trainer.enable_progress_bar=false", "trainer.accelerator=cpu", "report.sheet_items=1",
)  # fmt: skip
"""The quickest run: other overrides may follow and replace these."""


def last_of(arguments: Iterable[str]) -> list[str]:
    """Arguments without those that a later one replaces: a key is given once."""
    return list({each.lstrip("+").partition("=")[0]: each for each in arguments}.values())


def call(*arguments: str) -> int:
    """The exit code of ``train.py`` with exactly these arguments; an error of ours is raised."""
    root, lightning_log = logging.getLogger(), logging.getLogger("lightning.pytorch")
    level, lightning_level, threads = root.level, lightning_log.level, torch.get_num_threads()
    interrupt = signal.getsignal(signal.SIGINT)
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ))
        stack.enter_context(patch.object(sys, "argv", [str(TRAIN), *last_of(arguments)]))
        stack.callback(signal.signal, signal.SIGINT, interrupt)
        stack.callback(torch.set_num_threads, threads)
        stack.callback(torch.use_deterministic_algorithms, False)
        stack.callback(lightning_log.setLevel, lightning_level)
        stack.callback(root.setLevel, level)
        stack.callback(logging.captureWarnings, False)
        try:
            train.cli()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def small(*overrides: str) -> int:
    """The exit code of a small run."""
    sweep, rest = [o for o in overrides if o == "-m"], [o for o in overrides if o != "-m"]
    return call(*sweep, *SMALL, *rest)


def process(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python train.py`` in a process of its own."""
    return subprocess.run(
        [sys.executable, str(TRAIN), *last_of(arguments)],
        cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


GRADIENT = ("aligner=sgd_clip", "trainer.max_epochs=2", "datamodule.batch_size=20")


def metrics_of(run_dir: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def without_cost(metrics: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in metrics.items() if not k.startswith(("time/", "memory/", "energy/"))}
