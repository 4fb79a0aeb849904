"""Trees of class folders, and the datamodule of views that is made of them."""

import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import DictConfig
from PIL import Image

from datamodules.base import image_views
from datamodules.formats.class_folders import scanned
from datamodules.image_folder import ImageFolderDataModule
from datamodules.pairs.splits import SPLITS
from ground.errors import UserError
from ground.values import check
from tests.datamodules.fakes import MeanColour, common
from tests.datamodules.image_layouts import CLASSES, class_folders, colour, noisy

REAL = Path(__file__).parents[3] / "shared" / "data" / "cifar10_jpeg.tar"
COUNTS = {"cat": 8, "dog": 5, "ox": 3}


class Same:
    """In the place of an augmentation: the image as it is."""

    description = "same"

    def __init__(self, size: int | None) -> None:
        pass

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        return image


@pytest.fixture
def same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_views, "SimCLR", Same)


def tree(folder: Path, **splits: dict[str, int]) -> Path:
    """A tree whose images are numbered through over all splits."""
    start = 0
    for split, counts in splits.items():
        start += len(class_folders(folder / split, counts, start))
    return folder


def made(folder: Path, data: Path, backbone: MeanColour | None = None, **changes: Any) -> ImageFolderDataModule:
    arguments = {
        "path": str(data), "val_share": 0.25, "test_share": 0.25, "split_seed": 0, "views": 2, "view_seed": 0,
        "at": "native", "positives": "self", "batches": "random", "corruptions": [], "severities": [1, 5],
        "extreme": [],
    }  # fmt: skip
    return ImageFolderDataModule(backbone or MeanColour(), **(arguments | common(folder, shard_size=64) | changes))


def vector(number: int) -> list[float]:
    return [1.0 + value for value in colour(number)]


def numbers(data: ImageFolderDataModule, split: str) -> list[int]:
    """The number of each image, by its name."""
    return [int(path.stem) for path in data.images()[split].items.paths]  # type: ignore[attr-defined]


def rows(features: Any) -> list[list[float]]:
    return features[torch.arange(features.shape[0])].tolist()  # type: ignore[no-any-return]


# trees


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


# splits


def test_val_and_test_are_drawn_by_class(tmp_path: Path) -> None:
    class_folders(tmp_path / "data", {"cat": 40, "dog": 20, "ox": 12})
    data = made(tmp_path, tmp_path / "data", val_share=0.1, test_share=0.25)
    images = data.images()
    assert data.label_names == ["cat", "dog", "ox"]
    counts = {split: torch.bincount(each.label).tolist() for split, each in images.items()}
    assert counts["test"] == [10, 5, 3]
    assert counts["val"] == [4, 2, 1]
    assert counts["train"] == [26, 13, 8]
    every = [number for split in SPLITS for number in numbers(data, split)]
    assert sorted(every) == list(range(72))
    for split, each in images.items():
        for number, label in zip(numbers(data, split), each.label.tolist(), strict=True):
            assert (number >= 40) + (number >= 60) == label
    assert numbers(made(tmp_path, tmp_path / "data", split_seed=1), "val") != numbers(data, "val")
    assert data.protocol["split"] == "val and test drawn by class"


def test_what_is_there_is_not_drawn(tmp_path: Path) -> None:
    data = made(tmp_path, tree(tmp_path / "data", train=COUNTS, test=COUNTS))
    assert sorted(numbers(data, "test")) == list(range(16, 32))
    assert sorted(numbers(data, "train") + numbers(data, "val")) == list(range(16))
    assert data.protocol["split"] == "val drawn by class"
    whole = made(tmp_path, tree(tmp_path / "data", val={"cat": 1, "dog": 1, "ox": 1}))
    assert numbers(whole, "train") == list(range(16))
    assert "split" not in whole.protocol


# pairs


