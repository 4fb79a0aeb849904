"""Trees of class folders whose images tell their numbers, and the datamodule of views of them."""

from pathlib import Path
from typing import Any

import torch

from datamodules.image_folder import ImageFolderDataModule
from tests.datamodules.fakes import CharacterCounts, MeanColour, common
from tests.datamodules.image_layouts import class_folders, colour

COUNTS = {"cat": 8, "dog": 5, "ox": 3}


def tree(folder: Path, **splits: dict[str, int]) -> Path:
    """A tree whose images are numbered through over all splits."""
    start = 0
    for split, counts in splits.items():
        start += len(class_folders(folder / split, counts, start))
    return folder


def made(folder: Path, data: Path, backbone: MeanColour | None = None, **changes: Any) -> ImageFolderDataModule:
    arguments = {
        "path": str(data), "domains": False, "val_share": 0.25, "test_share": 0.25, "split_seed": 0, "views": 2,
        "view_seed": 0, "pairs": "views", "policy": "simclr", "at": "native", "positives": "self",
        "batches": "random", "corruptions": [], "severities": [1, 5], "extreme": [],
        "text_backbone": CharacterCounts(),
    }  # fmt: skip
    return ImageFolderDataModule(backbone or MeanColour(), **(arguments | common(folder, shard_size=64) | changes))


def vector(number: int) -> list[float]:
    return [1.0 + value for value in colour(number)]


def numbers(data: ImageFolderDataModule, split: str) -> list[int]:
    """The number of each image, by its name."""
    return [int(path.stem) for path in data.images()[split].items.paths]  # type: ignore[attr-defined]


def rows(features: Any) -> list[list[float]]:
    return features[torch.arange(features.shape[0])].tolist()  # type: ignore[no-any-return]
