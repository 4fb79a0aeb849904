"""The bundled images and captions as a datamodule, through backbones that take no time."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from PIL import Image

from datamodules.clipart import ClipartDataModule
from datamodules.pairs.splits import SPLITS
from ground.errors import UserError
from tests.datamodules.fakes import CharacterCounts, MeanColour, common


def made(folder: Path, **changes: Any) -> tuple[ClipartDataModule, MeanColour, CharacterCounts]:
    image, text = MeanColour(), CharacterCounts()
    sizes = {"shard_size": 256, "batch_size": 128, "eval_batch_size": 512}
    data = ClipartDataModule(image, text, **common(folder, **(sizes | changes)))
    return data, image, text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data(folder: Path) -> ClipartDataModule:
    data, image, text = made(folder)
    data.prepare_data()
    data.setup("fit")
    assert (image.encoded, text.encoded) == (1500, 3040)
    return data


def test_sizes_names_and_protocol(data: ClipartDataModule) -> None:
    assert [data.splits[name].n_x for name in SPLITS] == [988, 205, 307]
    assert [data.splits[name].n_y for name in SPLITS] == [2003, 413, 624]
    assert data.dims == (3, 27)
    assert (data.x_name, data.y_name) == ("image", "text")
    protocol = data.protocol
    assert protocol["dataset"] == "clipart (bundled)"
    assert str(protocol["image_backbone"]).startswith("MeanColour ")
    assert str(protocol["text_backbone"]).startswith("CharacterCounts ")
    assert data.feature_seconds > 0


def test_groups_are_titles_and_cross_no_split(data: ClipartDataModule) -> None:
    groups = [set(data.splits[name].group.tolist()) for name in SPLITS]
    assert list(map(len, groups)) == [817, 178, 258]
    assert len(set().union(*groups)) == 1253
    for pairs in data.splits.values():
        assert bool(pairs[torch.arange(pairs.n_x)].positives.any(1).all())


def test_labels_are_categories(data: ClipartDataModule) -> None:
    assert data.label_names is not None
    assert data.label_names == sorted(set(data.label_names))
    for name, pairs in data.splits.items():
        assert pairs.label is not None
        assert len(pairs.label) == pairs.n_x
        for row in range(0, pairs.n_x, 37):
            assert data.label_names[int(pairs.label[row])] == data.raw[name].x.paths[row].parent.name  # type: ignore[attr-defined]


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_shown_is_what_was_encoded(data: ClipartDataModule, split: str) -> None:
    pairs = data.splits[split]
    for row in torch.randperm(pairs.n_x, generator=torch.Generator().manual_seed(0))[:10].tolist():
        batch = pairs[torch.tensor([row])]
        picture = data.describe_x(split, row)
        assert isinstance(picture, Image.Image)
        assert (picture.mode, picture.size) == ("RGB", (128, 128))
        assert batch.x[0].tolist() == MeanColour().vector(picture)
        captions = [data.describe_y(split, int(y)) for y in batch.y_index]
        assert captions == [record for record in data.records if record["split"] == split][row]["captions"]
        assert batch.y.tolist() == [CharacterCounts().vector(caption) for caption in captions]


def test_a_second_setup_extracts_nothing(data: ClipartDataModule, folder: Path) -> None:
    again, image, text = made(folder)
    again.setup("test")
    assert (image.encoded, text.encoded) == (0, 0)
    every = torch.arange(data.splits["test"].n_x)
    assert torch.equal(again.splits["test"][every].y, data.splits["test"][every].y)
    splits = dict(again.splits)
    seconds = again.feature_seconds
    again.setup("fit")
    assert all(again.splits[name] is splits[name] for name in SPLITS)
    assert again.feature_seconds == seconds


def test_a_setup_that_fails_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again, image, _ = made(tmp_path)
    vector = image.vector
    monkeypatch.setattr(image, "vector", lambda item: [float("nan")] * 3)
    with pytest.raises(UserError, match="contain NaN or Inf"):
        again.setup("fit")
    assert again.splits == {}
    monkeypatch.setattr(image, "vector", vector)
    again.setup("fit")
    assert list(again.splits) == list(SPLITS)


def test_a_missing_image_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again, _, _ = made(tmp_path)
    lost = next(record for record in again.records if record["split"] == "test")
    lost["image"] = "lost.webp"
    again.setup("fit")
    assert again.missing == {"test": (1, 0)}
    assert again.protocol["test_image_missing"] == 1
    assert again.splits["test"].n_y == 624 - len(lost["captions"])
    strict, _, _ = made(tmp_path, strict=True)
    strict.records = again.records
    with pytest.raises(UserError, match=r"test: 306 of 307 image files are there, 1 are missing, .*lost\.w"):
        strict.prepare_data()


def test_some_of_the_training_items(data: ClipartDataModule, folder: Path) -> None:
    rows = []
    for seed in (0, 0, 1):
        fewer, _, _ = made(folder, train_items=50, seed=seed)
        fewer.setup("fit")
        assert [fewer.splits[name].n_x for name in SPLITS] == [50, 205, 307]
        train = fewer.splits["train"]
        assert sorted(set(train.x_of_y.tolist())) == list(range(50))
        rows.append(train.x[torch.arange(50)])
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
    whole = data.splits["train"]
    assert {tuple(row) for row in rows[0].tolist()} <= {tuple(row) for row in whole.x[torch.arange(988)].tolist()}


def test_batches(data: ClipartDataModule) -> None:
    sizes = [(len(batch.x), len(batch.y)) for batch in data.train_dataloader()]
    assert len(sizes) == 8
    assert [sum(column) for column in zip(*sizes, strict=True)] == [988, 2003]
    assert [len(batch.x) for batch in data.val_dataloader()] == [205]
    assert sum(len(batch.y) for batch in data.test_dataloader()) == 624


def test_the_config_gives_every_argument(tmp_path: Path) -> None:
    with initialize_config_module("configs", version_base="1.3"):
        config = compose("train", overrides=["datamodule=clipart", f"cache_dir={tmp_path}"], return_hydra_config=False)
    arguments = set(config.datamodule) - {"_target_", "image_backbone", "text_backbone"}
    assert arguments == set(common(tmp_path))
