"""A spectral fit that is cut off between passes, by a kill of the run or of one of its processes, and gone on with."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from aligners.unicon import UniConSpectral
from tests.aligners.runs import ROOT, arguments, encoded, ranked, run_here

SLOW = ["aligner=unicon", "aligner.rank=8", "aligner.passes=60", "aligner.tolerance=0", "trainer.max_epochs=100"]


def started(features: Path, run_dir: Path, *overrides: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "train.py", *arguments(features, run_dir, *SLOW, *overrides)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    for _ in range(1200):
        if (run_dir / "checkpoints" / "last.ckpt").exists():
            return process
        assert process.poll() is None
        time.sleep(0.05)
    raise AssertionError("no checkpoint was written")


def passes_of(checkpoint: Path) -> int:
    return len(torch.load(checkpoint, weights_only=True)["solution"]["passes"])


@pytest.mark.parametrize("more", [[], ["aligner.contrast_items=50", "aligner.laplacian=0.5"]])
def test_a_killed_fit_goes_on_to_the_solution_of_an_uninterrupted_one(
    features: Path, tmp_path: Path, more: list[str]
) -> None:
    whole = run_here(features, tmp_path / "whole", *SLOW, *more)
    process = started(features, tmp_path / "cut", "trainer.accelerator=cpu", *more)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    checkpoint = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    assert 1 <= passes_of(checkpoint) < 61
    overrides = [*SLOW, *more, f"resume={checkpoint}"]  # its run directory is moved aside, and found
    resumed = run_here(features, tmp_path / "cut", *overrides)
    assert ranked(resumed) == ranked(whole)
    assert resumed["fit/passes"] == whole["fit/passes"]
    records = [
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)["solution"]["passes"]
        for run in ("whole", "cut")
    ]
    for one, other in zip(*records, strict=True):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-4)
    for one, other in zip(
        encoded(UniConSpectral, tmp_path / "whole"), encoded(UniConSpectral, tmp_path / "cut"), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_a_lost_process_ends_the_run_and_leaves_the_last_checkpoint(features: Path, tmp_path: Path) -> None:
    process = started(features, tmp_path / "run", "trainer=ddp_cpu", "trainer.devices=2")
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "train.py"], capture_output=True, text=True, check=True
    )
    os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
    assert process.wait(timeout=60) != 0
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert 1 <= passes_of(checkpoint) < 61
    UniConSpectral.load_from_checkpoint(checkpoint, weights_only=True)
