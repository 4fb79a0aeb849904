"""Small data that every package's tests use."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from datamodules.pairs.arrays import pairs_of_tensors
from datamodules.pairs.pairs import Pairs
from tests import pictures
from tests.cli import small

CLIPART_FEATURES = Path(__file__).parents[2] / "shared" / "data" / "clipart" / "features.safetensors"


def random_features(
    n_x: int, captions: int, d_x: int, d_y: int, seed: int, noise: float = 0.5
) -> tuple[Tensor, Tensor, Tensor]:
    """x (n_x, d_x), y (n_x * captions, d_y) of a common factor, and x_of_y."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    z = normal(n_x, 8)
    x_of_y = torch.arange(n_x).repeat_interleave(captions)
    x = z @ normal(8, d_x) + noise * normal(n_x, d_x)
    y = z[x_of_y] @ normal(8, d_y) + noise * normal(len(x_of_y), d_y)
    return x, y, x_of_y


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
