"""Raw items on their way through the backbones of a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aligners.base.inputs import RawItems, is_raw
from aligners.closed_form import CCA
from datamodules.items.audio import AudioFiles
from datamodules.items.items import ImageFiles
from ground.errors import UserError
from tests.datamodules.fakes import CharacterCounts, MeanColour
from tests.datamodules.own_files import ClipLength, media
from tests.problems import random_features


def test_what_raw_items_are(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 2))
    assert all(is_raw(items) for items in (["a", "b"], ("a",), [tmp_path], [image], "a", image))
    assert not any(is_raw(items) for items in ([[0.0, 1.0]], np.eye(2), torch.eye(2), [], [np.ones(3)]))


def test_features_are_those_of_the_backbones_in_the_order_of_the_items(tmp_path: Path) -> None:
    media(tmp_path, 20)  # more than a batch
    paths = [tmp_path / f"{i}.png" for i in range(20)]
    pictures = RawItems(lambda: (MeanColour(), CharacterCounts()))
    features = pictures.features("x", [str(paths[0]), *paths[1:19], Image.open(paths[19])])
    assert torch.equal(features[:, 0], torch.arange(20) + 1.0)
    assert torch.equal(pictures.features("y", ("b", "aab"))[:, [0, 1, 26]], torch.tensor([[0, 1, 1.0], [2, 1, 3]]))
    sounds = RawItems(lambda: (CharacterCounts(), ClipLength()))
    clip = AudioFiles([tmp_path / "3.wav"], "")[0]
    assert sounds.features("y", [tmp_path / "2.wav", clip]).tolist() == [[16_002, 16_000], [16_003, 16_000]]


def test_backbones_are_made_once_and_not_before_the_first_items() -> None:
    made: list[int] = []

    def make() -> Any:
        made.append(1)
        return MeanColour(), CharacterCounts()

    items = RawItems(make)
    assert made == []
    for _ in range(2):
        items.features("y", ["a"])
    assert made == [1]


def test_an_aligner_with_backbones_takes_both(tmp_path: Path) -> None:
    media(tmp_path, 2)
    x, y, _ = random_features(40, 1, 3, 27, seed=0)
    aligner = CCA(rank=2).fit(x, y)
    aligner.raw_items = RawItems(lambda: (MeanColour(), CharacterCounts()))
    features = MeanColour().encode([ImageFiles([tmp_path / "1.png"], "")[0]])
    assert torch.equal(aligner.encode_x([tmp_path / "1.png"]), aligner.encode_x(features))
    assert aligner.similarity([tmp_path / "0.png", tmp_path / "1.png"], ["a dog"]).shape == (2, 1)
    aligner.raw_items = RawItems(lambda: (CharacterCounts(), MeanColour()))
    with pytest.raises(UserError, match=r"^x has 27 features, the aligner was fitted on 3$"):
        aligner.encode_x(["a dog"])


def test_items_that_cannot_be_encoded_are_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    items = RawItems(lambda: (MeanColour(), CharacterCounts()))
    sounds = RawItems(lambda: (ClipLength(), ClipLength()))
    for side, wrong, line in (
        ("x", "photo.jpg", "x must be a list of items, got one str: put it into a list"),
        ("x", ["nowhere.jpg"], "nowhere.jpg: No such file or directory"),
        ("x", [str(tmp_path / "text.png")], "text.png: cannot be decoded"),
        ("x", [3.5], "an image is its path or a PIL image, got float"),
        ("y", [Image.new("RGB", (2, 2))], "a text is a string, got Image"),
    ):
        with pytest.raises(UserError, match=line):
            items.features(side, wrong)
    with pytest.raises(UserError, match="a sound is its path or a Clip, got Image"):
        sounds.features("x", [Image.new("RGB", (2, 2))])
