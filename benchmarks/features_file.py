"""Synthetic features of Flickr30K's shape, as a features file of the cache."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from benchmarks.latent import LatentFactors, caption_pairs
from datamodules.cache.shards import write_atomically
from datamodules.pairs.pairs import Pairs
from datamodules.pairs.splits import SPLITS
from ground.errors import UserError
from ground.progress import progress_bar

FOLDER = Path("cache/benchmarks")


@dataclass(frozen=True)
class Shape:
    """Numbers of images in each split, and of captions of an image."""

    train: int
    val: int
    test: int
    captions: int


def features_file(model: LatentFactors, shape: Shape) -> Path:
    """The file of these features, float16, made when it is not there.

    It is a features file: ``python train.py datamodule=features datamodule.path=FILE`` takes it as well.

    Raises:
        UserError: it cannot be written.
    """
    name = hashlib.sha256(repr((model, shape)).encode()).hexdigest()[:16]
    path = FOLDER / f"latent-{name}.safetensors"
    if path.exists():
        return path
    sizes = [getattr(shape, split) for split in SPLITS]
    x: list[Tensor] = []
    y: list[Tensor] = []
    with progress_bar("making features", sum(sizes), 0, visible=True) as advance:
        for block, n in enumerate(sizes):
            for rows, made in zip((x, y), model.rows(n, shape.captions, block), strict=True):
                rows.append(made)
            advance(n)
    tensors = {
        "x": torch.cat(x).half(),
        "y": torch.cat(y).half(),
        "x_of_y": torch.arange(sum(sizes)).repeat_interleave(shape.captions),
        "split": torch.arange(3, dtype=torch.uint8).repeat_interleave(torch.tensor(sizes)),
    }
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        write_atomically(path, save(tensors, metadata={"x_name": "image", "y_name": "text"}))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; start it in a folder of your own") from error
    return path


def read_splits(path: Path) -> dict[str, Pairs]:
    """The splits of such a file, float32 in memory.

    Raises:
        UserError: a file that is damaged.
    """
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read {path} ({' '.join(str(error).split())}): delete it, it is made again") from error
    sizes = torch.bincount(tensors["split"].int(), minlength=len(SPLITS))
    captions = len(tensors["y"]) // len(tensors["x"])
    x = torch.split(tensors["x"].float(), sizes.tolist())
    y = torch.split(tensors["y"].float(), (sizes * captions).tolist())
    return {name: caption_pairs(x[i], y[i]) for i, name in enumerate(SPLITS)}
