"""Synthetic features, as a features file of the cache."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.latent import LatentFactors, caption_pairs
from benchmarks.streamed_file import streamed_file
from datamodules.pairs.pairs import Pairs
from datamodules.pairs.splits import SPLITS
from ground.errors import UserError
from ground.progress import progress_bar

FOLDER = Path("cache/benchmarks")
PIECE = 29_000
"""Images that are made at once."""


@dataclass(frozen=True)
class Shape:
    """Numbers of images in each split, and of captions of an image."""

    train: int
    val: int
    test: int
    captions: int


def features_file(model: LatentFactors, shape: Shape) -> Path:
    """The file of these features, float16, made when it is not there.

    It is a features file: ``python train.py datamodule=features datamodule.path=FILE`` takes it as well. Beyond
    ``PIECE`` images nothing is in memory at once.

    Raises:
        UserError: it cannot be written.
    """
    name = hashlib.sha256(repr((model, shape)).encode()).hexdigest()[:16]
    path = FOLDER / f"latent-{name}.safetensors"
    if path.exists():
        return path
    sizes = [getattr(shape, split) for split in SPLITS]
    n, m = sum(sizes), sum(sizes) * shape.captions
    tensors = {
        "x": (torch.float16, (n, model.d_x)), "y": (torch.float16, (m, model.d_y)),
        "x_of_y": (torch.int64, (m,)), "split": (torch.uint8, (n,)),
    }  # fmt: skip
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        with (
            streamed_file(path, tensors, {"x_name": "image", "y_name": "text"}) as file,
            progress_bar("making features", n, 0, visible=True) as advance,
        ):
            file.put("x_of_y", 0, torch.arange(n).repeat_interleave(shape.captions))
            file.put("split", 0, torch.arange(3).repeat_interleave(torch.tensor(sizes)))
            row = 0
            for split, size in enumerate(sizes):
                for piece, start in enumerate(range(0, size, PIECE)):
                    images = min(PIECE, size - start)
                    x, y = model.rows(images, shape.captions, split + len(sizes) * piece)
                    file.put("x", row, x)
                    file.put("y", row * shape.captions, y)
                    row += images
                    advance(images)
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
