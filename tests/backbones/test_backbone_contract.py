"""What holds for every backbone."""

import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from backbones.audio import Clip
from backbones.backbone import Backbone
from backbones.identity import Identity
from ground.errors import UserError

ROOT = Path(__file__).parents[2]
DIMS = {
    "efficientnet_lite0": 1280,
    "minilm": 384,
    "resnet18": 512,
    "sbert": 16,
    "open_clip_image": 24,
    "open_clip_text": 24,
    "clap_audio": 20,
    "clap_text": 20,
    "wav2clip": 512,
    "log_mel": 384,
    "identity": 3,
}
IMAGE = ["efficientnet_lite0", "resnet18", "open_clip_image"]
TEXT = ["minilm", "sbert", "open_clip_text", "clap_text"]
AUDIO = ["clap_audio", "wav2clip", "log_mel"]


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(40, 30), (1, 1), (17, 64), (224, 224), (2, 90)]  # width, height
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def sounds() -> list[Clip]:
    rng = np.random.default_rng(0)
    shapes = [(16_000, 8_000), (1, 44_100), (70_000, 32_000), (480, 48_000), (20_000, 96_000)]  # samples, Hz
    noises = [Clip(rng.normal(0, 0.1, n).astype(np.float32), rate) for n, rate in shapes]
    return [*noises, Clip(np.zeros(30_000, np.float32), 22_050)]


ITEMS: dict[str, list[Any]] = {
    "image": pictures(),
    "audio": sounds(),
    "text": [
        "a cat",
        "two red dogs on the roof of the blue house, and a very long tail " * 3,
        "",
        "ein Kätzchen 🐈 猫",
        "x",
    ],
    "vector": [np.arange(3.0), torch.ones(3), [1, 2, 3], torch.zeros(3, dtype=torch.float16), np.ones(3)],
}


def items_of(name: str) -> list[Any]:
    kinds = {"image": IMAGE, "text": TEXT, "audio": AUDIO}
    return ITEMS[next((kind for kind, names in kinds.items() if name in names), "vector")]


@pytest.fixture(scope="session")
def loaded(build: Callable[..., Backbone]) -> Callable[[str], Backbone]:
    """Each backbone once, with a batch size that leaves a rest."""
    return lru_cache(lambda name: build(name, batch_size=2))


@pytest.fixture(params=list(DIMS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_features_are_float32_rows_in_order(loaded: Any, name: str) -> None:
    backbone, items = loaded(name), items_of(name)
    features = backbone.encode(items)
    assert features.shape == (len(items), DIMS[name])
    assert backbone.dim == DIMS[name]
    assert features.dtype == torch.float32
    assert not features.is_inference()
    assert features.isfinite().all()
    alone = torch.cat([backbone.encode([item]) for item in items])
    torch.testing.assert_close(features, alone, rtol=1e-4, atol=1e-5)
    assert len(features.unique(dim=0)) > 1


def test_same_bits_twice(loaded: Any, name: str) -> None:
    assert torch.equal(loaded(name).encode(items_of(name)), loaded(name).encode(items_of(name)))


def test_no_items_give_no_rows_and_load_nothing(build: Any, name: str) -> None:
    backbone = build(name)
    assert backbone.encode([]).shape == (0, DIMS[name])
    assert backbone._network is None


def test_frozen_for_good(loaded: Any, name: str) -> None:
    backbone = loaded(name)
    holder = nn.Sequential(backbone).train()
    backbone.network.train()
    before = {key: value.clone() for key, value in backbone.network.state_dict().items()}
    backbone.encode(items_of(name))
    holder.train()
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(module.training for module in backbone.modules())
    after = backbone.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_fingerprint_is_the_same_in_another_place(build: Any, name: str, tmp_path: Path) -> None:
    backbone = build(name)
    assert len(backbone.fingerprint) == 64
    assert backbone.fingerprint == build(name, batch_size=3).fingerprint
    assert backbone._network is None


def test_fingerprints_differ(build: Any) -> None:
    assert len({build(name).fingerprint for name in DIMS}) == len(DIMS)


def test_fingerprints_of_the_defaults_in_another_process_without_their_libraries(build: Any) -> None:
    names = ["efficientnet_lite0", "minilm"]
    program = f"""
import sys
from hydra.utils import instantiate
from omegaconf import OmegaConf
for name in {names}:
    backbone = instantiate(OmegaConf.load("configs/backbone/" + name + ".yaml"))
    print(backbone.fingerprint, backbone.dim)
heavy = ["sentence_transformers", "transformers", "open_clip", "torchvision", "efficientnet_lite_pytorch"]
print([library for library in heavy if library in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    expected = [f"{build(name).fingerprint} {DIMS[name]}" for name in names]
    assert run.stdout.splitlines() == [*expected, "[]"]


@pytest.mark.parametrize("name", IMAGE)
def test_any_image_mode(loaded: Any, name: str) -> None:
    grey = Image.fromarray(np.linspace(0, 255, 48 * 48).reshape(48, 48).astype(np.uint8))
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    modes = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F"]
    features = loaded(name).encode([deep, *(grey.convert(mode) for mode in modes)])
    assert features.isfinite().all()
    for mode in ["L", "LA", "P", "RGB", "RGBA", "I"]:
        torch.testing.assert_close(features[0], features[1 + modes.index(mode)], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", AUDIO)
def test_an_audio_backbone_refuses_text(loaded: Any, name: str) -> None:
    with pytest.raises(TypeError, match="encodes clips, got str"):
        loaded(name).encode(["a cat"])


@pytest.mark.parametrize("name", IMAGE)
def test_an_image_backbone_refuses_text(loaded: Any, name: str) -> None:
    with pytest.raises(TypeError, match="PIL images, got str"):
        loaded(name).encode(["a cat"])


@pytest.mark.parametrize("device", ["", "gpu", "cuda:x", "meta", "cpu:-2"])
def test_a_device_that_is_none(device: str) -> None:
    with pytest.raises(UserError, match=r"backbone\.device must be auto, cpu, cuda, cuda:1, \.\.\., got"):
        Identity("image", dim=2, batch_size=4, device=device)


def test_a_gpu_that_is_not_there() -> None:
    backbone = Identity("image", dim=2, batch_size=4, device="cuda:99")
    with pytest.raises(UserError, match=r"backbone\.device is cuda:99, torch sees \d+ GPUs: set cpu"):
        backbone.encode([[1.0, 2.0]])
