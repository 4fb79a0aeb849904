"""Runs of 1 and of 2 gloo processes, through the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from aligners.base.aligner import Aligner
from aligners.gradient import SGDCLIP
from aligners.unicon import UniConSpectral
from tests.problems import random_features

ROOT = Path(__file__).parents[2]
N_X = 203  # odd, and so are the splits


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x, y, x_of_y = random_features(N_X, 3, 24, 17, seed=7, noise=1.5)
    group = torch.arange(N_X)
    group[1:20:2] = group[0:19:2]
    split = torch.zeros(N_X, dtype=torch.uint8)
    split[101:152], split[152:] = 1, 2
    path = tmp_path_factory.mktemp("features") / "pairs.safetensors"
    # float64 rows are computed with in float64: sums over any number of processes agree to rounding
    tensors = {"x": x.double(), "y": y.double(), "x_of_y": x_of_y, "group": group, "split": split}
    save_file(tensors, path, metadata={"x_name": "image", "y_name": "text"})
    return path


def run(features: Path, run_dir: Path, *overrides: str) -> dict[str, object]:
    command = [sys.executable, "train.py", "datamodule=features", f"datamodule.path={features}"]
    command += [f"run_dir={run_dir}", "trainer.enable_progress_bar=false", "datamodule.batch_size=40", *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    metrics: dict[str, object] = json.loads((run_dir / "metrics.json").read_text())
    return {key: value for key, value in metrics.items() if not key.startswith(("time/", "memory/"))}


def encoded(cls: type[Aligner], run_dir: Path) -> tuple[torch.Tensor, torch.Tensor]:
    aligner = cls.load_from_checkpoint(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    x, y, _ = random_features(N_X, 3, 24, 17, seed=7, noise=1.5)
    with torch.no_grad():
        return aligner.encode_x(x.double()), aligner.encode_y(y.double())


@pytest.mark.parametrize(
    ("name", "cls", "processes", "overrides"),
    [
        ("unicon", UniConSpectral, 2, []),
        ("unicon", UniConSpectral, 4, ["aligner.feature_map=identity", "aligner.lam=[0.3,1.0]"]),
        ("unicon", UniConSpectral, 2, ["aligner.negatives=batch", "aligner.memory_mb=0"]),
        ("sgd_clip", SGDCLIP, 2, ["trainer.max_epochs=3"]),
    ],
)
def test_processes_give_the_solution_of_one(
    features: Path, tmp_path: Path, name: str, cls: type[Aligner], processes: int, overrides: list[str]
) -> None:
    overrides = [f"aligner={name}", "aligner.rank=8", *overrides]
    one = run(features, tmp_path / "one", "trainer.accelerator=cpu", *overrides)
    many = run(features, tmp_path / "many", "trainer=ddp_cpu", f"trainer.devices={processes}", *overrides)
    assert {path.name for path in tmp_path.iterdir()} == {"one", "many"}  # one run directory for all processes
    for single, several in zip(encoded(cls, tmp_path / "one"), encoded(cls, tmp_path / "many"), strict=True):
        torch.testing.assert_close(single, several, rtol=0, atol=1e-5)
    assert ranked(one) == ranked(many)
    assert one["protocol/test_image"] == 51


def ranked(metrics: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in metrics.items() if key.startswith("test/") and "/geometry/" not in key}
