"""Images with captions through the cache, images that cannot be read among them."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize

from backbones.backbone import Backbone
from datamodules.feature_cache import FeatureCache
from datamodules.image_text import ImageText, extract_pairs
from errors import UserError

CONFIGS = Path(__file__).parents[2] / "configs" / "backbone"


class Fake(Backbone):
    """A backbone without a network, which counts the items that it encodes."""

    def __init__(self) -> None:
        super().__init__(batch_size=16, device="cpu")
        self.encoded = 0

    def _content(self) -> tuple[str, Iterable[Path]]:
        return "", []

    def _load(self) -> nn.Module:
        return nn.Identity()

    def _forward(self, network: nn.Module, items: list[Any]) -> Tensor:
        self.encoded += len(items)
        return torch.tensor([self.vector(item) for item in items])

    def vector(self, item: Any) -> list[float]:
        raise NotImplementedError


class MeanColour(Fake):
    """(n, 3): red, green and blue of the middle of an image, in [1, 256]."""

    modality = "image"
    dim = 3

    def vector(self, item: Image.Image) -> list[float]:
        return [1.0 + value for value in item.convert("RGB").resize((1, 1)).getpixel((0, 0))]


class CharacterCounts(Fake):
    """(n, 26): how often each letter stands in a text, and its length."""

    modality = "text"
    dim = 27

    def vector(self, item: str) -> list[float]:
        return [float(item.lower().count(chr(97 + i))) for i in range(26)] + [float(len(item))]


def a_cache(folder: Path, share: float = 0.5) -> FeatureCache:
    return FeatureCache(folder / "cache", "float32", 3, share)


@pytest.fixture
def items(tmp_path: Path) -> ImageText:
    """Eight images of a colour of their own with 0 to 3 captions, which say the number of the image."""
    paths = []
    for i in range(8):
        paths.append(tmp_path / f"{i}.png")
        Image.new("RGB", (9, 9), (30 * i, 0, 0)).save(paths[-1])
    captions = [["a" * (i + 1), "b" * (i + 1), "c" * (i + 1)][: (i + 1) % 4] for i in range(8)]
    return ImageText("toys train", paths, captions, torch.arange(8) // 2, torch.arange(8) + 50)


def test_rows_belong_to_their_images(items: ImageText, tmp_path: Path) -> None:
    extracted = extract_pairs(items, MeanColour(), CharacterCounts(), a_cache(tmp_path))
    pairs = extracted.pairs
    assert (pairs.n_x, pairs.n_y) == (8, 12)
    batch = pairs[torch.tensor([6, 3, 1])]  # image 3 has no caption
    assert batch.x[:, 0].tolist() == [181, 91, 31]
    assert batch.y[:, -1].tolist() == [7, 7, 7, 2, 2]
    assert batch.x_group.tolist() == [3, 1, 0]
    assert extracted.seconds > 0


@pytest.mark.parametrize("broken", [[0], [5], [7], [1, 2, 6]])
def test_an_unreadable_image_is_skipped_with_its_captions(
    items: ImageText, tmp_path: Path, broken: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    for i in broken:
        whole = items.images[i].read_bytes()
        items.images[i].write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        extracted = extract_pairs(items, MeanColour(), CharacterCounts(), a_cache(tmp_path))
    assert f"toys train images: {len(broken)} of 8 items" in caplog.text
    kept = [i for i in range(8) if i not in broken]
    pairs = extracted.pairs
    assert extracted.items.images == [items.images[i] for i in kept]
    assert extracted.items.captions == [items.captions[i] for i in kept]
    assert pairs.group.tolist() == [i // 2 for i in kept]
    assert pairs.label is not None
    assert pairs.label.tolist() == [i + 50 for i in kept]
    batch = pairs[torch.arange(pairs.n_x)]
    assert batch.x[:, 0].tolist() == [30 * i + 1 for i in kept]
    # the length of a caption is the number of its image
    assert [kept[int(x)] + 1 for x in pairs.x_of_y] == batch.y[:, -1].tolist()
    assert batch.y[:, -1].tolist() == [len(caption) for caption in extracted.items.flat_captions]


def test_too_many_unreadable_images(items: ImageText, tmp_path: Path) -> None:
    for path in items.images[:2]:
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"2 of 8 items \(25.00%\) cannot be read"):
        extract_pairs(items, MeanColour(), CharacterCounts(), a_cache(tmp_path, share=0.2))


def test_taking_nothing() -> None:
    nothing = ImageText("none", [Path("a.png")], [["a"]], torch.tensor([3]), None).take(torch.arange(0))
    assert (nothing.images, nothing.flat_captions, nothing.label) == ([], [], None)
    assert nothing.x_of_y.tolist() == []


def test_real_backbones_on_a_handful(tmp_path: Path) -> None:
    folder = Path(__file__).parents[2] / "datamodules" / "clipart_data" / "images" / "animals"
    paths = [folder / f"{name}.webp" for name in ("kitten", "dolphin", "butterfly", "rabbit")]
    captions = [[f"a {path.stem}", f"a drawing of a {path.stem}"] for path in paths]
    items = ImageText("a handful", paths, captions, torch.arange(len(paths)), None)
    backbones = [instantiate(OmegaConf.load(CONFIGS / f"{name}.yaml")) for name in ("efficientnet_lite0", "minilm")]
    extracted = extract_pairs(items, *backbones, a_cache(tmp_path))
    batch = extracted.pairs[torch.arange(len(paths))]
    assert extracted.pairs.dims == (1280, 384)
    assert extracted.pairs.label is None
    assert bool(batch.x.isfinite().all() and batch.y.isfinite().all())
    # the two captions of a picture are closest to each other
    cosines = normalize(batch.y) @ normalize(batch.y).T - 2 * torch.eye(len(batch.y))
    assert cosines.argmax(1).tolist() == [row ^ 1 for row in range(len(batch.y))]
