"""Log-mel statistics against the library's spectrogram, limit cases and real clips."""

from collections.abc import Callable
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backbones import log_mel
from backbones.audio import Clip
from backbones.backbone import Backbone
from tests.backbones.sounds import chord, noise

MAKE = Callable[..., Backbone]
CLOTHO = Path(__file__).parents[3] / "shared" / "data" / "clotho" / "evaluation"


def test_mel_filters_equal_the_library() -> None:
    from transformers.audio_utils import mel_filter_bank

    expected = mel_filter_bank(513, 64, 50.0, 14_000.0, 32_000, norm=None, mel_scale="htk")
    filters = log_mel.mel_filters(513, 32_000).numpy()
    np.testing.assert_allclose(filters, expected, atol=1e-12)
    assert (filters.max(axis=0) > 0.3).all()  # no band falls between two bins


def test_log_mel_equals_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    samples = noise(32_000) + chord(32_000, 1.0).samples
    samples[20_000:25_000] = 0
    expected = spectrogram(
        samples.astype(np.float64),
        window_function(1024, "hann"),
        frame_length=1024,
        hop_length=320,
        power=2.0,
        center=False,
        mel_filters=mel_filter_bank(513, 64, 50.0, 14_000.0, 32_000, norm=None, mel_scale="htk"),
        mel_floor=1e-6,
        log_mel="log",
    ).T
    network = log_mel.LogMelSpectrogram()
    whole = network(torch.from_numpy(samples))
    assert whole.shape == (97, 64)
    np.testing.assert_allclose(whole.numpy(), expected, atol=2e-3)
    monkeypatch.setattr(log_mel, "CHUNK", 7)
    torch.testing.assert_close(network(torch.from_numpy(samples)), whole)


@settings(deadline=None)
@given(frames=st.integers(2, 40), seed=st.integers(0, 99))
def test_statistics_equal_numpy(frames: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(-5, 2, (frames, 3))
    steps = np.abs(np.diff(values, axis=0)).mean(0)
    expected = [values.mean(0), values.std(0), steps]
    found = log_mel.statistics(torch.from_numpy(values)).numpy().reshape(6, 3)
    np.testing.assert_allclose(found[:3], expected, rtol=1e-9)
    for row, percent in zip(found[3:], (10, 50, 90), strict=True):
        low, high = (np.percentile(values, percent, axis=0, method=side) for side in ("lower", "higher"))
        assert (((row == low) | (row == high)) & (row >= low) & (row <= high)).all()


def parts(backbone: Backbone, clip: Clip) -> torch.Tensor:
    """(6, 64): mean, deviation, step, percentiles of each band."""
    return backbone.encode([clip]).reshape(6, 64)


def test_log_mel_of_silence_is_the_floor(build: MAKE) -> None:
    for n in (0, 1, 500, 100_000):
        features = parts(build("log_mel"), Clip(np.zeros(n, np.float32), 44_100))
        torch.testing.assert_close(features[[0, 3, 4, 5]], torch.full((4, 64), log(1e-6)))
        torch.testing.assert_close(features[1:3], torch.zeros(2, 64), atol=1e-5, rtol=0)


def test_rounding_to_16_bits_is_no_sound(build: MAKE) -> None:
    error = np.random.default_rng(0).uniform(-(2.0**-16), 2.0**-16, 100_000).astype(np.float32)
    assert (parts(build("log_mel"), Clip(error, 32_000))[0] - log(1e-6)).max() < 0.05


def test_log_mel_knows_level_and_pitch(build: MAKE) -> None:
    backbone = build("log_mel")
    soft, loud = (parts(backbone, chord(32_000, gain=gain)) for gain in (0.01, 0.1))
    peaks = {int(band) for band in loud[0].topk(3).indices}
    low, high, *tones = (2595 * np.log10(1 + f / 700) for f in (50, 14_000, 300, 1000, 3000))
    assert peaks == {round((tone - low) / (high - low) * 65) - 1 for tone in tones}
    for band in peaks:
        assert loud[0, band] - soft[0, band] == pytest.approx(log(100), abs=1e-3)
        assert loud[2, band] < 0.01  # a steady tone makes no steps


@pytest.mark.parametrize("rate", [8_000, 44_100, 96_000])
def test_the_rate_of_the_file_does_not_matter(build: MAKE, rate: int) -> None:
    backbone = build("log_mel")
    medians = [parts(backbone, chord(r))[4] for r in (32_000, rate)]
    heard = medians[0] > -3
    assert heard.sum() >= 3
    torch.testing.assert_close(medians[0][heard], medians[1][heard], atol=0.05, rtol=0)


@pytest.mark.skipif(not CLOTHO.is_dir(), reason="the Clotho clips are not here")
def test_real_clips_tell_which_recording_they_are_from(build: MAKE) -> None:
    from datamodules.items.audio import AudioFiles

    clips = AudioFiles(sorted(CLOTHO.glob("*.wav"))[:5], "clotho")
    halves = []
    for i in range(len(clips)):
        samples, rate = clips[i].samples, clips[i].rate
        assert rate == 44_100
        assert 15 <= len(samples) / rate <= 30
        halves += [Clip(half, rate) for half in np.array_split(samples, 2)]
    features = build("log_mel").encode(halves)
    assert features.isfinite().all()
    means = features[:, :64]
    nearest = (torch.cdist(means, means) + 1e9 * torch.eye(len(means))).argmin(1)
    own = torch.arange(len(means)) ^ 1
    assert (nearest == own).float().mean() >= 0.8


@pytest.mark.parametrize("constant", ["RATE", "WINDOW", "HOP", "MELS", "LOW", "HIGH", "FLOOR"])
def test_log_mel_fingerprint_sees_the_transform(build: MAKE, constant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build("log_mel").fingerprint
    monkeypatch.setattr(log_mel, constant, getattr(log_mel, constant) * 2)
    assert build("log_mel").fingerprint != before
