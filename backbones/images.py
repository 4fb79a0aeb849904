"""Any PIL image as plain RGB, and as a square."""

from typing import Any, Literal

import numpy as np
from PIL import Image

Fit = Literal["pad", "crop"]
LARGEST_CANVAS = 8192
"""Pixels of the side of a square that is made at full size: 200 MB."""
LONGEST = 64
"""Times its short side, the part of a picture's long side that is kept for a network that sees its middle square."""


def to_rgb(image: Any) -> Image.Image:
    """RGB of any PIL image: transparent parts on white, 16 bits scaled to 8, CMYK and the rest converted.

    Raises:
        TypeError: not a PIL image.
    """
    if not isinstance(image, Image.Image):
        raise TypeError(f"an image backbone encodes PIL images, got {type(image).__name__}")
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it at 255
        levels = np.asarray(image).astype(np.int64)
        if image.mode != "I" or levels.max() > 255:  # "I" may hold either range
            levels //= 257
        return Image.fromarray(levels.clip(0, 255).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def middle(image: Image.Image) -> Image.Image:
    """The image, or of a strip its middle: scaling a strip's short side up would make gigabytes of what is cut off."""
    width, height = image.size
    kept_x, kept_y = min(width, LONGEST * height), min(height, LONGEST * width)
    if (kept_x, kept_y) == (width, height):
        return image
    left, top = (width - kept_x) // 2, (height - kept_y) // 2
    return image.crop((left, top, left + kept_x, top + kept_y))


def square(image: Image.Image, size: int, fit: Fit) -> Image.Image:
    """An RGB image as ``size`` x ``size``, bicubic.

    ``fit``: 'pad' keeps the whole image and fills up with white; 'crop' keeps 7/8 of the short side.
    """
    width, height = image.size
    if fit == "pad":
        side = max(width, height)
        if side > LARGEST_CANVAS:  # scaled before it is put on white, not after: a strip's canvas would be gigabytes
            scaled = max(1, round(width * size / side)), max(1, round(height * size / side))
            small, canvas = image.resize(scaled, Image.Resampling.BICUBIC), Image.new("RGB", (size, size), "white")
            canvas.paste(small, ((size - scaled[0]) // 2, (size - scaled[1]) // 2))
            return canvas
        canvas = Image.new("RGB", (side, side), "white")
        canvas.paste(image, ((side - width) // 2, (side - height) // 2))
        return canvas.resize((size, size), Image.Resampling.BICUBIC)
    kept = min(width, height) * 7 / 8
    left, top = (width - kept) / 2, (height - kept) / 2
    box = (left, top, left + kept, top + kept)
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box)