@pytest.mark.usefixtures("same")
def test_rows_belong_to_their_images(tmp_path: Path) -> None:
    data = made(tmp_path, tree(tmp_path / "data", train=COUNTS, test=COUNTS), views=4)
    data.setup()
    assert (data.x_name, data.y_name) == ("view_a", "view_b")
    train, of_train = data.splits["train"], numbers(data, "train")
    twice = [number for number in of_train for _ in range(2)]
    assert rows(train.x) == rows(train.y) == [vector(number) for number in twice]
    assert train.x_of_y.tolist() == list(range(len(twice)))
    assert train.group.tolist() == [i for i in range(len(of_train)) for _ in range(2)]
    x, y = data.raw["train"].x, data.raw["train"].y
    assert x.number.tolist() == [0, 2] * len(of_train)  # type: ignore[attr-defined]
    assert y.number.tolist() == [1, 3] * len(of_train)  # type: ignore[attr-defined]
    for split in ("val", "test"):
        pairs, of_split = data.splits[split], numbers(data, split)
        assert rows(pairs.x) == rows(pairs.y) == [vector(number) for number in of_split]
        assert pairs.group.tolist() == pairs.x_of_y.tolist() == list(range(len(of_split)))
        assert pairs.label is not None
        assert pairs.label.tolist() == data.images()[split].label.tolist()
    probe = data.probe_train
    assert probe is not None
    assert rows(probe.x) == [vector(number) for number in of_train]
    assert probe.label.tolist() == data.images()["train"].label.tolist()


def test_views_are_augmented_and_images_are_not(tmp_path: Path) -> None:
    data = made(tmp_path, tree(tmp_path / "data", train=COUNTS, test=COUNTS))
    data.setup()
    for split in SPLITS:
        pairs = data.splits[split]
        for row in range(pairs.n_x):
            shown = data.describe_x(split, row)
            assert isinstance(shown, Image.Image)
            assert pairs.x[torch.tensor([row])][0].tolist() == MeanColour().vector(shown)
            view = data.raw[split].y.show(row)
            assert isinstance(view, Image.Image)
            assert pairs.y[torch.tensor([row])][0].tolist() == MeanColour().vector(view)
        assert rows(pairs.x) != rows(pairs.y)
    assert rows(data.splits["test"].x) == [vector(number) for number in numbers(data, "test")]
    assert rows(data.probe_train.x) == [vector(n) for n in numbers(data, "train")]  # type: ignore[union-attr]
    test = data.splits["test"]
    assert test.label is not None
    assert data.label_names is not None
    assert data.describe_y("test", 3) == f"{data.label_names[int(test.label[3])]}, a view of 3"


@pytest.mark.usefixtures("same")
def test_a_damaged_image_is_left_out_everywhere(tmp_path: Path) -> None:
    path = tree(tmp_path / "data", train=COUNTS, test=COUNTS)
    data = made(tmp_path, path, views=4, extreme=["brightness"])
    lost = numbers(data, "train")[2]
    for split, number in (("train", lost), ("test", 20)):
        (file,) = (path / split).rglob(f"{number:04d}.png")
        file.write_bytes(file.read_bytes()[:50])
    data.setup()
    kept = [number for number in numbers(data, "train") if number != lost]
    assert rows(data.splits["train"].x) == [vector(number) for number in kept for _ in range(2)]
    assert rows(data.splits["train"].y) == rows(data.splits["train"].x)
    assert rows(data.probe_train.x) == [vector(number) for number in kept]  # type: ignore[union-attr]
    sampled = torch.cat([batch.x_index for batch in data.train_dataloader()])
    assert sampled.sort().values.tolist() == list(range(2 * len(kept)))
    assert data.splits["test"].n_x == 15
    shifted = data.shifted["extreme_brightness"]
    assert (shifted.x.shape, len(shifted.label)) == ((15, 3), 15)
    assert torch.equal(shifted.label, data.splits["test"].label)  # type: ignore[arg-type]


