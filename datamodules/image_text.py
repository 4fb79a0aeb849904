"""Images with captions on disk, and their features as pairs."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from backbones.backbone import Backbone
from datamodules.feature_cache import FeatureCache
from datamodules.items import ImageFiles, Texts
from datamodules.pairs import Pairs


@dataclass(frozen=True)
class ImageText:
    """n images of one split with the captions of each, their group (n,) and label (n,)."""

    name: str
    images: list[Path]
    captions: list[list[str]]
    group: Tensor
    label: Tensor | None

    @cached_property
    def flat_captions(self) -> list[str]:
        """All captions, in the order of their images."""
        return [caption for captions in self.captions for caption in captions]

    @cached_property
    def x_of_y(self) -> Tensor:
        """(number of captions,) the image of each caption."""
        counts = torch.tensor([len(captions) for captions in self.captions], dtype=torch.int64)
        return torch.repeat_interleave(torch.arange(len(self.images)), counts)

    def take(self, index: Tensor) -> "ImageText":
        """The images ``index`` (k,) and their captions."""
        rows = index.tolist()
        return ImageText(
            self.name,
            [self.images[i] for i in rows],
            [self.captions[i] for i in rows],
            self.group[index],
            None if self.label is None else self.label[index],
        )


@dataclass(frozen=True)
class ExtractedPairs:
    """Features of the images that can be read and of their captions, and what they are features of."""

    pairs: Pairs
    items: ImageText
    seconds: float


def extract_pairs(items: ImageText, image: Backbone, text: Backbone, cache: FeatureCache) -> ExtractedPairs:
    """Features from the cache, extracted where it lacks them; images that cannot be read are left out.

    Raises:
        UserError: as ``FeatureCache.features``, and for backbones whose weights are not to be had.
    """
    x = cache.features(ImageFiles(items.images, f"{items.name} images"), image)
    kept = items.take(x.kept)
    y = cache.features(Texts(kept.flat_captions, f"{items.name} captions"), text)
    return ExtractedPairs(Pairs(x, y, kept.x_of_y, kept.group, kept.label), kept, x.seconds + y.seconds)
