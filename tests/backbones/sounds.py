"""Sounds for the tests of audio backbones."""

import numpy as np

from backbones.audio import Clip


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, n).astype(np.float32)


def chord(rate: int, seconds: float = 2.0, gain: float = 0.1) -> Clip:
    """Tones of 300, 1000 and 3000 Hz."""
    time = np.arange(round(rate * seconds)) / rate
    return Clip((gain * sum(np.sin(2 * np.pi * f * time) for f in (300, 1000, 3000))).astype(np.float32), rate)
