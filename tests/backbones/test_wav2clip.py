"""Wav2CLIP against its description and its package."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backbones.audio import Clip
from backbones.backbone import Backbone
from ground.errors import UserError
from tests.backbones.sounds import chord, noise

MAKE = Callable[..., Backbone]


def test_wav2clip_equals_its_description(build: MAKE, wav2clip_file: Path) -> None:
    from torchvision.models import resnet18
    from transformers.audio_utils import spectrogram, window_function

    samples = noise(30_000) + chord(16_000, 1.875).samples
    samples[8_000:16_000] = 0  # where the floor under the logarithm counts
    power = spectrogram(
        samples.astype(np.float64), window_function(512, "hann"), frame_length=512, hop_length=353, power=2.0
    )
    levels = torch.from_numpy(np.log(power + 1e-7))
    levels = ((levels - levels.mean()) / levels.std()).float()
    tensors = torch.load(wav2clip_file, weights_only=True)
    encoder = resnet18(weights=None).eval()
    encoder.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    encoder.fc = torch.nn.Identity()
    own = {k.removeprefix("audio_encoder."): v for k, v in tensors.items() if k.startswith("audio_encoder.")}
    del own["spectrogram.window"]
    encoder.load_state_dict(own)
    first, second = (
        (tensors[f"audio_transform.sequential.{i}.weight"], tensors[f"audio_transform.sequential.{i}.bias"])
        for i in (0, 3)
    )
    with torch.no_grad():
        hidden = torch.relu(encoder(levels[None, None]) @ first[0].T + first[1])
    expected = hidden @ second[0].T + second[1]
    features = build("wav2clip").encode([Clip(samples, 16_000)])
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-4)
    assert expected.abs().max() > 0.1


def test_wav2clip_equals_the_package(build: MAKE, wav2clip_file: Path) -> None:
    encoder = pytest.importorskip("wav2clip.model.encoder", reason="the package wav2clip is not installed")
    checkpoint = torch.load(wav2clip_file, weights_only=True)
    reference = encoder.ResNetExtractor(checkpoint=checkpoint, scenario="frozen", transform=True).eval()
    for n in (512, 16_000, 100_000):
        samples = noise(n)
        with torch.no_grad():
            expected = reference(torch.from_numpy(samples)[None])
        torch.testing.assert_close(build("wav2clip").encode([Clip(samples, 16_000)]), expected, rtol=1e-4, atol=1e-5)


def test_wav2clip_averages_windows_of_long_clips(build: MAKE, monkeypatch: pytest.MonkeyPatch) -> None:
    sound, backbone = np.concatenate([noise(20_000), chord(16_000, 1.25).samples]), build("wav2clip")
    parts = [Clip(part, 16_000) for part in (sound[:16_000], sound[12_000:28_000], sound[24_000:])]
    expected = backbone.encode(parts).mean(0, keepdim=True)
    monkeypatch.setattr("backbones.wav2clip.LONGEST", 1)
    features = backbone.encode([Clip(sound, 16_000)])
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_wav2clip_of_silence_is_that_of_an_even_spectrogram(build: MAKE) -> None:
    lengths = [Clip(np.zeros(n, np.float32), 16_000) for n in (1, 512, 20_000)]
    features = build("wav2clip").encode(lengths)
    network: Any = build("wav2clip").network
    with torch.no_grad():
        expected = network.transform(network.encoder(torch.zeros(1, 1, 257, 57)))
    torch.testing.assert_close(features[2:], expected, rtol=1e-3, atol=1e-5)


def test_wav2clip_fingerprint_sees_weights(build: MAKE, wav2clip_file: Path, tmp_path: Path) -> None:
    tensors = torch.load(wav2clip_file, weights_only=True)
    tensors["audio_encoder.conv1.weight"][0, 0, 0, 0] += 1e-3
    torch.save(tensors, tmp_path / "a.pt")
    assert build("wav2clip", weights=str(tmp_path / "a.pt")).fingerprint != build("wav2clip").fingerprint


def test_no_wav2clip_checkpoint(build: MAKE, resnet18_file: Path) -> None:
    with pytest.raises(UserError, match="is no checkpoint of Wav2CLIP"):
        build("wav2clip", weights=str(resnet18_file)).encode([chord(16_000)])
