"""Sounds for the audio backbones: what a clip is, its resampling, its cut into windows."""

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLER = "soxr HQ"


@dataclass(frozen=True, eq=False)
class Clip:
    """A mono sound: ``samples`` (n,) float32, full scale is 1, at ``rate`` Hz; ``notes`` say what is odd about it.

    Example:
        >>> clip = Clip(np.zeros(8_000, np.float32), rate=16_000)
        >>> len(resampled(clip, 32_000))
        16000
    """

    samples: NDArray[np.float32]
    rate: int
    filename: str = ""
    notes: tuple[str, ...] = ()


def resampled(clip: Any, rate: int) -> NDArray[np.float32]:
    """The samples (m,) of a clip at ``rate`` Hz, at least one.

    Raises:
        TypeError: not a clip.
    """
    import soxr

    if not isinstance(clip, Clip):
        raise TypeError(f"an audio backbone encodes clips, got {type(clip).__name__}")
    samples = np.asarray(clip.samples, dtype=np.float32)
    if clip.rate != rate and len(samples):
        samples = soxr.resample(samples, clip.rate, rate, quality="HQ")
    return samples if len(samples) else np.zeros(1, np.float32)


def windows(samples: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Windows (k, length) spread evenly from the first sample to the last, as few as cover all of ``samples`` (n,).

    A clip of at most ``length`` samples is its own window, (1, n).
    """
    n = len(samples)
    if n <= length:
        return samples[None]
    starts = np.linspace(0, n - length, ceil(n / length)).round().astype(np.int64)
    return np.lib.stride_tricks.sliding_window_view(samples, length)[starts]
