"""Folders, tables and text files as items."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from datamodules.items.items import ImageFiles, Texts
from ground.errors import UserError
from searching.new_items import new_items

BOTH = ("image", "text")


def pictures(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name)


def test_a_folder_holds_its_files_in_order_and_hidden_ones_are_none(tmp_path: Path) -> None:
    pictures(tmp_path, "b.png", "in/a.JPG", ".hidden/c.png", "a.png")
    (tmp_path / "notes.md").touch()
    source = new_items(tmp_path, BOTH).sources["image"]
    assert isinstance(source, ImageFiles)
    assert [str(path.relative_to(tmp_path)) for path in source.paths] == ["a.png", "b.png", "in/a.JPG"]


def test_texts_of_a_folder_are_its_files_and_of_a_file_its_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeffa dog\n  on grass\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("\n\na cat\n", encoding="utf-8")
    of_folder, of_file = (new_items(path, BOTH).sources["text"] for path in (tmp_path, tmp_path / "a.txt"))
    assert isinstance(of_folder, Texts)
    assert isinstance(of_file, Texts)
    assert of_folder.strings == ["a dog on grass", "a cat"]
    assert of_file.strings == ["a dog", "on grass"]


def test_sounds(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 16000)
    pictures(tmp_path, "a.png")
    assert len(new_items(tmp_path, ("audio", "text")).sources["audio"]) == 1


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_table_of_pairs_says_whose_text_is_whose(tmp_path: Path, suffix: str) -> None:
    pictures(tmp_path, "a.png", "b.png")
    rows = [("b.png", "one"), ("a.png", "two"), ("b.png", "three"), ("b.png", "one")]
    lines = [f"{x},{y}" for x, y in (("image", "text"), *rows)]
    if suffix == ".jsonl":
        lines = [f'{{"image": "{x}", "text": "{y}"}}' for x, y in rows]
    table = tmp_path / f"t{suffix}"
    table.write_text("\n".join(lines))
    items = new_items(table, BOTH)
    assert items.partners is not None
    x, y = items.sources["image"], items.sources["text"]
    assert isinstance(x, ImageFiles)
    assert isinstance(y, Texts)
    assert [path.name for path in x.paths] == ["b.png", "a.png"]
    assert (y.strings, items.partners.tolist()) == (["one", "two", "three"], [0, 1, 0])


def test_a_table_of_one_column(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,other\na dog,1\na cat,2\na dog,3\n")
    items = new_items(tmp_path / "t.csv", BOTH)
    assert items.partners is None
    assert items.sources["text"].show(1) == "a cat"
    assert len(items.sources["text"]) == 2


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("nowhere", "^there is no folder, table or text file .*nowhere$"),
        ("empty", "^.*empty holds nothing that the run encodes: it encodes image and text$"),
        (
            "both",
            "^.*both holds files of both modalities, 1 of image and 1 of text: give a folder for each, or a table$",
        ),
        ("a.pdf", "^.*a.pdf is none of a folder, a table or a text file"),
        ("t.csv", "^.*t.csv holds nothing that the run encodes"),
        ("latin.txt", "^cannot read .*latin.txt as UTF-8"),
        ("blank.txt", "^.*blank.txt holds nothing that the run encodes"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / "empty").mkdir()
    pictures(tmp_path, "both/a.png")
    (tmp_path / "both" / "a.txt").write_text("a")
    (tmp_path / "a.pdf").touch()
    (tmp_path / "t.csv").write_text("sound,picture\n1,2\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "blank.txt").write_text("\n \n")
    with pytest.raises(UserError, match=line):
        new_items(tmp_path / name, BOTH)
