"""The towers of CLAP against the library, long clips, and what the fingerprint sees."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize

from backbones.audio import Clip
from backbones.backbone import Backbone
from ground.errors import UserError
from tests.backbones.sounds import chord, noise

MAKE = Callable[..., Backbone]


@pytest.fixture(scope="module")
def library(clap_folder: Path) -> Callable[[list[np.ndarray]], torch.Tensor]:
    """The library's own embeddings of sounds at 48 kHz of at most 1 s."""
    from transformers import ClapModel, ClapProcessor

    model, processor = ClapModel.from_pretrained(clap_folder).eval(), ClapProcessor.from_pretrained(clap_folder)

    def embed(sounds: list[np.ndarray]) -> torch.Tensor:
        inputs = processor(audio=sounds, sampling_rate=48_000, return_tensors="pt")
        inputs["input_features"] = inputs["input_features"].float()
        with torch.no_grad():
            return model.get_audio_features(**inputs).pooler_output

    return embed


def test_clap_equals_the_library(build: MAKE, library: Any) -> None:
    sounds = [noise(48_000), chord(48_000, 0.6).samples, np.sign(noise(7_000)), noise(1)]
    features = build("clap_audio", batch_size=3).encode([Clip(sound, 48_000) for sound in sounds])
    torch.testing.assert_close(features, library(sounds), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(4))
    assert (features[0] - features[1]).abs().max() > 0.01


def test_clap_averages_windows_of_long_clips(build: MAKE, library: Any) -> None:
    sound = np.concatenate([noise(50_000), chord(48_000, 50_000 / 48_000).samples])
    windows = [sound[:48_000], sound[26_000:74_000], sound[52_000:]]
    embeddings = library(windows)
    assert (embeddings[0] - embeddings[2]).abs().max() > 0.01
    expected = normalize(embeddings.mean(0, keepdim=True), dim=-1)
    np.random.seed(1)  # noqa: NPY002 - the library's crops come from it
    features = build("clap_audio", batch_size=2).encode([Clip(sound, 48_000)])
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_a_fused_clap_model_draws_nothing_at_random(build: MAKE, clap_folder: Path, tmp_path: Path) -> None:
    from transformers import ClapConfig, ClapModel

    folder = shutil.copytree(clap_folder, tmp_path / "fused")
    fusion = {"enable_fusion": True, "fusion_type": "aff_2d"}
    config = json.loads((folder / "config.json").read_text())
    config["audio_config"] |= fusion
    torch.manual_seed(0)
    ClapModel(ClapConfig(**config)).save_pretrained(folder)
    processor = folder / "processor_config.json"
    processor.write_text(processor.read_text().replace('"rand_trunc"', '"fusion"'))
    backbone = build("clap_audio", weights=str(folder))
    clips = [Clip(noise(120_000, 1), 48_000), Clip(noise(20_000, 2), 48_000)]
    np.random.seed(1)  # noqa: NPY002
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    features = backbone.encode(clips)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    network: Any = backbone.network
    inputs = backbone.extractor([clips[1].samples], sampling_rate=48_000, return_tensors="pt")
    with torch.no_grad():
        short, long = (
            network.get_audio_features(inputs["input_features"].float(), is_longer=torch.tensor([[longer]]))
            for longer in (False, True)
        )
    torch.testing.assert_close(features[1:], short.pooler_output, rtol=1e-4, atol=1e-5)
    assert (short.pooler_output - long.pooler_output).abs().max() > 1e-3
    for seed in range(5):
        np.random.seed(seed)  # noqa: NPY002
        assert torch.equal(backbone.encode(clips), features)


def test_clap_texts_equal_the_library(build: MAKE, clap_folder: Path) -> None:
    from transformers import ClapModel, ClapProcessor

    texts = ["a dog", "rain on the roof " * 30, "", "the sea"]
    model, processor = ClapModel.from_pretrained(clap_folder).eval(), ClapProcessor.from_pretrained(clap_folder)
    with torch.no_grad():
        each = [
            model.get_text_features(**processor(text=text, truncation=True, return_tensors="pt")).pooler_output
            for text in texts
        ]
    features = build("clap_text", batch_size=3).encode(texts)
    torch.testing.assert_close(features, torch.cat(each), rtol=1e-4, atol=1e-5)
    assert len(features.unique(dim=0)) == 4


@pytest.mark.parametrize("part", ["weight", "tokenizer.json", "processor_config.json"])
def test_clap_fingerprint_sees(build: MAKE, clap_folder: Path, tmp_path: Path, part: str) -> None:
    folder = shutil.copytree(clap_folder, tmp_path / "model")
    before = build("clap_audio", weights=str(folder)).fingerprint
    assert before == build("clap_audio").fingerprint
    if part == "weight":
        tensors = load_file(folder / "model.safetensors")
        tensors["audio_projection.linear1.weight"].view(-1)[0] += 1e-3
        save_file(tensors, folder / "model.safetensors")
    else:
        text = (folder / part).read_text()
        (folder / part).write_text(text.replace('"a"', '"ä"').replace("14000", "15000"))
    assert build("clap_audio", weights=str(folder)).fingerprint != before


def test_no_clap_model(make: MAKE, clap_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no CLAP model: it lacks .* model\.safetensors"):
        _ = make("clap_audio", weights=str(tmp_path)).fingerprint
    folder = shutil.copytree(clap_folder, tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    del tensors["audio_projection.linear1.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="lacks 1 tensors of a CLAP model"):
        make("clap_audio", weights=str(folder)).encode([chord(8_000)])
    (folder / "processor_config.json").unlink()
    with pytest.raises(UserError, match=r"is no CLAP model \(OSError\)"):
        make("clap_audio", weights=str(folder)).encode([chord(8_000)])
    (folder / "model.safetensors").write_bytes(b"\0" * 50)
    with pytest.raises(UserError, match="is no CLAP model"):
        make("clap_text", weights=str(folder)).encode(["a"])


def test_fingerprints_of_audio_differ_from_those_of_text(build: MAKE) -> None:
    assert build("clap_audio").fingerprint != build("clap_text").fingerprint
