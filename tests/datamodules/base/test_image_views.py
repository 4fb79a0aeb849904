"""Views of images as pairs, the images themselves, and shifted test sets."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from datamodules.image_folder import ImageFolderDataModule
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


def test_a_policy_is_of_the_training_views_alone(tmp_path: Path) -> None:
    path = tree(tmp_path / "data", train=COUNTS, test=COUNTS)
    plain, bright = (made(tmp_path, path, policy=policy) for policy in ("simclr", "brightness"))
    for data in (plain, bright):
        data.setup()
    brighter = [rows(data.splits["train"].x) + rows(data.splits["train"].y) for data in (bright, plain)]
    assert torch.tensor(brighter[0]).mean() > torch.tensor(brighter[1]).mean() + 20
    for split in ("val", "test"):  # and its x are the clean images
        assert rows(bright.splits[split].y) == rows(plain.splits[split].y)
        assert rows(bright.splits[split].x) == rows(plain.splits[split].x)
    assert rows(bright.probe_train.x) == rows(plain.probe_train.x)  # type: ignore[union-attr]
    assert bright.protocol["policy"] == "brightness"


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


def partners_of(data: ImageFolderDataModule) -> list[tuple[int, int]]:
    """The numbers of the two images of each training pair, by the colours of their features."""
    known = {tuple(vector(number)): number for number in range(60)}
    pairs = data.splits["train"]
    x, y = ([known[tuple(row)] for row in rows(part)] for part in (pairs.x, pairs.y))
    return [(x[i], y[j]) for j, i in enumerate(pairs.x_of_y.tolist())]


@pytest.mark.parametrize("views", [2, 4])
@pytest.mark.parametrize("batches", ["random", "balanced"])
@pytest.mark.usefixtures("same")
def test_pairs_of_two_different_images(tmp_path: Path, batches: str, views: int) -> None:
    path = tree(tmp_path / "data", train={"cat": 12, "dog": 10, "ox": 8}, val=COUNTS, test=COUNTS)
    label = {number: 0 if number < 12 else 1 if number < 22 else 2 for number in range(30)}

    def fitted_on(**changes: Any) -> ImageFolderDataModule:
        changes = {"pairs": "images", "batches": batches, "views": views, "batch_size": 15} | changes
        data = made(tmp_path, path, **changes)
        data.setup()
        return data

    data = fitted_on()
    found = partners_of(data)
    assert all(a != b for a, b in found)
    assert sorted(a for a, _ in found) == sorted(b for _, b in found) == sorted([*range(30)] * (views // 2))
    assert len(set(found)) == len(found)  # another partner each time
    one_class = [label[a] == label[b] for a, b in found]
    # within 1/3 of the pairs by chance: 9.7 of 29 others are of one's class
    assert all(one_class) if batches == "balanced" else 0.05 < sum(one_class) / len(one_class) < 0.65
    # labels are those of x
    pairs = data.splits["train"]
    assert pairs.label is not None
    assert [label[int(number)] for number in numbers(data, "train") for _ in range(views // 2)] == pairs.label.tolist()
    loaded = list(data.train_dataloader())
    for batch in loaded:
        assert torch.equal(batch.x_group, batch.x_index // (views // 2))
        assert torch.equal(batch.y_group, batch.x_group[torch.searchsorted(batch.x_index, pairs.x_of_y[batch.y_index])])
        if batches == "balanced":
            counts = torch.bincount(pairs.label[batch.x_index], minlength=3)
            share = torch.tensor([12, 10, 8]) * len(batch.x) / 30
            assert (counts - share).abs().max() < views
    # what is drawn is drawn again, and with another seed anew
    assert partners_of(fitted_on()) == found != partners_of(fitted_on(seed=1))
    # what is judged is as under views
    seen = fitted_on(pairs="views")
    for split in ("val", "test"):
        assert data.splits[split].x_of_y.tolist() == seen.splits[split].x_of_y.tolist()
        assert rows(data.splits[split].y) == rows(seen.splits[split].y)
    assert data.probe_train is not None
    assert seen.probe_train is not None
    assert rows(data.probe_train.x) == rows(seen.probe_train.x)
    assert [data.protocol["pairs"], seen.protocol["pairs"]] == ["images", "views"]


@pytest.mark.usefixtures("same")
def test_a_view_is_described_by_its_own_image(tmp_path: Path) -> None:
    data = made(tmp_path, tree(tmp_path / "data", train=COUNTS, test=COUNTS), pairs="images", views=4)
    data.setup()
    names = [path.parent.name for path in data.images()["train"].items.paths]  # type: ignore[attr-defined]
    for row in range(data.splits["train"].n_y):
        assert data.describe_y("train", row) == f"{names[row // 2]}, a view of {row // 2}"


def test_pairs_of_images_that_cannot_be(tmp_path: Path) -> None:
    two = {"cat": 2, "dog": 2}
    path = tree(tmp_path / "data", train={"cat": 8, "dog": 1}, val=two, test=two)
    with pytest.raises(UserError, match=r"positives=class needs pairs of one class.* set datamodule.batches=balanced"):
        made(tmp_path, path, pairs="images", positives="class")
    with pytest.raises(UserError, match="1 of 2 classes to draw from have a single training"):
        made(tmp_path, path, pairs="images", positives="class", batches="balanced").prepare_data()
    made(tmp_path, path, pairs="images").prepare_data()


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
    assert encoded(pairs="images") == encoded(pairs="images", batches="balanced", seed=5) == 0
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