@pytest.mark.parametrize("batches", ["random", "balanced"])
@pytest.mark.parametrize("positives", ["self", "class"])
@pytest.mark.usefixtures("same")
def test_batches(tmp_path: Path, batches: str, positives: str) -> None:
    path = tree(tmp_path / "data", train={"cat": 20, "dog": 8}, val={"cat": 2, "dog": 1}, test={"cat": 2, "dog": 1})
    data = made(tmp_path, path, views=4, batches=batches, positives=positives, batch_size=14)
    data.setup()
    label = data.splits["train"].label
    assert label is not None
    loaded = list(data.train_dataloader())
    assert [len(batch.x) for batch in loaded] == [14] * 4
    assert torch.cat([batch.x_index for batch in loaded]).sort().values.tolist() == list(range(56))
    for batch in loaded:
        assert torch.equal(batch.x_index, batch.y_index)
        expected = label[batch.x_index] if positives == "class" else batch.x_index // 2
        assert torch.equal(batch.x_group, expected)
        assert torch.equal(batch.y_group, expected)
        images = (batch.x_index // 2).tolist()
        assert all(images.count(image) == 2 for image in images)  # an image's views stay together
        if batches == "balanced":
            assert torch.bincount(label[batch.x_index]).tolist() == [10, 4]
    assert data.splits["test"].group.tolist() == ([0, 0, 1] if positives == "class" else [0, 1, 2])
    again = [batch.x_index.tolist() for batch in data.train_dataloader()]
    assert again == [batch.x_index.tolist() for batch in loaded]


# the cache, shifts, and mistakes


def test_what_is_extracted_again(tmp_path: Path) -> None:
    path = tree(tmp_path / "data", train=COUNTS, test=COUNTS)

    def encoded(**changes: Any) -> int:
        backbone = MeanColour()
        data = made(tmp_path, path, backbone, **changes)
        data.setup()
        data.setup()
        assert data.extracted_items == backbone.encoded
        return backbone.encoded

    views, clean = 2 * 12 + 4 + 16, 12 + 4 + 16
    assert encoded() == views + clean
    assert encoded() == 0
    assert encoded(batches="balanced", positives="class", seed=5) == 0
    assert encoded(view_seed=1) == views
    assert encoded(views=4) == 2 * 24
    assert encoded(extreme="all") == 3 * 16
    assert encoded(extreme=["large_erase"]) == 0


def test_shifted_test_sets(tmp_path: Path) -> None:
    path = tree(tmp_path / "data", train=COUNTS, test=COUNTS)
    data = made(tmp_path, path, corruptions=["brightness", "contrast"], extreme=["strong_crop"])
    data.setup()
    assert list(data.shifted) == ["brightness_1", "brightness_5", "contrast_1", "contrast_5", "extreme_strong_crop"]
    clean = rows(data.splits["test"].x)
    contrast = torch.tensor(rows(data.shifted["contrast_5"].x))
    assert torch.allclose(contrast, torch.tensor(clean), atol=1)  # of one colour: it stays
    assert rows(data.shifted["extreme_strong_crop"].x) == clean
    for severity, step in ((1, 0.05), (5, 0.3)):
        bright = torch.tensor(rows(data.shifted[f"brightness_{severity}"].x))
        value = torch.tensor(clean).amax(1)
        assert torch.allclose(bright.amax(1), (value + 255 * step).clamp(max=256), atol=1)
    assert "frost" not in made(tmp_path, path, corruptions="all").corruptions
    assert len(made(tmp_path, path, corruptions=["all"]).corruptions) == 18


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"views": 3}, "datamodule.views must be even and at least 2, got 3"),
        ({"views": 0}, "datamodule.views must be even and at least 2, got 0"),
        ({"severities": [6]}, "datamodule.severities must be from 1 to 5, got 6"),
        ({"view_seed": -1}, "datamodule.view_seed must be from 0 to 4294967295, got -1"),
        ({"corruptions": ["gausian_noise"]}, "unknown name 'gausian_noise' in datamodule.corruptions: did you mean"),
        ({"corruptions": ["frost"]}, "frost cannot be generated, it needs photographs of frost; leave it out, or put"),
        ({"extreme": "blur"}, "unknown name 'blur' in datamodule.extreme"),
        ({"val_share": 1.0}, "datamodule.val_share must be above 0 and below 1, got 1.0"),
        ({"val_share": 0.5, "test_share": 0.5}, "leave nothing to train: 0.5 \\+ 0.5"),
        ({"at": "backbone"}, "MeanColour does not tell its size: set datamodule.at=native"),
        ({"val_share": 0.01}, "datamodule.val_share=0.01 of 16 images draws none: raise it, or put images into"),
    ],
)
def test_mistakes(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tree(tmp_path / "data", train=COUNTS, test=COUNTS)
    with pytest.raises(UserError, match=message):
        made(tmp_path, path, **changes).prepare_data()


def test_views_at_the_size_of_the_backbone(tmp_path: Path) -> None:
    backbone = MeanColour()
    backbone.size = 80  # type: ignore[assignment]
    data = made(tmp_path, tree(tmp_path / "data", train=COUNTS, test=COUNTS), backbone, at="backbone")
    data.prepare_data()
    assert data.raw["train"].x[0].size == (80, 80)
    assert data.raw["test"].x[0].size == (32, 32)


def test_a_setup_that_fails_can_be_repeated(tmp_path: Path) -> None:
    path = tree(tmp_path / "data", train=COUNTS, test=COUNTS)
    for file in (path / "test").rglob("*.png"):
        noisy(side=16).save(file)
    data = made(tmp_path, path, corruptions=["fog"])
    for _ in range(2):
        with pytest.raises(UserError, match="for images of 32 x 32; got one of 16 x 16"):
            data.setup()
    data.corruptions = []
    data.setup()
    assert data.shifted == {}


@pytest.fixture
def composed() -> Callable[..., DictConfig]:
    def make(*overrides: str) -> DictConfig:
        with initialize_config_module("configs", version_base="1.3"):
            return compose("train", overrides=list(overrides))

    return make


def test_the_config_gives_every_argument(composed: Callable[..., DictConfig], tmp_path: Path) -> None:
    path = tree(tmp_path / "data", train=COUNTS)
    config = composed("datamodule=image_folder", f"datamodule.path={path}", "datamodule.corruptions=all")
    check(config_without_run(config))
    data = instantiate(config.datamodule)
    assert isinstance(data, ImageFolderDataModule)
    assert (data.views, data.at, data.severities, data.extreme) == (2, "native", [1, 3, 5], [])
    data.prepare_data()
    with pytest.raises(UserError, match=r"unknown datamodule\.at 'bakbone': did you mean 'backbone'"):
        check(
            config_without_run(composed("datamodule=image_folder", f"datamodule.path={path}", "datamodule.at=bakbone"))
        )


def test_the_sample_experiment(composed: Callable[..., DictConfig], tmp_path: Path) -> None:
    tree(tmp_path / "unpacked", train=COUNTS, test=COUNTS)
    config = composed("experiment=cifar10_sample", f"data_dir={tmp_path}")
    assert config.name == "cifar10_sample"
    data = instantiate(config.datamodule)
    data.prepare_data()
    assert data.raw["test"].n_x == 16


def config_without_run(config: DictConfig) -> DictConfig:
    """The names that a run fills in."""
    config.name = config.aligner_name = config.run_dir = "a"
    return config


@pytest.mark.skipif(not REAL.exists(), reason=f"needs the CIFAR-10 JPEG files, {REAL.name}")
def test_the_jpeg_tree(tmp_path: Path) -> None:
    per_class: Counter[str] = Counter()
    with tarfile.open(REAL) as archive:
        for member in archive:
            folder = member.name.rpartition("/")[0]
            if member.isfile() and per_class[folder] < 20:
                per_class[folder] += 1
                path = tmp_path / "data" / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.extractfile(member).read())  # type: ignore[union-attr]
    data = made(tmp_path, tmp_path / "data", val_share=0.1)
    data.setup()
    assert [data.splits[split].n_x for split in SPLITS] == [180, 20, 200]
    assert torch.bincount(data.splits["val"].label).tolist() == [2] * 10  # type: ignore[arg-type]
    assert data.label_names == CLASSES
