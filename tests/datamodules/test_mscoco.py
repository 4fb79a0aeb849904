"""MSCOCO in all its layouts, through backbones that take no time."""

import json
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from datamodules.formats.coco_captions import read_coco_captions
from datamodules.mscoco import MSCOCODataModule
from datamodules.pairs.splits import SPLITS
from ground.errors import UserError
from tests.datamodules.fakes import CharacterCounts, MeanColour, common
from tests.datamodules.layouts import Made, assert_reads, coco, coco_captions, write_json

SAMPLE = Path(__file__).parents[2].parent / "shared" / "data" / "coco_mini"


def module(folder: Path, split: str, data_dir: Path | None = None, **changes: Any) -> MSCOCODataModule:
    arguments: dict[str, Any] = {
        "data_dir": str(data_dir or folder), "split": split, "split_seed": 0, "val_images": 4, "test_images": 5,
        "captions": "all", "caption_seed": 0,
    }  # fmt: skip
    return MSCOCODataModule(MeanColour(), CharacterCounts(), **arguments | common(folder) | changes)


def ready(folder: Path, split: str, **changes: Any) -> MSCOCODataModule:
    data = module(folder, split, **changes)
    data.setup()
    return data


def assert_ids(data: MSCOCODataModule, split: str, images: list[Made]) -> None:
    assert data.image_ids[split].dtype == data.caption_ids[split].dtype == torch.int64
    assert data.image_ids[split].tolist() == [image.number for image in images]
    assert data.caption_ids[split].tolist() == [number for image in images for number in image.read_ids]


def test_karpathy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = coco(tmp_path, 2014, karpathy=True)
    order = {
        each["cocoid"]: i for i, each in enumerate(json.loads((tmp_path / "dataset_coco.json").read_text())["images"])
    }
    images.sort(key=lambda image: order[image.number])
    with caplog.at_level(logging.WARNING):
        data = ready(tmp_path, "karpathy")
    of = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}
    for split in SPLITS:
        there = [image for image in images if image.split in of[split] and image.state == "there"]
        assert_reads(data, split, there)
        assert_ids(data, split, there)
    # of 30, 5 and 6: one of train and of test is missing, one damaged; one of train has no caption
    assert [data.splits[split].n_x for split in SPLITS] == [27, 5, 4]
    assert data.missing == {"train": (1, 0), "test": (1, 0)}
    assert "mscoco train images: 1 of 28 items" in caplog.text
    assert data.protocol | {"dataset": "mscoco", "split": "karpathy", "captions": "all"} == data.protocol
    assert data.protocol["captions_per_item"] == "5 to 6"


@pytest.mark.parametrize(("split", "year"), [("official2014", 2014), ("official2017", 2017), ("paper", 2014)])
def test_official_captions(tmp_path: Path, split: str, year: int) -> None:
    images = coco(tmp_path, year)
    data = ready(tmp_path, split)
    drawn_from, whole, parts = (
        ("train", "test", ("train", "val")) if split != "paper" else ("val", "train", ("val", "test"))
    )
    official = {
        part: [image for image in images if image.split == part and image.state == "there"] for part in ("train", "val")
    }
    by_number = {image.number: image for image in images}
    for name in SPLITS:
        there = [by_number[number] for number in data.image_ids[name].tolist()]
        assert_reads(data, name, there)
        assert_ids(data, name, there)
        # the order of the annotations
        assert [image.number for image in there] == sorted(image.number for image in there)
        assert data.raw[name].x.name == f"mscoco {name} images"
        assert data.raw[name].y.name == f"mscoco {name} captions"
    assert data.image_ids[whole].tolist() == [image.number for image in official["val" if whole == "test" else "train"]]
    drawn = data.image_ids[parts[0]].tolist() + data.image_ids[parts[1]].tolist()
    assert sorted(drawn) == [image.number for image in official[drawn_from]]
    assert len(set(drawn)) == len(drawn)
    assert data.protocol["split_seed"] == 0
    other = module(tmp_path, split, split_seed=1)
    other.prepare_data()
    assert other.image_ids[parts[1]].tolist() != data.image_ids[parts[1]].tolist()


