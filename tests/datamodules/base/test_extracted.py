"""What all datasets of raw items share: which splits are extracted, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from datamodules.base.extracted import ExtractedDataModule
from datamodules.items.items import ImageFiles, Texts
from datamodules.items.raw_pairs import RawPairs, captioned
from ground.errors import UserError
from tests.datamodules.fakes import CharacterCounts, MeanColour, common

SIZES = {"train": 6, "val": 2, "test": 3}


class Toys(ExtractedDataModule):
    """Images of a colour of their own with a caption each."""

    modalities = ("image", "text")

    def __init__(self, folder: Path, labelled: bool, **changes: Any):
        self.image, self.text = MeanColour(), CharacterCounts()
        super().__init__(self.image, self.text, **common(folder, **changes))
        self.folder, self.labelled = folder, labelled

    def read(self) -> dict[str, RawPairs]:
        raw = {}
        for split, n in SIZES.items():
            paths = [self.folder / f"{split}{i}.png" for i in range(n)]
            for i, path in enumerate(paths):
                Image.new("RGB", (4, 4), (20 * i, 0, 0)).save(path)
            label = torch.arange(n) % 2 if self.labelled else None
            texts = Texts(["a" * (i + 1) for i in range(n)], split)
            raw[split] = captioned(ImageFiles(paths, split), [[text] for text in texts.strings], texts, None, label)
        return raw


@pytest.mark.parametrize("labelled", [False, True])
def test_a_test_extracts_what_it_needs(tmp_path: Path, labelled: bool) -> None:
    data = Toys(tmp_path, labelled)
    data.setup("test")
    assert list(data.splits) == (["train", "val", "test"] if labelled else ["test"])  # a probe is fitted on train
    assert data.image.encoded == (11 if labelled else 3)
    test = data.splits["test"]
    data.setup("fit")
    assert {split: pairs.n_x for split, pairs in data.splits.items()} == SIZES
    assert data.splits["test"] is test
    assert (data.image.encoded, data.text.encoded, data.extracted_items) == (11, 11, 22)


def test_preparing_extracts_nothing(tmp_path: Path) -> None:
    data = Toys(tmp_path, False)
    data.prepare_data()
    assert data.splits == {}
    assert data.image.encoded == 0
    assert {split: raw.n_x for split, raw in data.raw.items()} == SIZES


def test_a_backbone_of_another_modality_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"datamodule\.text_backbone is MeanColour, which encodes image"):
        ExtractedWith(MeanColour(), MeanColour(), tmp_path)


class ExtractedWith(Toys):
    def __init__(self, x: Any, y: Any, folder: Path):
        ExtractedDataModule.__init__(self, x, y, **common(folder))
