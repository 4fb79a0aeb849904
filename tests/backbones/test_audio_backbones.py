"""What the audio backbones make of rates, odd sounds and long ones, and where their weights are found."""

import shutil
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backbones.audio import Clip, resampled, windows
from backbones.backbone import Backbone
from ground.errors import UserError
from tests.backbones.sounds import chord, noise

MAKE = Callable[..., Backbone]
AUDIO = ["clap_audio", "wav2clip", "log_mel"]


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000, 96_000])
def test_resampled_tones_are_the_same_tones(rate: int) -> None:
    samples, expected = resampled(chord(rate), 32_000), chord(32_000).samples
    assert samples.shape == expected.shape
    np.testing.assert_allclose(samples[2_000:-2_000], expected[2_000:-2_000], atol=1e-3)


def test_the_own_rate_is_left_alone() -> None:
    assert np.array_equal(resampled(chord(32_000), 32_000), chord(32_000).samples)


@settings(deadline=None)
@given(n=st.integers(0, 3_000), rate=st.sampled_from([1_000, 8_000, 44_100, 192_000]))
def test_any_length_is_resampled_to_one_sample_at_least(n: int, rate: int) -> None:
    samples = resampled(Clip(np.ones(n, np.float32), rate), 16_000)
    assert samples.dtype == np.float32
    assert abs(len(samples) - max(1, n * 16_000 / rate)) <= 1
    assert np.isfinite(samples).all()


@given(n=st.integers(1, 500), length=st.integers(1, 100))
def test_windows_cover_all_evenly(n: int, length: int) -> None:
    cut = windows(np.arange(n, dtype=np.float32), length)
    assert cut.shape == (max(1, ceil(n / length)), min(n, length))
    assert np.array_equal(np.unique(cut), np.arange(n))
    steps = np.diff(cut[:, 0])
    assert len(steps) == 0 or steps.max() - steps.min() <= 1
    assert (np.diff(cut, axis=1) == 1).all()


@pytest.mark.parametrize("name", AUDIO)
def test_odd_sounds_have_finite_features(build: MAKE, name: str) -> None:
    clips = [
        Clip(np.zeros(50_000, np.float32), 44_100),
        Clip(np.full(50_000, 0.5, np.float32), 44_100),
        Clip(np.ones(1, np.float32), 96_000),
        Clip(noise(441), 44_100),
        Clip(noise(9_000), 8_000),
        Clip(1e6 * noise(60_000), 44_100),
        Clip(np.zeros(0, np.float32), 16_000),
    ]
    features = build(name, batch_size=3).encode(clips)
    assert features.isfinite().all()
    assert features.abs().max() < 1e4


@pytest.mark.parametrize(("name", "seconds"), [("clap_audio", 180), ("wav2clip", 70), ("log_mel", 600)])
def test_long_clips(build: MAKE, name: str, seconds: int) -> None:
    features = build(name, batch_size=16).encode([Clip(noise(seconds * 16_000), 16_000)])
    assert features.isfinite().all()


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of both hubs, and downloads that fail."""
    from huggingface_hub import constants

    def fail(*args: Any, **options: Any) -> None:
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "tried"),
    [
        ("clap_audio", "laion/clap-htsat-unfused on the Hugging Face hub"),
        ("clap_text", "laion/clap-htsat-unfused on the Hugging Face hub"),
        ("wav2clip", "releases/download/v0.1.0-alpha/Wav2CLIP.pt"),
    ],
)
@pytest.mark.parametrize(("download", "why"), [(False, "download is false"), (True, "failed with ConnectionError")])
def test_without_weights_one_line_says_what_to_do(
    make: MAKE, caches: Path, name: str, tried: str, download: bool, why: str
) -> None:
    with pytest.raises(UserError) as caught:
        _ = make(name, download=download).fingerprint
    line = str(caught.value)
    assert "\n" not in line
    for part in (tried, why, "'weights' to a local path", "'download' to true"):
        assert part in line


@pytest.mark.parametrize("download", [False, True])
def test_cached_weights_are_used_without_network(
    make: MAKE, build: MAKE, caches: Path, clap_folder: Path, wav2clip_file: Path, download: bool
) -> None:
    place = caches / "hub" / "models--laion--clap-htsat-unfused"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    shutil.copytree(clap_folder, place / "snapshots" / ("0" * 40))
    checkpoints = caches / "torch" / "checkpoints"
    checkpoints.mkdir(parents=True)
    shutil.copy(wav2clip_file, checkpoints / "Wav2CLIP.pt")
    for name in ("clap_audio", "clap_text", "wav2clip"):
        assert make(name, download=download).fingerprint == build(name).fingerprint
    clip = [chord(16_000)]
    assert torch.equal(make("clap_audio", download=download).encode(clip), build("clap_audio").encode(clip))
