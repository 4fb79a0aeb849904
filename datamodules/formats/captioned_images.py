"""Image files with captions as annotations name them, and their pairs."""

import logging
from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import torch
from torch import Tensor

from datamodules.items.items import ImageFiles, Texts
from datamodules.items.raw_pairs import RawPairs, captioned
from ground.errors import UserError

logger = logging.getLogger(__name__)
T = TypeVar("T")


class CaptionedImage(NamedTuple):
    """An image file, its captions, and the annotations' numbers of both.

    Example:
        >>> dog = CaptionedImage(Path("dog.jpg"), 7, captions=["a dog ", ""], caption_ids=[70, 71])
        >>> cleaned([dog], "captions.json")[0].caption_ids
        [70]
    """

    path: Path
    image_id: int
    captions: list[str]
    caption_ids: list[int]


class NumberedImages(ImageFiles):
    """Image files with the number ``ids`` (n,) int64 of each in the annotations.

    Example:
        >>> images = NumberedImages(["dog.jpg", "cat.jpg"], "pets", torch.tensor([7, 9]))
        >>> images.take(torch.tensor([1])).ids
        tensor([9])
    """

    def __init__(self, paths: Sequence[str | PathLike[str]], name: str, ids: Tensor) -> None:
        super().__init__(paths, name)
        self.ids = ids

    def take(self, index: Tensor) -> Self:
        return type(self)([self.paths[i] for i in index.tolist()], self.name, self.ids[index])


class NumberedTexts(Texts):
    """Texts with the number ``ids`` (n,) int64 of each in the annotations.

    Example:
        >>> texts = NumberedTexts(["a dog", "a cat"], "captions", torch.tensor([70, 90]))
        >>> texts.take(torch.tensor([1])).ids
        tensor([90])
    """

    def __init__(self, strings: Sequence[str], name: str, ids: Tensor) -> None:
        super().__init__(strings, name)
        self.ids = ids

    def take(self, index: Tensor) -> Self:
        return type(self)([self.strings[i] for i in index.tolist()], self.name, self.ids[index])


def cleaned(images: list[CaptionedImage], where: str) -> list[CaptionedImage]:
    """Captions on one line with single spaces; without empty ones, and without images that have none.

    What is left out is counted in the log, which calls the annotations ``where``.
    """
    kept = []
    empty = 0
    for image in images:
        captions = [" ".join(caption.split()) for caption in image.captions]
        some = [i for i, caption in enumerate(captions) if caption]
        empty += len(captions) - len(some)
        if some:
            kept.append(image._replace(captions=[captions[i] for i in some],
                                       caption_ids=[image.caption_ids[i] for i in some]))  # fmt: skip
    if empty or len(kept) < len(images):
        bare = len(images) - len(kept)
        logger.warning("%s: %d empty captions and %d images without a caption are left out", where, empty, bare)
    return kept


def refuse_doubles(images: list[CaptionedImage], where: str, what: str) -> None:
    """Refuse a number or a file of an image that stands twice: it might get into two splits.

    Raises:
        UserError: naming it; ``where`` names the annotations, ``what`` their kind.
    """
    for kind, values in (("number", [image.image_id for image in images]), ("file", [image.path for image in images])):
        if len(set(values)) < len(values):
            twice, _ = Counter(values).most_common(1)[0]
            raise UserError(f"{where}: two images have the {kind} {twice}; get the file again: it should be {what}")


def drawn(ids: Tensor, sizes: dict[str, int], seed: int) -> dict[str, Tensor]:
    """Parts of ``ids`` (n,) by their names, drawn at random; the ``sizes`` add up to n."""
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed))
    return dict(zip(sizes, ids[order].split(list(sizes.values())), strict=True))


def part(raw: RawPairs, ids: Tensor, name: str) -> RawPairs:
    """The images with the numbers ``ids`` and their captions, in the order of ``raw``, under another name."""
    assert isinstance(raw.x, NumberedImages)
    taken = raw.take_x(torch.isin(raw.x.ids, ids).nonzero()[:, 0])
    return replace(taken, x=_renamed(taken.x, f"{name} images"), y=_renamed(taken.y, f"{name} captions"))


def raw_pairs(images: list[CaptionedImage], name: str) -> RawPairs:
    """The images as x and their captions as y; each image is a group of its own."""
    captions = [image.captions for image in images]
    x = NumberedImages(
        [image.path for image in images], f"{name} images", torch.tensor([image.image_id for image in images]).long()
    )
    y = NumberedTexts(
        [caption for each in captions for caption in each],
        f"{name} captions",
        torch.tensor([number for image in images for number in image.caption_ids]).long(),
    )
    return captioned(x, captions, y, group=None, label=None)


def _renamed(items: T, name: str) -> T:
    same = copy(items)
    same.name = name  # type: ignore[attr-defined]
    return same
