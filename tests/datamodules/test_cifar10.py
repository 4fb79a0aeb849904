"""CIFAR-10 and CIFAR-10-C from files in the official formats, of 100 and 20 images."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from torchvision.datasets import CIFAR10

from datamodules import cifar10
from datamodules.cifar10 import CIFAR10DataModule
from datamodules.pairs.splits import SPLITS
from ground.errors import UserError
from tests.datamodules.fakes import CharacterCounts, MeanColour, common
from tests.datamodules.image_layouts import CLASSES, cifar_pickles, cifar_pixels, colour


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cifar_pickles(tmp_path / "data", monkeypatch)
    monkeypatch.setattr(cifar10, "TEST_IMAGES", 20)
    return tmp_path / "data"


def made(path: Path, backbone: MeanColour | None = None, **changes: Any) -> CIFAR10DataModule:
    arguments = {
        "path": str(path), "download": False, "val_share": 0.1, "split_seed": 0, "views": 2, "view_seed": 0,
        "pairs": "views", "policy": "simclr", "at": "native", "positives": "self", "batches": "random",
        "corruptions": [], "severities": [1, 5], "extreme": [],
    }  # fmt: skip
    return CIFAR10DataModule(
        backbone or MeanColour(), CharacterCounts(), **(arguments | common(path.parent, shard_size=64) | changes)
    )


def which(features: Any) -> list[int]:
    """The number of each image, by its colour; -1 where it is another's."""
    known = {tuple(1.0 + value for value in colour(number)): number for number in range(120)}
    return [known.get(tuple(row), -1) for row in features[torch.arange(features.shape[0])].tolist()]


def corrupted_files(path: Path, names: list[str]) -> None:
    """Files in the format of CIFAR-10-C: at severity s, test image i has ``colour(i + 20 (s - 1))``."""
    (path / "CIFAR-10-C").mkdir()
    for name in names:
        np.save(path / "CIFAR-10-C" / f"{name}.npy", cifar_pixels(range(100)))
    np.save(path / "CIFAR-10-C" / "labels.npy", np.tile(np.arange(100, 120) % 10, 5).astype(np.uint8))


def test_images_and_classes(official: Path) -> None:
    data = made(official)
    data.setup()
    assert data.label_names == CLASSES
    numbers = {split: which(data.splits[split].x) for split in ("val", "test")}
    assert data.probe_train is not None
    numbers["train"] = which(data.probe_train.x)
    assert numbers["test"] == list(range(100, 120))
    assert numbers["train"] == sorted(numbers["train"])
    assert sorted(numbers["train"] + numbers["val"]) == list(range(100))
    for split in SPLITS:
        label = data.splits[split].label
        assert label is not None
        assert label.tolist() == [number % 10 for number in numbers[split]]
    assert torch.bincount(data.splits["val"].label).tolist() == [1] * 10  # type: ignore[arg-type]
    assert data.protocol["dataset"] == "CIFAR-10"
    assert "generated_corruptions" not in data.protocol


def test_another_seed_draws_another_val(official: Path) -> None:
    vals = [made(official, split_seed=seed).images()["val"].items.fingerprint for seed in (0, 0, 1)]
    assert vals[0] == vals[1] != vals[2]


def test_the_golden_numbers() -> None:
    layout = made(Path("data"), views=4).layout
    assert layout.golden == [{"train": (90_000, 90_000), "val": (5_000, 5_000), "test": (10_000, 10_000)}]


@pytest.mark.parametrize("damage", ["no folder", "no file", "changed"])
def test_files_that_are_not_the_official_ones(official: Path, damage: str) -> None:
    base = official / CIFAR10.base_folder
    match damage:
        case "no folder":
            base.rename(official / "elsewhere")
        case "no file":
            (base / "data_batch_3").unlink()
        case "changed":
            content = pickle.loads((base / "test_batch").read_bytes())
            content["labels"][0] = 1
            (base / "test_batch").write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=r"cifar-10-batches-py.*set data_dir .*download=true.*image_folder") as error:
        made(official).prepare_data()
    assert "\n" not in str(error.value)


def test_a_download_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: CIFAR10) -> None:
        raise OSError("no\nnetwork")

    monkeypatch.setattr(CIFAR10, "download", refused)
    with pytest.raises(UserError, match=r"CIFAR-10 cannot be had in .*: no network"):
        made(tmp_path, download=True).prepare_data()
    with pytest.raises(UserError, match="no folder"):  # nothing is fetched unless asked
        made(tmp_path).prepare_data()


def test_corrupted_images_from_the_files(official: Path) -> None:
    corrupted_files(official, ["fog", "frost"])
    data = made(official, corruptions=["fog", "brightness", "frost"])
    data.setup()
    assert list(data.shifted) == [f"{name}_{s}" for name in ("fog", "brightness", "frost") for s in (1, 5)]
    for name in ("fog", "frost"):
        for severity in (1, 5):
            shifted = data.shifted[f"{name}_{severity}"]
            assert which(shifted.x) == [i + 20 * (severity - 1) for i in range(20)]
            assert torch.equal(shifted.label, data.splits["test"].label)  # type: ignore[arg-type]
    assert set(which(data.shifted["brightness_5"].x)) == {-1}
    assert data.protocol["generated_corruptions"] == "brightness"
    assert len(made(official, corruptions="all").corruptions) == 19


def test_frost_needs_its_file(official: Path) -> None:
    with pytest.raises(UserError, match=r"frost cannot be generated.*put CIFAR-10-C into"):
        made(official, corruptions=["frost"])
    assert "frost" not in made(official, corruptions="all").corruptions


@pytest.mark.parametrize("damage", ["cut short", "shape", "labels", "no labels"])
def test_damaged_files_of_corrupted_images(official: Path, damage: str) -> None:
    corrupted_files(official, ["fog"])
    folder = official / "CIFAR-10-C"
    match damage:
        case "cut short":
            data = (folder / "fog.npy").read_bytes()
            (folder / "fog.npy").write_bytes(data[: len(data) // 2])
            message = r"fog\.npy cannot be read"
        case "shape":
            np.save(folder / "fog.npy", cifar_pixels(range(99)))
            message = r"fog\.npy must be uint8 \(100, 32, 32, 3\), got uint8 \(99, 32, 32, 3\)"
        case "labels":
            np.save(folder / "labels.npy", np.zeros(20, dtype=np.uint8))
            message = r"labels\.npy must hold 100 labels, got \(20,\)"
        case _:
            (folder / "labels.npy").unlink()
            message = r"labels\.npy cannot be read"
    with pytest.raises(UserError, match=message):
        made(official, corruptions=["fog"]).setup()


def test_the_config_gives_every_argument(official: Path) -> None:
    with initialize_config_module("configs", version_base="1.3"):
        config = compose("train", overrides=["datamodule=cifar10", f"data_dir={official}"])
    data = instantiate(config.datamodule)
    assert isinstance(data, CIFAR10DataModule)
    data.prepare_data()
    assert [data.raw[split].n_x for split in SPLITS] == [90, 10, 20]
