"""Features files that tests write, and the datamodules that read them."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from datamodules.features import FeaturesDataModule
from tests.problems import random_features


def tensors(n_x: int = 40, captions: int = 2) -> dict[str, Tensor]:
    x, y, x_of_y = random_features(n_x, captions, 6, 5, seed=0)
    return {"x": x, "y": y, "x_of_y": x_of_y}


def datamodule(path: Path | str | None, **changed: Any) -> FeaturesDataModule:
    arguments = {"val_share": 0.1, "test_share": 0.2, "split_seed": 0, "batch_size": 8, "eval_batch_size": 8, "seed": 0}
    return FeaturesDataModule(path, **(arguments | changed))  # type: ignore[arg-type]


def written(folder: Path, metadata: dict[str, str] | None = None, **changed: Tensor | None) -> Path:
    """A file of ``tensors()`` with some changed or, if None, left out."""
    path = folder / "pairs.safetensors"
    whole = tensors() | changed
    save_file({name: values for name, values in whole.items() if values is not None}, path, metadata=metadata)
    return path


def loaded(folder: Path, metadata: dict[str, str] | None = None, **changed: Tensor | None) -> FeaturesDataModule:
    data = datamodule(written(folder, metadata, **changed))
    data.setup()
    return data
