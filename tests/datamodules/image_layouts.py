"""Small images with classes on disk, in the layouts that users have."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import CIFAR10

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def colour(number: int) -> tuple[int, int, int]:
    """A colour that tells which image it is."""
    return (40 + number % 150, 40 + 7 * number % 150, 40 + 31 * number % 150)


def solid(number: int, side: int = 32) -> Image.Image:
    return Image.new("RGB", (side, side), colour(number))


def noisy(seed: int = 0, side: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def class_folders(folder: Path, counts: dict[str, int], start: int = 0, suffix: str = ".png") -> list[Path]:
    """``folder/CLASS/NNNN.png``, numbered and coloured from ``start`` on; the files in order."""
    files = []
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            files.append(folder / name / f"{start + len(files):04d}{suffix}")
            solid(start + len(files) - 1).save(files[-1])
    return files


def cifar_pixels(numbers: range) -> NDArray[np.uint8]:
    return np.stack([np.asarray(solid(number)) for number in numbers])


def cifar_pickles(folder: Path, monkeypatch: pytest.MonkeyPatch, per_batch: int = 20) -> None:
    """``cifar-10-batches-py`` of 5 batches and a test batch in the official format, with checksums that fit.

    Image ``number`` has ``colour(number)`` and the class ``number % 10``; the test images come last.
    """
    base = folder / CIFAR10.base_folder
    base.mkdir(parents=True)

    def written(name: str, content: Any) -> list[str]:
        (base / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((base / name).read_bytes()).hexdigest()]

    lists = []
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        numbers = range(number * per_batch, (number + 1) * per_batch)
        rows = cifar_pixels(numbers).transpose(0, 3, 1, 2).reshape(per_batch, -1)
        lists.append(written(name, {"data": rows, "labels": [each % 10 for each in numbers]}))
    _, md5 = written("batches.meta", {"label_names": CLASSES})
    monkeypatch.setattr(CIFAR10, "train_list", lists[:5])
    monkeypatch.setattr(CIFAR10, "test_list", lists[5:])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5})
