"""The datamodule of class folders: its splits, its mistakes, its config."""

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

from datamodules.image_folder import ImageFolderDataModule
from datamodules.pairs.splits import SPLITS
from ground.errors import UserError
from ground.values import check
from tests.datamodules.image_folders import COUNTS, made, numbers, tree
from tests.datamodules.image_layouts import CLASSES, class_folders

REAL = Path(__file__).parents[3] / "shared" / "data" / "cifar10_jpeg.tar"


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


def test_a_tree_for_each_domain(tmp_path: Path) -> None:
    root = tmp_path / "data"
    class_folders(root / "photo", {"cat": 8, "dog": 4}, 0)
    for split, start in (("train", 12), ("test", 32)):  # of one domain the splits are given
        class_folders(root / "art" / split, {"cat": 10, "dog": 10}, start)
    data = made(tmp_path, root, domains=True, views=4)
    assert sum(len(numbers(data, split)) for split in SPLITS) == 52
    data.setup()
    assert data.label_names == ["cat", "dog"]
    for split in SPLITS:
        pairs, each = data.splits[split], numbers(data, split)
        each = [number for number in each for _ in range(pairs.n_x // len(each))]
        assert pairs.domain is not None
        assert pairs.domain.tolist() == [int(number < 12) for number in each]  # sorted: art, photo
        assert pairs.label is not None
        assert pairs.label.tolist() == [int(8 <= n < 12 or 22 <= n < 32 or n >= 42) for n in each]
    assert data.domain_train is not None
    assert data.domain_train.label.tolist() == [int(number < 12) for number in numbers(data, "train")]
    assert data.protocol["domains"] == "art, photo"
    (root / "photo" / "cat").rename(root / "photo" / "cow")
    with pytest.raises(UserError, match=r"the classes of the domains in .* differ: photo has no images of 'cat'"):
        made(tmp_path, root, domains=True).prepare_data()
    with pytest.raises(UserError, match=r"has no two folders of domains, DOMAIN/CLASS/IMAGE: set datamodule\.domains"):
        made(tmp_path, tree(tmp_path / "plain", train=COUNTS), domains=True).prepare_data()


def test_what_is_there_is_not_drawn(tmp_path: Path) -> None:
    data = made(tmp_path, tree(tmp_path / "data", train=COUNTS, test=COUNTS))
    assert sorted(numbers(data, "test")) == list(range(16, 32))
    assert sorted(numbers(data, "train") + numbers(data, "val")) == list(range(16))
    assert data.protocol["split"] == "val drawn by class"
    whole = made(tmp_path, tree(tmp_path / "data", val={"cat": 1, "dog": 1, "ox": 1}))
    assert numbers(whole, "train") == list(range(16))
    assert "split" not in whole.protocol


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
