"""Data without golden numbers, data of several editions, and files on both sides."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datamodules.base.extracted import ExtractedDataModule, Layout
from datamodules.doctor.command import doctor
from datamodules.doctor.inspection import Counts, deviations
from datamodules.items.items import ImageFiles, Texts
from datamodules.items.raw_pairs import RawPairs
from ground.errors import UserError
from tests.datamodules.doctor.diagnoses import table_of
from tests.datamodules.fakes import CharacterCounts, MeanColour, common


class Pictures(ExtractedDataModule):
    """Splits of image files with texts, as they are given."""

    modalities = ("image", "text")

    def __init__(self, folder: Path, raw: dict[str, RawPairs] | UserError, layout: Layout | None = None):
        super().__init__(MeanColour(), CharacterCounts(), **common(folder))
        self.given, self.whole = raw, layout

    def read(self) -> dict[str, RawPairs]:
        if isinstance(self.given, UserError):
            raise self.given
        return self.given

    @property
    def layout(self) -> Layout | None:
        return self.whole


def pictures(folder: Path, **splits: list[int]) -> dict[str, RawPairs]:
    """Splits of the pictures of these numbers, each with a text of its own."""
    raw = {}
    for split, own in splits.items():
        paths = [folder / f"{i}.png" for i in own]
        for i, path in zip(own, paths, strict=True):
            Image.new("RGB", (4, 4), (i, 0, 0)).save(path)
        owner = torch.arange(len(own))
        raw[split] = RawPairs(ImageFiles(paths, split), Texts([f"text {i}" for i in own], split), owner, owner)
    return raw


def test_data_of_its_own_has_no_golden_numbers(tmp_path: Path) -> None:
    raw = pictures(tmp_path, train=[1, 2, 3], val=[4], test=[5])
    diagnosis = doctor(Pictures(tmp_path, raw), read=True)
    assert diagnosis.problems == diagnosis.notes == []
    assert diagnosis.verdict == "all that the annotations name is there, every file can be read"
    assert not any("whole" in row for row in table_of(diagnosis))
    (tmp_path / "4.png").unlink()
    diagnosis = doctor(Pictures(tmp_path, raw), read=True)
    assert diagnosis.verdict == "1 files are missing"
    assert diagnosis.obtain == ""
    with pytest.raises(UserError, match="no table"):
        doctor(Pictures(tmp_path, UserError("no table")), read=True)


def test_a_file_under_two_splits_is_a_leak(tmp_path: Path) -> None:
    raw = pictures(tmp_path, train=[1, 2, 3], val=[3, 4], test=[1, 3])
    (problem,) = doctor(Pictures(tmp_path, raw), read=False).problems
    assert problem == f"2 files are in more than one split: '{tmp_path}/1.png', '{tmp_path}/3.png'"


def test_items_without_texts(tmp_path: Path) -> None:
    raw = pictures(tmp_path, train=[1, 2, 3], val=[4], test=[5])
    raw["train"] = raw["train"].take_y(torch.tensor([1]))
    diagnosis = doctor(Pictures(tmp_path, raw), read=False)
    assert diagnosis.problems == ["train: 2 image items have no text"]
    assert table_of(diagnosis)["image without text"] == ["2", "0", "0"]


def test_files_on_both_sides(tmp_path: Path) -> None:
    raw = pictures(tmp_path, train=[1, 2], val=[3], test=[4])
    train = raw["train"]
    paths = [tmp_path / "lost.png", tmp_path / "broken.png"]
    paths[1].write_bytes(b"no picture")
    raw["train"] = RawPairs(train.x, ImageFiles(paths, "y"), train.x_of_y, train.group)
    missing, damaged = doctor(Pictures(tmp_path, raw), read=True).problems
    assert missing == f"train: 1 of 2 text files are there, 1 are missing: '{tmp_path}/lost.png'"
    assert damaged.startswith(f"train: 1 text items cannot be read: {tmp_path}/broken.png: cannot be decoded")


def test_any_edition_is_complete(tmp_path: Path) -> None:
    raw = pictures(tmp_path, train=[1, 2, 3], val=[4], test=[5])
    editions = [{"train": (9, 9), "val": (1, 1), "test": (1, 1)}, {"train": (3, 3), "val": (1, 1), "test": (1, 1)}]
    diagnosis = doctor(Pictures(tmp_path, raw, Layout("ask", [tmp_path], editions)), read=False)
    assert diagnosis.problems == diagnosis.notes == []
    assert table_of(diagnosis)["image items in the whole data"] == ["9 or 3", "1", "1"]
    assert "empty text" in table_of(diagnosis)


COUNTS = st.dictionaries(st.sampled_from("abcd"), st.tuples(st.integers(0, 3), st.integers(0, 3)))


@settings(deadline=None)
@given(COUNTS, st.lists(COUNTS, max_size=3))
def test_deviations(counts: Counts, golden: list[Counts]) -> None:
    told = deviations(counts, golden)
    assert (told == {}) == (not golden or counts in golden)
    # put right, the counts are those of an edition, but for splits that no edition has
    if golden:
        assert {split: n for split, n in (counts | told).items() if n != (0, 0)} in [
            {split: n for split, n in edition.items() if n != (0, 0)} for edition in golden
        ]
