"""Karpathy's split files, sound and not."""

import copy
import logging
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datamodules.formats.karpathy import read_karpathy
from ground.errors import UserError
from tests.datamodules.layouts import coco, flickr30k, karpathy_record, write_json


def test_the_splits_of_flickr30k(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = flickr30k(tmp_path)
    with caplog.at_level(logging.WARNING):
        splits = read_karpathy(tmp_path / "dataset_flickr30k.json", tmp_path / "images")
    assert list(splits) == ["train", "val", "test"]
    assert [len(each) for each in splits.values()] == [18, 3, 5]
    for split, read in splits.items():
        kept = [image for image in images if image.split == split and image.captions]
        assert [each.path for each in read] == [tmp_path / "images" / image.name for image in kept]
        assert [each.image_id for each in read] == [image.number for image in kept]
        assert [each.captions for each in read] == [image.captions for image in kept]
        assert [each.caption_ids for each in read] == [image.read_ids for image in kept]
    assert caplog.messages == [
        "dataset_flickr30k.json train: 4 empty captions and 1 images without a caption are left out"
    ]


def test_restval_is_train_and_files_have_their_folder(tmp_path: Path) -> None:
    images = {image.number: image for image in coco(tmp_path, 2014, karpathy=True)}
    splits = read_karpathy(tmp_path / "dataset_coco.json", tmp_path)
    assert [len(each) for each in splits.values()] == [23 + 6, 5, 6]
    folders = {split: {each.path.parent.name for each in read} for split, read in splits.items()}
    assert folders == {"train": {"train2014", "val2014"}, "val": {"val2014"}, "test": {"val2014"}}
    for read in splits.values():
        for each in read:
            # the number is the cocoid, which the fixture makes other than the imgid
            assert each.path.name == images[each.image_id].name
            assert each.captions == images[each.image_id].captions


def sound(folder: Path) -> dict[str, Any]:
    return {"images": [karpathy_record(image) for image in flickr30k(folder, ())], "dataset": "flickr30k"}


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content["images"][3].pop(key)


def with_value(key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content["images"][3].update({key: value})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        *[
            (without(key), f"image 3: '{key}' is missing")
            for key in ("split", "filename", "imgid", "sentids", "sentences")
        ],
        (with_value("split", "dev"), "image 3: split 'dev' is none of train, restval, val, test"),
        (with_value("filename", 7), "image 3: 'filename' is 7, not text"),
        (with_value("imgid", "7"), "image 3: 'imgid' is '7', not an integer"),
        (with_value("imgid", True), "image 3: 'imgid' is True, not an integer"),
        (with_value("imgid", 2**63), "image 3: 'imgid' is 9223372036854775808, not an integer"),
        (with_value("imgid", 1), "two images have the number 1"),
        (with_value("filename", "1000092795.jpg"), "two images have the file .*/1000092795.jpg"),
        (with_value("sentences", [{"tokens": ["a"]}]), "image 3: a sentence has no text 'raw'"),
        (with_value("sentences", [{"raw": None}]), "image 3: a sentence has no text 'raw'"),
        (with_value("sentids", [1, 2]), r"image 3: 6 sentences with sentids \[1, 2\]"),
        (with_value("sentids", [1, 2, 3, 4, 5, 2**63]), r"image 3: 6 sentences with sentids \[1, 2"),
        (lambda content: content.pop("images"), "'images' is missing"),
        (lambda content: content.update(images=[]), "no image of the train split has a caption"),
        (lambda content: content.update(images=[7]), "image 0: 'split' is missing"),
        (lambda content: [each.update(split="val") for each in content["images"]], "no image of the train split"),
    ],
)
def test_a_file_of_another_form(tmp_path: Path, spoil: Callable[[Any], Any], says: str) -> None:
    content = copy.deepcopy(sound(tmp_path))
    spoil(content)
    path = tmp_path / "spoilt.json"
    write_json(path, content)
    with pytest.raises(UserError, match=says) as raised:
        read_karpathy(path, tmp_path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"images": [{"split": "tr', "is no JSON"),
        (b"", "is no JSON"),
        (b'{"images": "\xff"}', "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[1, 2]", "holds a list"),
        (b'{"raw": "a"}', "holds a str"),
    ],
)
def test_a_file_that_is_no_json_object(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "dataset_coco.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=says) as raised:
        read_karpathy(path, tmp_path)
    assert str(path) in str(raised.value)
    assert "caption_datasets.zip" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_karpathy(tmp_path, tmp_path)


def test_the_tokens_do_not_add_up_in_memory(tmp_path: Path) -> None:
    record = {"split": "train", "filename": "a.jpg", "imgid": 1, "sentids": [1], "sentences": [{}]}
    record["sentences"] = [{"raw": "a dog", "tokens": [f"word{i}" for i in range(2000)]}]
    path = tmp_path / "tokens.json"
    splits = ["train", "val", "test"] * 100
    images = [record | {"split": split, "filename": f"{i}.jpg", "imgid": i} for i, split in enumerate(splits)]
    write_json(path, {"images": images})
    size = path.stat().st_size
    tracemalloc.start()
    read_karpathy(path, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the text itself, with some buffers of reading it; all tokens would be five times as large
    assert size > 3_000_000
    assert peak < 2.5 * size
