"""What every package's tests have: a quiet machine of one thread, small pairs, a finished run."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules.pairs.arrays import pairs_of_tensors
from datamodules.pairs.pairs import Pairs
from tests import pictures
from tests.cli import small
from tests.problems import random_features

pytest_plugins = ["tests.backbones.tiny_models"]


def pytest_configure() -> None:
    """One thread, here and in the processes that tests start; a job of SLURM's around the tests is not theirs."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        del os.environ[name]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from tests.schedule import Schedule  # asked for by xdist alone, which need not be there

    return Schedule(config, log)


@pytest.fixture(scope="session")
def pairs() -> Pairs:
    """61 x with three y each, some x sharing a group: odd, rectangular, many-to-many."""
    x, y, x_of_y = random_features(61, 3, 24, 17, seed=0)
    group = torch.arange(61)
    group[50:60:2] = group[51:61:2]
    return pairs_of_tensors(x, y, x_of_y=x_of_y, group=group)


@pytest.fixture(scope="session")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three passes."""
    run_dir = tmp_path_factory.mktemp("one") / "run"
    assert small("aligner=unicon", "aligner.feature_map=identity", "aligner.passes=2", f"run_dir={run_dir}") == 0
    return run_dir


@pytest.fixture(scope="session")
def picture_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of CCA on forty of the bundled images, seen small, with a caption each."""
    return pictures.run(tmp_path_factory.mktemp("pictures"))
