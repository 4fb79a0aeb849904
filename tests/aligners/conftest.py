"""Tests of every aligner, and the features of runs in several processes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.aligners.made import LEARNING, RANKED
from tests.aligners.runs import N_X
from tests.problems import random_features


def pytest_generate_tests(metafunc: Any) -> None:
    """A test with an argument ``aligner_name`` runs for every aligner that learns, ``ranked_name`` if it has a rank."""
    if "ranked_name" in metafunc.fixturenames:
        metafunc.parametrize("ranked_name", [name for name in LEARNING if name in RANKED])
    if "aligner_name" in metafunc.fixturenames:
        metafunc.parametrize("aligner_name", LEARNING, scope="module")  # those of one aligner share its fit


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x, y, x_of_y = random_features(N_X, 3, 24, 17, seed=7, noise=1.5)
    group = torch.arange(N_X)
    group[1:20:2] = group[0:19:2]
    split = torch.zeros(N_X, dtype=torch.uint8)
    split[101:152], split[152:] = 1, 2
    path = tmp_path_factory.mktemp("features") / "pairs.safetensors"
    # float64 rows are computed with in float64: sums over any number of processes agree to rounding
    tensors = {"x": x.double(), "y": y.double(), "x_of_y": x_of_y, "group": group, "split": split}
    tensors["domain"] = torch.arange(N_X) % 3
    save_file(tensors, path, metadata={"x_name": "image", "y_name": "text"})
    return path
