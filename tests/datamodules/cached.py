"""A fake backbone, sources and helpers that the tests of the feature cache share."""

import hashlib
import logging
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from datamodules.cache.feature_cache import CachedFeatures, FeatureCache
from datamodules.items.items import Texts, Unreadable


class Fake:
    """Features from hashes. They depend on the batch too, as those of a real model do in their last bits."""

    dim = 6

    def __init__(self, fingerprint: str = "fake", batch_size: int = 3, delay: float = 0) -> None:
        self.fingerprint, self.batch_size, self.delay = fingerprint, batch_size, delay
        self.seen: list[Any] = []
        self.log: Path | None = None

    def too_long(self, items: list[Any]) -> tuple[int, str]:
        return 0, ""

    def encode(self, items: list[Any]) -> Tensor:
        time.sleep(self.delay)
        self.seen += items
        if self.log:
            with self.log.open("a") as file:
                file.write("".join(f"{item}\n" for item in items))
        rows = []
        for item in items:
            data = item.encode() if isinstance(item, str) else item.tobytes()
            seed = int.from_bytes(hashlib.sha256(data + bytes([len(items)])).digest()[:6], "little")
            rows.append(torch.randn(self.dim, generator=torch.Generator().manual_seed(seed)))
        return torch.stack(rows)


class Holes(Texts):
    """Texts, of which those that start with ! cannot be read."""

    def __getitem__(self, i: int) -> str:
        text = super().__getitem__(i)
        if text.startswith("!"):
            raise Unreadable(f"{text[1:]}: is\nbroken")
        return text


def texts(n: int) -> Texts:
    return Texts([f"text {i}" for i in range(n)], "captions train")


def build(folder: Path, precision: str = "float32", size: int = 5, share: float = 0.5) -> FeatureCache:
    return FeatureCache(folder, precision, size, share)


def expected(source: Texts, backbone: Fake, size: int) -> Tensor:
    """Without any cache: batches that start anew with each shard."""
    rows = []
    for first in range(0, len(source), size):
        stop = min(first + size, len(source))
        starts = range(first, stop, backbone.batch_size)
        rows += [backbone.encode(source.strings[i : min(i + backbone.batch_size, stop)]) for i in starts]
    return torch.cat(rows)


def everything(features: CachedFeatures) -> Tensor:
    return features[torch.arange(len(features))]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def only_folder(folder: Path) -> Path:
    (only,) = folder.iterdir()
    return only


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
