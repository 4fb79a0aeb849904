"""Random views of images that depend on nothing but the seed, the image's number and the view's number."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backbones.images import to_rgb
from datamodules.items.items import Items


class Transform(Protocol):
    """A random change of an image: an augmentation, or a corruption.

    Example:
        >>> class Turned:
        ...     description = "a quarter turn, to either side"
        ...
        ...     def __call__(self, image, seed):
        ...         return image.rotate(90 if seed % 2 else -90, expand=True)
        >>> turn: Transform = Turned()
        >>> turn(Image.new("RGB", (9, 7)), 1).size
        (7, 9)
    """

    @property
    def description(self) -> str:
        """All that its result depends on beside the image and the seed; part of the fingerprint."""

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        """The RGB image changed; the same image and seed (in [0, 2^63)), the same result."""


class Views:
    """k views of the images ``items``, one of each pair (``image[i]``, ``number[i]``).

    An image that cannot be read has no view that can.

    Args:
        items: a source of n images.
        transform: makes the views.
        seed: of all views, in [0, 2^32).
        name: what messages call them.
        image: (k,) int64 in [0, n), the image of each view; None: one view of each image.
        number: (k,) int64, which view of its image each is; None: view 0.

    Example:
        >>> from datamodules.images import SimCLR
        >>> from datamodules.items import ImageArrays
        >>> images = ImageArrays(np.zeros((3, 48, 40, 3), np.uint8), "black images")
        >>> views = Views(images, SimCLR(32), seed=0, name="views", image=torch.tensor([0, 0, 2]))
        >>> len(views), views[2].size
        (3, (32, 32))
    """

    def __init__(
        self,
        items: Items,
        transform: Transform,
        seed: int,
        name: str,
        image: Tensor | None = None,
        number: Tensor | None = None,
    ) -> None:
        self.items = items
        self.transform = transform
        self.seed = seed
        self.name = name
        self.image = torch.arange(len(items)) if image is None else image
        self.number = torch.zeros_like(self.image) if number is None else number

    def __len__(self) -> int:
        return len(self.image)

    @property
    def paths(self) -> list[Path] | None:
        """The file of each view's image; None where images are in no files."""
        paths: list[Path] | None = getattr(self.items, "paths", None)
        return None if paths is None else [paths[i] for i in self.image.tolist()]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the images' fingerprint, the transform's description, the seed and the two numbers of each."""
        whole = hashlib.sha256(f"views\0{self.items.fingerprint}\0{self.transform.description}\0{self.seed}\0".encode())
        whole.update(torch.stack([self.image, self.number], dim=1).numpy().astype("<i8").tobytes())
        return whole.hexdigest()

    def __getitem__(self, i: int) -> Image.Image:
        """View ``i``; raises ``Unreadable`` where its image cannot be read."""
        image = int(self.image[i])
        seed = np.random.SeedSequence((self.seed, image, int(self.number[i]))).generate_state(1, np.uint64)
        return self.transform(to_rgb(self.items[image]), int(seed[0] >> 1))

    def take(self, index: Tensor) -> "Views":
        return Views(self.items, self.transform, self.seed, self.name, self.image[index], self.number[index])

    def show(self, i: int) -> Image.Image:
        return self[i]
