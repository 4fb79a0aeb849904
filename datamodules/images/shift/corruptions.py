"""The corruptions of CIFAR-10-C as seeded transforms of PIL images, by their published formulas.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR
2019; the constants are those of make_cifar_c.py (github.com/hendrycks/robustness). An image made here is a new draw:
the random numbers of the published files are not known. ``frost`` is not here: it needs photographs of frost.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from numpy.random import Generator
from PIL import Image
from scipy import ndimage

from datamodules.images.shift import blurs, weather
from datamodules.images.shift.blurs import Pixels
from ground.errors import UserError

SIDE = 32  # px: the constants are for CIFAR-10's images


def gaussian_noise(x: Pixels, c: float, rng: Generator) -> Pixels:
    return x + rng.normal(scale=c, size=x.shape)


def shot_noise(x: Pixels, c: float, rng: Generator) -> Pixels:
    return np.asarray(rng.poisson(x * c) / c)


def impulse_noise(x: Pixels, c: float, rng: Generator) -> Pixels:
    """A share ``c`` of the values becomes 0 or 1, in each colour alone."""
    hit, white = rng.random(x.shape) < c, rng.random(x.shape) < 0.5
    return np.where(hit, np.where(white, 1.0, 0.0), x)


def speckle_noise(x: Pixels, c: float, rng: Generator) -> Pixels:
    return x + x * rng.normal(scale=c, size=x.shape)


def brightness(x: Pixels, c: float, rng: Generator) -> Pixels:
    hsv = rgb_to_hsv(x)
    hsv[..., 2] = np.clip(hsv[..., 2] + c, 0, 1)
    return np.asarray(hsv_to_rgb(hsv))


def saturate(x: Pixels, c: tuple[float, float], rng: Generator) -> Pixels:
    hsv = rgb_to_hsv(x)
    hsv[..., 1] = np.clip(hsv[..., 1] * c[0] + c[1], 0, 1)
    return np.asarray(hsv_to_rgb(hsv))


def contrast(x: Pixels, c: float, rng: Generator) -> Pixels:
    means: Pixels = x.mean(axis=(0, 1))
    return np.asarray((x - means) * c + means)


def pixelate(x: Pixels, c: float, rng: Generator) -> Pixels:
    small = _picture(x).resize((int(SIDE * c), int(SIDE * c)), Image.Resampling.BOX)
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BOX)) / 255


def jpeg_compression(x: Pixels, c: int, rng: Generator) -> Pixels:
    stream = io.BytesIO()
    _picture(x).save(stream, "JPEG", quality=c)
    with Image.open(stream) as image:
        return np.asarray(image) / 255


def elastic_transform(x: Pixels, c: tuple[float, float, float], rng: Generator) -> Pixels:
    """A random affine map, then a smooth field of displacements; ``c``: its size, its smoothness, the map's jitter.

    Both by bilinear interpolation in float64, where OpenCV takes the affine map in steps of 1/32 px.
    """
    size, smoothness, jitter = (SIDE * each for each in c)
    centre, reach = SIDE // 2, SIDE // 3
    corners = centre + reach * np.array([[1, 1], [1, -1], [-1, -1]])
    moved = corners + rng.uniform(-jitter, jitter, corners.shape)
    # the affine map (x, y) -> (x, y) from the moved corners back to the corners
    back = np.linalg.solve(np.column_stack([moved, np.ones(3)]), corners).T
    row, column = np.mgrid[:SIDE, :SIDE].astype(float)
    source = [back[1, 0] * column + back[1, 1] * row + back[1, 2], back[0, 0] * column + back[0, 1] * row + back[0, 2]]
    x = _sampled(x, source, "mirror")
    fields = rng.uniform(-1, 1, (2, SIDE, SIDE))
    dx, dy = (size * ndimage.gaussian_filter(field, smoothness, mode="reflect", truncate=3) for field in fields)
    return _sampled(x, [row + dy, column + dx], "reflect")


def _sampled(x: Pixels, at: list[Pixels], mode: str) -> Pixels:
    return np.stack([ndimage.map_coordinates(channel, at, order=1, mode=mode) for channel in x.transpose(2, 0, 1)], 2)


def _picture(x: Pixels) -> Image.Image:
    return Image.fromarray(_bytes(x))


def _bytes(x: Pixels) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


Formula = Callable[[Pixels, Any, Generator], Pixels]
"""An image (32, 32, 3) in [0, 1], the constants of the severity and the source of random numbers, to an image."""

FORMULAS: dict[str, tuple[Formula, list[Any]]] = {
    "gaussian_noise": (gaussian_noise, [0.04, 0.06, 0.08, 0.09, 0.10]),
    "shot_noise": (shot_noise, [500, 250, 100, 75, 50]),
    "impulse_noise": (impulse_noise, [0.01, 0.02, 0.03, 0.05, 0.07]),
    "defocus_blur": (blurs.defocus, [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)]),
    "glass_blur": (blurs.glass, [(0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2)]),
    "motion_blur": (blurs.motion, [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)]),
    "zoom_blur": (blurs.zoom, [1.06, 1.11, 1.16, 1.21, 1.26]),
    "snow": (
        weather.snow,
        [
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ],
    ),
    "fog": (weather.fog, [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)]),
    "brightness": (brightness, [0.05, 0.1, 0.15, 0.2, 0.3]),
    "contrast": (contrast, [0.75, 0.5, 0.4, 0.3, 0.15]),
    "elastic_transform": (
        elastic_transform,
        [(0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)],
    ),
    "pixelate": (pixelate, [0.95, 0.9, 0.85, 0.75, 0.65]),
    "jpeg_compression": (jpeg_compression, [80, 65, 58, 50, 40]),
    "speckle_noise": (speckle_noise, [0.06, 0.1, 0.12, 0.16, 0.2]),
    "gaussian_blur": (blurs.gaussian, [0.4, 0.6, 0.7, 0.8, 1]),
    "spatter": (
        weather.spatter,
        [
            (0.62, 0.1, 0.7, 0.7, 0.5, "water"),
            (0.65, 0.1, 0.8, 0.7, 0.5, "water"),
            (0.65, 0.3, 1, 0.69, 0.5, "water"),
            (0.65, 0.1, 0.7, 0.69, 0.6, "mud"),
            (0.65, 0.1, 0.5, 0.68, 0.6, "mud"),
        ],
    ),
    "saturate": (saturate, [(0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)]),
}


class Corruption:
    """A corruption of CIFAR-10-C at a severity of 1 to 5; a ``Transform`` of images of 32 x 32.

    Raises:
        UserError: when called, for an image of another size.

    Example:
        >>> grey = Image.new("RGB", (32, 32), "grey")
        >>> noisy = Corruption("gaussian_noise", severity=3)(grey, seed=0)
        >>> noisy.size, noisy == grey, noisy == Corruption("gaussian_noise", severity=3)(grey, seed=0)
        ((32, 32), False, True)
    """

    def __init__(self, name: str, severity: int) -> None:
        self.name, self.severity = name, severity

    @property
    def description(self) -> str:
        return f"CIFAR-10-C {self.name} {self.severity}"

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        if image.size != (SIDE, SIDE):
            raise UserError(
                f"the corruptions are those of CIFAR-10-C, for images of {SIDE} x {SIDE}; got one of "
                f"{image.size[0]} x {image.size[1]}: leave corruptions out, and extreme or policy by brightness"
            )
        formula, constants = FORMULAS[self.name]
        return _picture(formula(np.asarray(image) / 255, constants[self.severity - 1], np.random.default_rng(seed)))
