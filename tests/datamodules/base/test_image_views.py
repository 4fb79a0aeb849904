"""Views of images as pairs, the images themselves, and shifted test sets."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from datamodules.pairs.splits import SPLITS
from ground.errors import UserError
from tests.datamodules.fakes import MeanColour
from tests.datamodules.image_folders import COUNTS, made, numbers, rows, tree, vector
from tests.datamodules.image_layouts import noisy


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
