"""The blurs of CIFAR-10-C, see ``datamodules.images.shift.corruptions``: of images (32, 32, 3) in [0, 1]."""

import math
from typing import Any

import numpy as np
from numpy.random import Generator
from scipy import ndimage

Pixels = np.ndarray[Any, np.dtype[np.float64]]


def gaussian(x: Pixels, sigma: float, rng: Generator) -> Pixels:
    return np.asarray(ndimage.gaussian_filter(x, (sigma, sigma, 0), mode="nearest"))


def defocus(x: Pixels, c: tuple[float, float], rng: Generator) -> Pixels:
    """A disk of radius ``c[0]``, itself blurred over 3 x 3 with a sigma of ``c[1]``."""
    radius, sigma = c
    grid = np.arange(-8, 9)
    disk = (grid[:, None] ** 2 + grid**2 <= radius**2).astype(float)
    taps = np.exp(-(np.arange(-1, 2) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    kernel = ndimage.convolve(disk / disk.sum(), np.outer(taps, taps), mode="mirror")
    return np.asarray(ndimage.convolve(x, kernel[..., None], mode="mirror"))


def glass(x: Pixels, c: tuple[float, int], rng: Generator) -> Pixels:
    """Between two blurs of sigma ``c[0]``, ``c[1]`` times: every pixel takes the value of itself or one of the three
    neighbours above and to the left.

    That is what make_cifar_c.py does, where exchanging the two was meant: its second assignment reads the first's
    result.
    """
    sigma, rounds = c
    x = np.floor(gaussian(x, sigma, rng) * 255) / 255
    height, width = x.shape[:2]
    row, column = np.mgrid[2:height, 2:width]  # it leaves the first two rows and columns
    for _ in range(rounds):
        up, left = rng.integers(0, 2, (2, height - 2, width - 2))
        x = x.copy()
        x[2:, 2:] = x[row - up, column - left]
    return gaussian(x, sigma, rng)


def motion(x: Pixels, c: tuple[float, float], rng: Generator) -> Pixels:
    """Motion blur in a direction within 45 degrees of the horizontal, with a radius ``c[0]`` and a sigma ``c[1]``."""
    return np.round(moved(x, *c, rng.uniform(-45, 45)) * 255) / 255


def moved(x: Pixels, radius: float, sigma: float, angle: float) -> Pixels:
    """The motion blur of ImageMagick (MotionBlurImage), without its rounding to 16 bits.

    The weighted mean of x (h, w, ...) moved by 0, 1, ... 2 radius px along ``angle`` (degrees): half a Gaussian of
    ``sigma`` px, displacements rounded to whole pixels, the edge repeated.
    """
    steps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    down = np.ceil(steps * math.sin(math.radians(angle)) - 0.5).astype(int)
    right = np.ceil(steps * math.cos(math.radians(angle)) - 0.5).astype(int)
    rows, columns = np.arange(x.shape[0])[:, None], np.arange(x.shape[1])
    blurred = np.zeros_like(x)
    for weight, dy, dx in zip(weights, down, right, strict=True):
        blurred += weight * x[np.clip(rows + dy, 0, x.shape[0] - 1), np.clip(columns + dx, 0, x.shape[1] - 1)]
    return blurred


def zoom(x: Pixels, limit: float, rng: Generator) -> Pixels:
    """The mean of the image and of its zooms by 1, 1.01, ... below ``limit``."""
    zooms = [zoomed(x, factor) for factor in np.arange(1, limit, 0.01)]
    return (x + sum(zooms)) / (len(zooms) + 1)


def zoomed(x: Pixels, factor: float) -> Pixels:
    """The middle of x (h, h, ...) magnified by ``factor`` >= 1 to its own size, bilinear."""
    side = x.shape[0]
    kept = math.ceil(side / factor)
    top = (side - kept) // 2
    large = ndimage.zoom(x[top : top + kept, top : top + kept], (factor, factor) + (1,) * (x.ndim - 2), order=1)
    trim = (large.shape[0] - side) // 2
    return np.asarray(large)[trim : trim + side, trim : trim + side]
