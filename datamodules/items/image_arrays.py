"""Images in one array as a source of items."""

import hashlib
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


class ImageArrays:
    """The images of ``pixels`` (n, height, width, 3), uint8 RGB; the array may be mapped from a file.

    Raises:
        ValueError: another shape or type.

    Example:
        >>> images = ImageArrays(np.zeros((2, 32, 32, 3), np.uint8), "black images")
        >>> len(images), images[1].size
        (2, (32, 32))
    """

    def __init__(self, pixels: NDArray[np.uint8], name: str) -> None:
        if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8:
            raise ValueError(f"{name}: pixels must be uint8 (n, height, width, 3), got {pixels.dtype} {pixels.shape}")
        self.pixels = pixels
        self.name = name

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the size of the images and the sha256 of each image's pixels."""
        whole = hashlib.sha256(f"image arrays {self.pixels.shape[1:]}\0".encode())
        for image in self.pixels:
            whole.update(hashlib.sha256(image.tobytes()).digest())
        return whole.hexdigest()

    def __getitem__(self, i: int) -> Image.Image:
        return Image.fromarray(np.asarray(self.pixels[i]))

    def take(self, index: Tensor) -> "ImageArrays":
        return ImageArrays(self.pixels[index.numpy()], self.name)

    def show(self, i: int) -> Image.Image:
        return self[i]
