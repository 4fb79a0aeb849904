"""What an aligner encodes: arrays of features, or raw items that frozen backbones make features of."""

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backbones.audio import Clip
from backbones.backbone import Backbone
from datamodules.items.audio import AudioFiles
from datamodules.items.items import ImageFiles, Unreadable
from ground.errors import UserError

Backbones = tuple[Backbone, Backbone]


def as_tensor(name: str, values: Any) -> Tensor:
    """An array, tensor, data frame or nested list as a tensor; arrays and tensors are not copied.

    Raises:
        UserError: anything else, and what is sparse or masked.
    """
    if hasattr(values, "toarray") or (isinstance(values, Tensor) and values.layout != torch.strided):
        raise UserError(f"{name} is sparse, {type(values).__name__}: make it dense, it is needed as rows of numbers")
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise UserError(f"{name} has masked values: fill them, or leave their rows out")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # it is not written to
            return torch.as_tensor(_for_torch(values))
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{name} must be an array of numbers, got {type(values).__name__}: {reason}") from error


def _for_torch(values: Any) -> Any:
    """What torch does not read by itself: data frames, rows in a list, numbers in objects, strides and bytes."""
    if isinstance(values, list | tuple) and values and isinstance(values[0], Tensor):
        return torch.stack(tuple(values))
    rows = isinstance(values, list | tuple) and values and isinstance(values[0], np.ndarray)
    if rows or (hasattr(values, "__array__") and not isinstance(values, Tensor)):
        values = np.asarray(values)
        if values.dtype == object:  # as of a frame whose columns are of several types
            values = np.array(values.tolist())
        if not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
        if any(stride < 0 for stride in values.strides):
            values = values.copy()
    return values


def is_raw(items: Any) -> bool:
    """Whether ``items`` are paths, texts, images or sounds, or one of them."""
    first = items[0] if isinstance(items, list | tuple) and items else items
    return isinstance(first, str | PathLike | Image.Image | Clip)


class RawItems:
    """Raw items to the features that a run was fitted on: images and sounds, or their paths, and texts.

    ``make`` gives the frozen backbones of x and y; it is called when the first items come.
    """

    def __init__(self, make: Callable[[], Backbones]):
        self._make = make

    @cached_property
    def backbones(self) -> Backbones:
        """The frozen backbones of x and y."""
        return self._make()

    def features(self, side: str, items: Sequence[Any]) -> Tensor:
        """Features (n, d) float32 of the ``side`` x or y.

        Raises:
            UserError: a single item, items of another modality, files that cannot be read, weights that are not there.
        """
        if not isinstance(items, list | tuple):
            raise UserError(f"{side} must be a list of items, got one {type(items).__name__}: put it into a list")
        backbone = self.backbones["xy".index(side)]
        read = READERS[backbone.modality]
        if read is _text:  # the backbone sorts all texts by their length
            return backbone.encode([read(item) for item in items])
        starts = range(0, len(items), backbone.batch_size)
        return torch.cat(
            [backbone.encode([read(item) for item in items[i : i + backbone.batch_size]]) for i in starts]
        )  # fmt: skip


def _image(item: Any) -> Image.Image:
    return item if isinstance(item, Image.Image) else _read(item, ImageFiles, "an image is its path or a PIL image")


def _clip(item: Any) -> Clip:
    return item if isinstance(item, Clip) else _read(item, AudioFiles, "a sound is its path or a Clip")


def _text(item: Any) -> str:
    if not isinstance(item, str):
        raise UserError(f"a text is a string, got {type(item).__name__}")
    return item


def _read(path: Any, files: type[ImageFiles] | type[AudioFiles], what: str) -> Any:
    if not isinstance(path, str | PathLike):
        raise UserError(f"{what}, got {type(path).__name__}")
    try:
        return files([path], "")[0]
    except Unreadable as error:
        raise UserError(str(error)) from error


READERS: dict[str, Callable[[Any], Any]] = {"image": _image, "audio": _clip, "text": _text}
"""One raw item as the backbones of a modality take it."""