@pytest.mark.parametrize(
    ("split", "of", "n", "sizes"),
    [
        ("official2017", "train", 118287, {"train": 113287, "val": 5000}),
        ("official2014", "train", 82783, {"train": 77783, "val": 5000}),
        ("official2017", "train", 80, {"train": 60, "val": 20}),
        ("official2017", "test", 5000, {"test": 5000}),
        ("paper", "val", 40504, {"val": 35504, "test": 5000}),
        ("paper", "val", 79, {"val": 40, "test": 39}),
        ("paper", "train", 82783, {"train": 82783}),
        ("karpathy", "train", 113287, {"train": 113287}),
    ],
)
def test_sizes_of_the_splits(tmp_path: Path, split: str, of: str, n: int, sizes: dict[str, int]) -> None:
    assert module(tmp_path, split, val_images=5000, test_images=5000).sizes(of, n) == sizes


def test_what_is_drawn_does_not_depend_on_the_files(tmp_path: Path) -> None:
    coco(tmp_path, 2017)
    before, after = (module(tmp_path, "official2017") for _ in range(2))
    before.prepare_data()
    gone = before.image_ids["train"][0].item()
    (tmp_path / "train2017" / f"{gone:012d}.jpg").unlink()
    after.prepare_data()
    assert after.image_ids["val"].tolist() == before.image_ids["val"].tolist()
    assert after.image_ids["train"].tolist() == before.image_ids["train"].tolist()[1:]


def test_a_missing_file_is_an_error_where_strict(tmp_path: Path) -> None:
    coco(tmp_path, 2017)
    with pytest.raises(UserError, match=r"train: 22 of 23 image files are there.*000000000007\.jpg"):
        module(tmp_path, "official2017", strict=True).prepare_data()


@pytest.mark.parametrize("captions", ["first", "random", "mean"])
def test_captions_and_their_ids(tmp_path: Path, captions: str) -> None:
    images = {image.number: image for image in coco(tmp_path, 2017)}
    data = ready(tmp_path, "official2017", captions=captions)
    for split in SPLITS:
        pairs = data.splits[split]
        there = [images[number] for number in data.image_ids[split].tolist()]
        assert pairs.x_of_y.tolist() == list(range(len(there)))
        if captions == "mean":
            assert_ids(data, split, there)
            continue
        for row, (image, number) in enumerate(zip(there, data.caption_ids[split].tolist(), strict=True)):
            place = image.read_ids.index(number)
            assert data.describe_y(split, row) == image.captions[place]
            assert captions == "random" or place == 0


@pytest.mark.parametrize("captions", ["all", "first", "mean"])
def test_ids_for_the_extended_evaluation_are_of_the_test_split(tmp_path: Path, captions: str) -> None:
    coco(tmp_path, 2014, karpathy=True)
    data = ready(tmp_path, "karpathy", captions=captions)
    if captions != "all":
        assert data.coco_ids is None
        return
    assert data.coco_ids is not None
    pairs = data.splits["test"]
    assert [len(ids) for ids in data.coco_ids] == [pairs.n_x, pairs.n_y]
    assert data.coco_ids[0].tolist() == data.image_ids["test"].tolist()
    assert data.coco_ids[1].tolist() == data.caption_ids["test"].tolist()


def test_what_is_left_out_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    coco(tmp_path, 2017)
    with caplog.at_level(logging.WARNING):
        images = read_coco_captions(tmp_path / "annotations" / "captions_train2017.json", tmp_path)
    assert len(images) == 23
    assert caplog.messages == ["captions_train2017.json: 2 empty captions and 1 images without a caption are left out"]


