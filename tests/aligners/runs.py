"""Runs of the command line on one features file: in this process, or in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from aligners.base.aligner import Aligner
from tests.cli import call, last_of, metrics_of, without_cost
from tests.problems import random_features

ROOT = Path(__file__).parents[2]
N_X = 203  # odd, and so are the splits


def arguments(features: Path, run_dir: Path, *overrides: str) -> list[str]:
    given = [
        "datamodule=features", f"datamodule.path={features}", f"run_dir={run_dir}", "datamodule.batch_size=40",
        "trainer.enable_progress_bar=false", *overrides,
    ]  # fmt: skip
    return last_of(given)


def run_here(features: Path, run_dir: Path, *overrides: str) -> dict[str, Any]:
    """The metrics of a run of one process, which is this one."""
    assert call(*arguments(features, run_dir, "trainer.accelerator=cpu", *overrides)) == 0
    return without_cost(metrics_of(run_dir))


def run_apart(features: Path, run_dir: Path, processes: int, *overrides: str) -> dict[str, Any]:
    """The metrics of a run of as many processes, none of which is this one."""
    many = ["trainer=ddp_cpu", f"trainer.devices={processes}"]
    ended = subprocess.run(
        [sys.executable, "train.py", *arguments(features, run_dir, *many, *overrides)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return without_cost(metrics_of(run_dir))


def encoded(cls: type[Aligner], run_dir: Path) -> tuple[torch.Tensor, torch.Tensor]:
    aligner = cls.load_from_checkpoint(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    x, y, _ = random_features(N_X, 3, 24, 17, seed=7, noise=1.5)
    with torch.no_grad():
        return aligner.encode_x(x.double()), aligner.encode_y(y.double())


def ranked(metrics: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metrics.items() if key.startswith("test/") and "/geometry/" not in key}
