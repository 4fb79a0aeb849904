"""Snow, fog and spatter of CIFAR-10-C, see ``shift.corruptions``: of images (32, 32, 3) in [0, 1]."""

from typing import Any

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from datamodules.images.shift.blurs import Pixels, gaussian, moved, zoomed

SPATTER_COLOURS = {"water": np.array([175, 238, 238]) / 255, "mud": np.array([63, 42, 20]) / 255}


def snow(x: Pixels, c: tuple[float, ...], rng: Generator) -> Pixels:
    """``c``: mean and deviation of the flakes, their zoom and threshold, radius and sigma of their motion, and the
    share of the image that is not whitened."""
    mean, deviation, zoom, threshold, radius, sigma, share = c
    flakes = zoomed(rng.normal(mean, deviation, x.shape[:2]), zoom)
    flakes[flakes < threshold] = 0
    flakes = np.floor(np.clip(flakes, 0, 1) * 255) / 255
    flakes = np.round(moved(flakes, radius, sigma, rng.uniform(-135, -45)) * 255)[..., None] / 255
    grey = (x @ np.array([0.299, 0.587, 0.114]))[..., None]
    whitened = share * x + (1 - share) * np.maximum(x, grey * 1.5 + 0.5)
    return np.asarray(whitened + flakes + np.rot90(flakes, k=2))


def fog(x: Pixels, c: tuple[float, float], rng: Generator) -> Pixels:
    """``c``: thickness and decay of its roughness."""
    thickness, decay = c
    brightest = x.max()
    cloud = plasma(x.shape[0], decay, rng)[..., None]
    return np.asarray((x + thickness * cloud) * brightest / (brightest + thickness))


def plasma(side: int, decay: float, rng: Generator) -> Pixels:
    """A cloud (side, side) from 0 to 1 by the diamond-square algorithm on a torus; ``side``: a power of two.

    A midpoint is the mean of its four neighbours and noise, which falls by ``decay`` squared with each halving.
    """
    cloud = np.zeros((side, side))
    step, rough = side, 100.0
    while step >= 2:
        half = step // 2

        def noisy(total: Pixels, rough: float = rough) -> Pixels:
            return total / 4 + rough * rng.uniform(-rough, rough, total.shape)

        corners = cloud[::step, ::step]
        pairs = corners + np.roll(corners, -1, axis=0)
        middles = noisy(pairs + np.roll(pairs, -1, axis=1))
        cloud[half::step, half::step] = middles
        # a midpoint of a side lies between two corners and between two middles
        along_rows = corners + np.roll(corners, -1, axis=1) + middles + np.roll(middles, 1, axis=0)
        along_columns = corners + np.roll(corners, -1, axis=0) + middles + np.roll(middles, 1, axis=1)
        cloud[::step, half::step] = noisy(along_rows)
        cloud[half::step, ::step] = noisy(along_columns)
        step, rough = half, rough / decay
    cloud -= cloud.min()
    return np.asarray(cloud / cloud.max())


def spatter(x: Pixels, c: tuple[Any, ...], rng: Generator) -> Pixels:
    """Drops of water or of mud; ``c``: mean, deviation and blur of the liquid, its threshold, strength and kind.

    Water is brightest beside the edges of its drops. Two steps of OpenCV are approximated there: the edges are those
    of Canny's method with floating-point gradients, and distances to them are Euclidean, not sums of chamfer steps.
    """
    mean, deviation, blur, threshold, strength, kind = c
    liquid = ndimage.gaussian_filter(rng.normal(mean, deviation, x.shape[:2]), blur, mode="nearest")
    liquid[liquid < threshold] = 0
    colour = SPATTER_COLOURS[kind]
    if kind == "mud":
        cover = gaussian((liquid > threshold)[..., None].astype(float), strength, rng)
        cover[cover < 0.8] = 0
        return np.asarray(cover * colour + x * (1 - cover))
    levels = np.floor(liquid * 255) % 256
    shine = levels * _beside_edges(levels)
    if shine.max() == 0:  # not a drop
        return x
    return np.asarray(x + strength * (shine / shine.max())[..., None] * colour)


def _beside_edges(levels: Pixels) -> Pixels:
    """(h, w) in [0, 255]: equalised distances to the edges, embossed and smoothed."""
    edge = _edges(levels, 50, 150)
    far = np.full(levels.shape, 20.0)
    smooth = _smooth(np.minimum(ndimage.distance_transform_edt(~edge), far) if edge.any() else far).astype(np.uint8)
    counts = np.bincount(smooth.ravel(), minlength=256)
    lowest = counts[smooth.min()]
    if lowest == smooth.size:  # all the same: nothing to equalise
        equal = smooth.astype(float)
    else:
        equal = np.round((counts.cumsum() - lowest) * 255 / (smooth.size - lowest))[smooth]
    emboss = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    return _smooth(np.clip(ndimage.correlate(equal, emboss, mode="mirror"), 0, 255))


def _smooth(values: Pixels) -> Pixels:
    return np.asarray(ndimage.uniform_filter(values, 3, mode="mirror"))


def _edges(levels: Pixels, low: float, high: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Canny's edges (h, w): ridges of the gradient (L1, of Sobel) above ``low`` that touch one above ``high``."""
    down, right = (ndimage.sobel(levels, axis=axis, mode="nearest") for axis in (0, 1))
    size = np.abs(down) + np.abs(right)
    padded = np.pad(size, 1)
    height, width = size.shape

    def beside(dy: int, dx: int) -> Pixels:
        return padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    flat, steep = np.abs(down) < 0.4142 * np.abs(right), np.abs(down) > 2.4142 * np.abs(right)
    same_sign = down * right >= 0
    across = [
        (flat, (0, 1)),
        (steep & ~flat, (1, 0)),
        (~flat & ~steep & same_sign, (1, 1)),
        (~flat & ~steep & ~same_sign, (1, -1)),
    ]
    ridge = np.zeros(size.shape, dtype=bool)
    for where, (dy, dx) in across:
        ridge |= where & (size > beside(-dy, -dx)) & (size >= beside(dy, dx))
    labels, _ = ndimage.label(ridge & (size > low), structure=np.ones((3, 3)))
    strong = np.unique(labels[ridge & (size > high)])
    return np.isin(labels, strong[strong > 0])