def without(kind: str, key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content[kind][2].pop(key)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without("images", "id"), "image 2: 'id' is missing"),
        (without("images", "file_name"), "image 2: 'file_name' is missing"),
        (without("annotations", "image_id"), "annotation 2: 'image_id' is missing"),
        (without("annotations", "caption"), "annotation 2: 'caption' is missing"),
        (without("annotations", "id"), "annotation 2: 'id' is missing"),
        (lambda content: content["annotations"][2].update(image_id=99999), "annotation 2: there is no image 99999"),
        (lambda content: content["images"].append(content["images"][0]), "image 17: a second image 73"),
        (lambda content: content["images"][1].update(file_name=content["images"][0]["file_name"]), "have the file"),
        (lambda content: content["images"][2].update(id=2**63), "image 2: 'id' is 9223372036854775808, not an integer"),
        (lambda content: content.pop("annotations"), "'annotations' is missing"),
        (lambda content: content.update(annotations=[]), "no image has a caption"),
        (lambda content: content.update(images=7), "'images' is 7, not a list"),
    ],
)
def test_a_file_of_another_form(tmp_path: Path, spoil: Callable[[Any], Any], says: str) -> None:
    content = coco_captions([image for image in coco(tmp_path, 2017) if image.split == "val"])
    spoil(content)
    path = tmp_path / "spoilt.json"
    write_json(path, content)
    with pytest.raises(UserError, match=says) as raised:
        read_coco_captions(path, tmp_path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("split", "says"),
    [
        ("karpathy", r"there is no .*dataset_coco\.json; .*train2014\.zip.*val2014\.zip.*caption_datasets\.zip"),
        ("official2017", r"there is no .*captions_train2017\.json; .*train2017\.zip.*annotations_trainval2017\.zip"),
        ("official2014", r"there is no .*captions_train2014\.json; .*train2014\.zip.*annotations_trainval2014\.zip"),
        ("paper", r"there is no .*captions_train2014\.json"),
    ],
)
def test_annotations_that_are_not_there(tmp_path: Path, split: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as raised:
        module(tmp_path, split).prepare_data()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("key", ["val_images", "test_images"])
def test_no_image_to_be_drawn(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match=rf"datamodule\.{key} must be at least 1, got 0"):
        module(tmp_path, "paper", **{key: 0})


def test_the_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown datamodule\.split 'official': did you mean 'official20"):
        module(tmp_path, "official")


@pytest.mark.parametrize("split", ["karpathy", "official2014", "official2017", "paper"])
def test_layout(tmp_path: Path, split: str) -> None:
    year = 2017 if split == "official2017" else 2014
    coco(tmp_path, year, karpathy=True)
    data = module(tmp_path, split)
    layout = data.layout
    assert layout.folders == [tmp_path / f"train{year}", tmp_path / f"val{year}"]
    (golden,) = layout.golden
    assert list(golden) == list(data.read())
    # the same captions in every release
    assert tuple(map(sum, zip(*golden.values(), strict=True))) == (123287, 616767)
    (one_each,) = module(tmp_path, split, captions="random").layout.golden
    assert one_each == {name: (x, x) for name, (x, _) in golden.items()}


def test_the_config_gives_every_argument(tmp_path: Path) -> None:
    with initialize_config_module("configs", version_base="1.3"):
        config = compose("train", overrides=["datamodule=mscoco", f"data_dir={tmp_path}"])
    data = instantiate(config.datamodule)
    assert isinstance(data, MSCOCODataModule)
    assert data.data_dir == tmp_path
    assert (data.split, data.val_images, data.test_images) == ("karpathy", 5000, 5000)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs shared/data/coco_mini, a sample of MSCOCO beside the project")
def test_a_sample_of_the_official_files(tmp_path: Path) -> None:
    data = ready(tmp_path, "official2017", data_dir=SAMPLE, val_images=5000, shard_size=256)
    assert [(data.splits[split].n_x, data.splits[split].n_y) for split in SPLITS] == [(60, 300), (20, 100), (79, 395)]
    assert data.protocol["captions_per_item"] == "5"
    assert data.missing == {}
    written = {
        each["id"]: each
        for part in ("train", "val")
        for each in json.loads((SAMPLE / "annotations" / f"captions_{part}2017.json").read_text())["annotations"]
    }
    for split in SPLITS:
        pairs = data.splits[split]
        owner = data.image_ids[split][pairs.x_of_y].tolist()
        for row, number in enumerate(data.caption_ids[split].tolist()):
            assert written[number]["image_id"] == owner[row]
            assert data.describe_y(split, row) == " ".join(written[number]["caption"].split())
        assert set(Counter(owner).values()) == {5}
        middle = MeanColour().vector(data.describe_x(split, 3))
        assert pairs.x[torch.tensor([3])][0].tolist() == middle
