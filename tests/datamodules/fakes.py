"""Backbones that take no time and whose features tell which item they saw, and a cache for them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from backbones.backbone import Backbone
from datamodules.cache.feature_cache import FeatureCache


class Fake(Backbone):
    """A backbone without a network, which counts the items that it encodes."""

    def __init__(self) -> None:
        super().__init__(batch_size=16, device="cpu")
        self.encoded = 0

    def _content(self) -> tuple[str, Iterable[Path]]:
        return "", []

    def _load(self) -> nn.Module:
        return nn.Identity()

    def _forward(self, network: nn.Module, items: list[Any]) -> Tensor:
        self.encoded += len(items)
        return torch.tensor([self.vector(item) for item in items])

    def vector(self, item: Any) -> list[float]:
        raise NotImplementedError


class MeanColour(Fake):
    """(n, 3): red, green and blue of the middle of an image, in [1, 256]."""

    modality = "image"
    dim = 3

    def vector(self, item: Image.Image) -> list[float]:
        return [1.0 + value for value in item.convert("RGB").resize((1, 1)).getpixel((0, 0))]


class CharacterCounts(Fake):
    """(n, 26): how often each letter stands in a text, and its length."""

    modality = "text"
    dim = 27

    def vector(self, item: str) -> list[float]:
        return [float(item.lower().count(chr(97 + i))) for i in range(26)] + [float(len(item))]


def a_cache(folder: Path, share: float = 0.5) -> FeatureCache:
    return FeatureCache(folder / "cache", "float32", 3, share)


def common(folder: Path, **changes: Any) -> dict[str, Any]:
    """The arguments of ``ExtractedDataModule`` for small data."""
    arguments = {
        "cache_dir": str(folder / "cache"), "precision": "float32", "shard_size": 3, "max_unreadable_share": 0.5,
        "strict": False, "train_items": None, "train_unpaired": 0.0, "train_noise": 0.0, "batch_size": 4,
        "eval_batch_size": 5, "seed": 0,
    }  # fmt: skip
    return arguments | changes
