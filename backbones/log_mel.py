"""Statistics of log-mel spectrograms: audio features without weights."""

from collections.abc import Iterable, Iterator
from math import log10
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbones.audio import RESAMPLER, resampled
from backbones.backbone import Backbone

RATE, WINDOW, HOP = 32_000, 1024, 320  # Hz, samples, samples: 32 ms every 10 ms, as in PANNs (arXiv:1912.10211)
MELS, LOW, HIGH = 64, 50.0, 14_000.0  # bands from and to Hz
PERCENTILES = (10, 50, 90)
FLOOR = 1e-6  # of the power in a band; the noise of 16-bit samples lies below
CHUNK = 4096  # frames transformed at once: 41 s


class LogMel(Backbone):
    """How loud each of 64 mel bands is over a clip, 384-d: see ``statistics``.

    A clip shorter than two frames (42 ms) is filled up with zeros. One of hours costs little beside its samples.

    Example:
        >>> from backbones import Clip
        >>> clip = Clip(torch.sin(torch.arange(16_000) / 10).numpy(), rate=16_000)
        >>> LogMel(batch_size=8, device="cpu").encode([clip]).shape
        torch.Size([1, 384])
    """

    modality = "audio"
    dim = 6 * MELS

    def _content(self) -> tuple[str, Iterable[Path]]:
        return (
            f"{RESAMPLER} to {RATE} Hz, Hann {WINDOW} / {HOP}, {MELS} HTK mel bands {LOW} to {HIGH} Hz, ln, "
            f"floor {FLOOR}, mean, deviation, mean step, percentiles {PERCENTILES}"
        ), []

    def _load(self) -> nn.Module:
        return LogMelSpectrogram()

    def _forward(self, network: nn.Module, items: list[Any]) -> Tensor:
        rows = []
        for clip in items:
            samples = torch.from_numpy(resampled(clip, RATE))
            samples = nn.functional.pad(samples, (0, max(0, WINDOW + HOP - len(samples))))
            rows.append(statistics(network(samples.to(self.device))))
        return torch.stack(rows)


def statistics(values: Tensor) -> Tensor:
    """Statistics (6 m,) of ``values`` (t, m), t > 1, over time.

    Mean, standard deviation, mean absolute step from one to the next, and the percentiles 10, 50 and 90, each the
    nearest value that occurs. Signed steps would add up to the last value minus the first.
    """
    ordered = values.T.sort().values.T
    ranks = [round(percent / 100 * (len(values) - 1)) for percent in PERCENTILES]
    steps = values.diff(dim=0).abs().mean(0)
    return torch.cat([values.mean(0), values.std(0, correction=0), steps, *ordered[ranks]])


class LogMelSpectrogram(nn.Module):
    """Log power (frames, MELS) of samples (n,): natural logarithm, Hann window, frames without padding."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW))
        self.register_buffer("filters", mel_filters(WINDOW // 2 + 1, RATE).float())

    def forward(self, samples: Tensor) -> Tensor:
        return torch.cat([self._log_mel(part) for part in self._parts(samples)])

    def _parts(self, samples: Tensor) -> Iterator[Tensor]:
        frames = 1 + (len(samples) - WINDOW) // HOP
        for first in range(0, frames, CHUNK):
            last = min(first + CHUNK, frames) - 1
            yield samples[first * HOP : last * HOP + WINDOW]

    def _log_mel(self, samples: Tensor) -> Tensor:
        spectrum = torch.stft(samples, WINDOW, HOP, window=self.window, center=False, return_complex=True)
        power = torch.view_as_real(spectrum).square().sum(-1)
        return (power.T @ self.filters).clamp(min=FLOOR).log()


def mel_filters(bins: int, rate: int) -> Tensor:
    """Triangles (bins, MELS) of height 1, float64, evenly spaced on the scale m = 2595 log10(1 + f / 700).

    Source: the HTK Book (Young et al.), "Filterbank analysis". ``bins`` of power go from 0 to ``rate`` / 2 Hz.
    """
    low, high = (2595 * log10(1 + f / 700) for f in (LOW, HIGH))
    edges = 700 * (10 ** (torch.linspace(low, high, MELS + 2, dtype=torch.float64) / 2595) - 1)
    frequency = torch.linspace(0, rate / 2, bins, dtype=torch.float64)[:, None]
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    return torch.minimum((frequency - left) / (middle - left), (right - frequency) / (right - middle)).clamp(min=0)
