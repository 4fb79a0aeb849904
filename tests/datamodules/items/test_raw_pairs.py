"""Raw pairs through the cache, items that cannot be read among them."""

import logging
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from datamodules.base.extracted_pairs import extract_pairs
from datamodules.items.items import ImageFiles, Texts
from datamodules.items.raw_pairs import RawPairs, captioned
from ground.errors import UserError
from tests.datamodules.cached import Holes
from tests.datamodules.fakes import CharacterCounts, MeanColour, a_cache

CONFIGS = Path(__file__).parents[3] / "configs" / "backbone"


def toys(paths: list[Path], captions: list[list[str]], group: Tensor | None, label: Tensor | None) -> RawPairs:
    texts = Texts([caption for each in captions for caption in each], "toys captions")
    return captioned(ImageFiles(paths, "toys images"), captions, texts, group, label)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Eight images of a colour of their own."""
    for i in range(8):
        Image.new("RGB", (9, 9), (30 * i, 0, 0)).save(tmp_path / f"{i}.png")
    return [tmp_path / f"{i}.png" for i in range(8)]


CAPTIONS = [["a" * (i + 1), "b" * (i + 1), "c" * (i + 1)][: (i + 1) % 4] for i in range(8)]
"""0 to 3 captions of each image, whose length says the number of the image."""


@pytest.fixture
def raw(paths: list[Path]) -> RawPairs:
    return toys(paths, CAPTIONS, torch.arange(8) // 2, torch.arange(8) + 50)


def test_rows_belong_to_their_images(raw: RawPairs, tmp_path: Path) -> None:
    extracted = extract_pairs(raw, MeanColour(), CharacterCounts(), a_cache(tmp_path))
    pairs = extracted.pairs
    assert (pairs.n_x, pairs.n_y) == (8, 12)
    batch = pairs[torch.tensor([6, 3, 1])]  # image 3 has no caption
    assert batch.x[:, 0].tolist() == [181, 91, 31]
    assert batch.y[:, -1].tolist() == [7, 7, 7, 2, 2]
    assert batch.x_group.tolist() == [3, 1, 0]
    assert extracted.seconds > 0
    assert extracted.extracted_items == 20


@pytest.mark.parametrize("broken", [[0], [5], [7], [1, 2, 6]])
def test_an_unreadable_x_is_skipped_with_its_y(
    raw: RawPairs, paths: list[Path], tmp_path: Path, broken: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    for i in broken:
        whole = paths[i].read_bytes()
        paths[i].write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        extracted = extract_pairs(raw, MeanColour(), CharacterCounts(), a_cache(tmp_path))
    assert f"toys images: {len(broken)} of 8 items" in caplog.text
    kept = [i for i in range(8) if i not in broken]
    pairs = extracted.pairs
    shown = [extracted.raw.y.show(j) for j in range(pairs.n_y)]
    assert shown == [caption for i in kept for caption in CAPTIONS[i]]
    assert pairs.group.tolist() == [i // 2 for i in kept]
    assert pairs.label is not None
    assert pairs.label.tolist() == [i + 50 for i in kept]
    batch = pairs[torch.arange(pairs.n_x)]
    assert batch.x[:, 0].tolist() == [30 * i + 1 for i in kept]
    # the length of a caption is the number of its image
    assert [kept[int(x)] + 1 for x in pairs.x_of_y] == batch.y[:, -1].tolist()
    assert batch.y[:, -1].tolist() == [len(str(caption)) for caption in shown]


def test_an_unreadable_y_is_skipped_alone(paths: list[Path], tmp_path: Path) -> None:
    texts = ["one", "!two", "three", "!four"]
    owner = torch.tensor([0, 0, 1, 2])
    raw = RawPairs(ImageFiles(paths[:3], "images"), Holes(texts, "captions"), owner, torch.arange(3))
    extracted = extract_pairs(raw, MeanColour(), CharacterCounts(), a_cache(tmp_path))
    assert extracted.pairs.n_x == 3  # who owns no y is left out by the datamodule
    assert extracted.pairs.x_of_y.tolist() == [0, 1]
    assert extracted.pairs[torch.arange(3)].y[:, -1].tolist() == [3, 5]
    assert extracted.raw.y.show(1) == "three"


def test_too_many_unreadable_images(raw: RawPairs, paths: list[Path], tmp_path: Path) -> None:
    for path in paths[:2]:
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"2 of 8 items \(25.00%\) cannot be read"):
        extract_pairs(raw, MeanColour(), CharacterCounts(), a_cache(tmp_path, share=0.2))


def test_taking(raw: RawPairs, paths: list[Path]) -> None:
    nothing = raw.take_x(torch.arange(0))
    assert (nothing.n_x, nothing.n_y, nothing.x_of_y.tolist()) == (0, 0, [])
    some = raw.take_x(torch.tensor([6, 1]))
    assert isinstance(some.x, ImageFiles)
    assert some.x.paths == [paths[6], paths[1]]
    assert [some.y.show(j) for j in range(some.n_y)] == ["aa", "bb", "aaaaaaa", "bbbbbbb", "ccccccc"]
    assert some.x_of_y.tolist() == [1, 1, 0, 0, 0]
    assert some.label is not None
    assert some.label.tolist() == [56, 51]
    fewer = raw.take_y(torch.tensor([3, 0]))
    assert (fewer.n_x, [fewer.y.show(j) for j in range(2)], fewer.x_of_y.tolist()) == (8, ["aaa", "a"], [2, 0])


def test_real_backbones_on_a_handful(tmp_path: Path) -> None:
    folder = Path(__file__).parents[3] / "datamodules" / "clipart_data" / "images" / "animals"
    paths = [folder / f"{name}.webp" for name in ("kitten", "dolphin", "butterfly", "rabbit")]
    raw = toys(paths, [[f"a {path.stem}", f"a drawing of a {path.stem}"] for path in paths], None, None)
    backbones = [instantiate(OmegaConf.load(CONFIGS / f"{name}.yaml")) for name in ("efficientnet_lite0", "minilm")]
    extracted = extract_pairs(raw, *backbones, a_cache(tmp_path))
    batch = extracted.pairs[torch.arange(len(paths))]
    assert extracted.pairs.dims == (1280, 384)
    assert extracted.pairs.label is None
    assert bool(batch.x.isfinite().all() and batch.y.isfinite().all())
    # the two captions of a picture are closest to each other
    cosines = normalize(batch.y) @ normalize(batch.y).T - 2 * torch.eye(len(batch.y))
    assert cosines.argmax(1).tolist() == [row ^ 1 for row in range(len(batch.y))]
