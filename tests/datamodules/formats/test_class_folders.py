"""Trees of class folders, as they are found on disk."""

from pathlib import Path

import pytest

from datamodules.formats.class_folders import scanned
from ground.errors import UserError
from tests.datamodules.image_folders import COUNTS, made, tree
from tests.datamodules.image_layouts import class_folders


def test_splits_classes_and_what_is_ignored(tmp_path: Path) -> None:
    tree(tmp_path, train=COUNTS, validation=COUNTS, test=COUNTS)
    cat = tmp_path / "train" / "cat"
    class_folders(cat, {"more": 2}, 90, ".JPG")  # a folder in a class: its images are of the class
    for name in ("notes.txt", ".hidden.png", "0000.png.part", ".DS_Store"):
        (cat / name).write_bytes(b"x")
    (tmp_path / "readme.md").touch()
    (tmp_path / "train" / "stray.png").touch()
    class_folders(tmp_path, {"__MACOSX": 1, ".git": 2})
    (tmp_path / "test" / "empty").mkdir()
    found = scanned(tmp_path)
    assert found.classes == ["cat", "dog", "ox"]
    assert {split: {name: len(of) for name, of in each.items()} for split, each in found.files.items()} == {
        "train": COUNTS | {"cat": 10}, "val": COUNTS, "test": COUNTS,
    }  # fmt: skip
    assert found.ignored == 4 + 1 + 1 + 3
    assert all(files == sorted(files) for each in found.files.values() for files in each.values())


@pytest.mark.parametrize("nested", [[], ["cifar10_jpeg"], ["a", "b"]])
def test_a_single_folder_that_holds_the_tree(tmp_path: Path, nested: list[str]) -> None:
    tree(tmp_path.joinpath(*nested), train=COUNTS)
    assert list(scanned(tmp_path).files) == ["train"]
    class_folders(tmp_path / "flat" / "x" / "y", COUNTS)
    assert list(scanned(tmp_path / "flat").files) == ["all"]
    class_folders(tmp_path / "one", {"cat": 3})  # a single class is no nested tree
    assert scanned(tmp_path / "one").classes == ["cat"]


def built(kind: str, folder: Path) -> Path:
    match kind:
        case "missing":
            return folder / "nowhere"
        case "empty":
            (folder / "cat").mkdir()
        case "no train":
            return tree(folder, val=COUNTS, test=COUNTS)
        case "both":
            return tree(folder, train=COUNTS, val=COUNTS, validation=COUNTS)
        case "test lacks one":
            return tree(folder, train=COUNTS, test={"cat": 1, "dog": 1})
        case "train lacks one":
            return tree(folder, train=COUNTS, val=COUNTS | {"pig": 1})
    return folder


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", r"datamodule\.path: no folder .*nowhere; unpack the images there, or set another"),
        ("empty", r"has no class folder with images \(\.jpg, \.jpeg, \.png"),
        ("no train", "has test but no train folder"),
        ("both", "has both val and validation: take one of them away"),
        ("test lacks one", "the classes of train and test in .* differ: test has no images of 'ox'"),
        ("train lacks one", "the classes of train and val in .* differ: train has no images of 'pig'"),
    ],
)
def test_trees_that_cannot_be_used(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        made(tmp_path / "work", built(kind, tmp_path)).prepare_data()
    assert "\n" not in str(error.value)
