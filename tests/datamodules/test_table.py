"""Tables of pairs: what belongs to what, and which item a row of features is."""

import logging
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from torch.nn.functional import normalize

from datamodules.pairs.splits import SPLITS
from tests.datamodules.own_files import media, third
from tests.datamodules.tables import captioned, table, written


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media(tmp_path_factory.mktemp("media"), 12)


def test_an_image_in_several_rows_is_one_x_with_as_many_y(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        {"image": image, "text": letter * (int(image[-5]) + 1), "split": third(int(image[-5]))}
        for letter in "abc"
        for image in ("0.png", "1.png", "./2.png", "3.png", "4.png", "5.png")
    ]
    rows += [rows[0], {"image": str(folder / "3.png"), "text": "aaaa", "split": "train"}]  # both again
    rows.append({"image": "3.png", "text": "a", "split": "train"})  # as image 0 has it
    data = table(written(folder / "many.csv", rows))
    with caplog.at_level(logging.INFO):
        data.setup()
    assert "many.csv: 2 rows repeat a pair and count once" in caplog.text
    assert {name: (pairs.n_x, pairs.n_y) for name, pairs in data.splits.items()} == {
        "train": (2, 7), "val": (2, 6), "test": (2, 6)
    }  # fmt: skip
    train = data.splits["train"]
    batch = train[torch.tensor([1, 0])]
    assert batch.x[:, 0].tolist() == [4, 1]
    assert batch.y[:, -1].tolist() == [4, 4, 4, 1, 1, 1, 1]  # lengths of the captions
    assert batch.positives.tolist() == [[True] * 4 + [False] * 3, [False] * 4 + [True] * 3]
    assert [data.describe_y("train", j) for j in range(7)] == ["a", "aaaa", "b", "bbbb", "c", "cccc", "a"]
    assert data.describe_x("train", 1).getpixel((0, 0)) == (3, 0, 0)  # type: ignore[attr-defined]
    assert (data.x_name, data.y_name, data.protocol["split"]) == ("image", "text", "of the table")


@pytest.mark.parametrize(
    ("columns", "names", "dims"),
    [
        (("text", "image"), ("image", "text"), (3, 27)),
        (("text", "audio"), ("audio", "text"), (2, 27)),
        (("audio", "image"), ("image", "audio"), (3, 2)),
    ],
)
def test_any_two_modalities(
    folder: Path, columns: tuple[str, str], names: tuple[str, str], dims: tuple[int, int]
) -> None:
    cells = {"image": "{}.png", "audio": "{}.wav", "text": "number {}"}
    rows = [{name: cells[name].format(i) for name in columns} | {"split": third(i)} for i in range(9)]
    data = table(written(folder / f"{'_'.join(columns)}.csv", rows))
    data.setup()
    assert (data.x_name, data.y_name, data.dims) == (*names, dims)
    first = {"image": lambda i: i + 1, "audio": lambda i: 16_000 + i, "text": lambda i: 0}
    for k, split in enumerate(SPLITS):
        pairs = data.splits[split]
        batch = pairs[torch.arange(pairs.n_x)]
        assert batch.x[:, 0].tolist() == [first[names[0]](i) for i in range(k, 9, 3)]
        assert batch.y[:, 0].tolist() == [first[names[1]](i) for i in range(k, 9, 3)]
        assert batch.positives.equal(torch.eye(3, dtype=torch.bool))


def test_images_that_share_a_sound_are_one_group_and_the_sound_one_item(folder: Path) -> None:
    links = [(0, 0), (1, 0), (1, 1), (2, 1), (3, 3), (4, 4), (5, 4), (6, 6), (7, 7)]  # 0, 1, 2 are linked
    rows = [{"image": f"{i}.png", "audio": f"{j}.wav"} for i, j in links]
    data = table(written(folder / "shared.csv", rows))
    data.setup()
    groups = []
    for pairs in data.splits.values():
        batch = pairs[torch.arange(pairs.n_x)]
        for group in batch.x_group.unique():
            x = [int(v) - 1 for v in batch.x[batch.x_group == group, 0]]
            y = [int(v) - 16_000 for v in batch.y[batch.y_group == group, 0]]
            groups.append((x, y))
    assert sorted(groups) == [([0, 1, 2], [0, 1]), ([3], [3]), ([4, 5], [4]), ([6], [6]), ([7], [7])]


def test_groups_labels_and_a_drawn_split(folder: Path) -> None:
    domains = ("photo", "art", "sign")
    rows = captioned(12, group=lambda i: i // 2, label=lambda i: (10, 9, 100)[i % 3], domain=lambda i: domains[i // 4])
    splits = []
    for seed in (0, 0, 1):
        data = table(written(folder / "grouped.csv", rows), split_seed=seed)
        splits.append({name: {p.name for p in raw.x.paths} for name, raw in data.read().items()})  # type: ignore[attr-defined]
    data.setup()
    assert data.label_names == ["9", "10", "100"]
    assert {name: pairs.n_x for name, pairs in data.splits.items()} == {"train": 8, "val": 2, "test": 2}
    assert splits[0] == splits[1] != splits[2]
    for pairs in data.splits.values():
        batch = pairs[torch.arange(pairs.n_x)]
        number = batch.x[:, 0].long() - 1
        assert batch.positives.equal(number[:, None] // 2 == batch.y[None, :, -1].long().sub(1) // 2)
        assert pairs.label is not None
        assert pairs.label.tolist() == [(1, 0, 2)[i % 3] for i in number.tolist()]
        assert pairs.domain is not None
        assert [sorted(domains)[i] for i in pairs.domain.tolist()] == [domains[i // 4] for i in number.tolist()]
    assert data.protocol["split"] == "drawn by group, seed 1"


def test_a_missing_val_is_drawn_from_train_and_other_spellings_are_read(folder: Path) -> None:
    rows = captioned(10, split=lambda i: "Test" if i < 2 else "train")
    raw = table(written(folder / "no_val.csv", rows)).read()
    assert {name: pairs.n_x for name, pairs in raw.items()} == {"train": 6, "val": 2, "test": 2}
    assert {path.name for path in raw["test"].x.paths} == {"0.png", "1.png"}  # type: ignore[attr-defined]
    rows = captioned(4, split=lambda i: ("train", "validation", "dev", "test")[i])
    raw = table(written(folder / "spelled.csv", rows)).read()
    assert {name: pairs.n_x for name, pairs in raw.items()} == {"train": 1, "val": 2, "test": 1}


def test_labels_that_are_words(folder: Path) -> None:
    rows = captioned(6, split=third, label=lambda i: ("zebra", "10", "ant")[i // 2])
    data = table(written(folder / "words.csv", rows))
    raw = data.read()
    assert data.label_names == ["10", "ant", "zebra"]
    assert [pairs.label.tolist() for pairs in raw.values() if pairs.label is not None] == [[2, 0], [2, 1], [0, 1]]


def test_one_class_alone_is_no_label(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = captioned(6, split=third, label=lambda i: "cat" if i % 3 == 0 else "dog")
    raw = table(written(folder / "cats.csv", rows)).read()
    assert [pairs.label for pairs in raw.values()] == [None] * 3
    assert "labels are not used: all of train is of one class" in caplog.text


def test_missing_and_broken_files_leave_the_others_with_theirs(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    media(folder / "sub", 9)
    (folder / "sub" / "3.png").unlink()
    (folder / "sub" / "6.png").write_bytes(b"no image")
    data = table(written(folder / "sub" / "holes.csv", captioned(9, split=third)))
    data.setup()
    assert data.missing == {"train": (1, 0)}
    assert "train: 2 of 3 image files are there, 1 are missing" in caplog.text
    assert "holes train image: 1 of 2 items" in caplog.text
    batch = data.splits["train"][torch.arange(1)]
    assert (batch.x[:, 0].tolist(), batch.y[:, -1].tolist()) == ([1], [1])
    assert data.protocol["train_image_missing"] == 1


@pytest.mark.parametrize("path", ["~nobody/x.png", "a" * 300 + "/x.png", "\ud800/x.png", "\0/x.png", "x" * 300])
def test_a_path_that_cannot_be_is_a_missing_file(path: str, folder: Path) -> None:
    rows = [*captioned(9), {"image": path, "text": "b"}]
    data = table(written(folder / "pairs.jsonl", rows))
    data.prepare_data()
    assert sum(sum(each) for each in data.missing.values()) == 1
    assert sum(raw.n_x for raw in data.raw.values()) == 9


def test_an_image_whose_sound_is_lost_is_left_out(folder: Path) -> None:
    media(folder / "mute", 9)
    (folder / "mute" / "3.wav").unlink()
    (folder / "mute" / "6.wav").write_bytes(b"no sound")
    rows = [{"image": f"{i}.png", "audio": f"{i}.wav", "split": third(i)} for i in range(9)]
    data = table(written(folder / "mute" / "pairs.csv", rows))
    data.setup()
    batch = data.splits["train"][torch.arange(data.splits["train"].n_x)]
    assert (batch.x[:, 0].tolist(), batch.y[:, 0].tolist()) == ([1], [16_000])
    assert data.describe_x("train", 0).getpixel((0, 0)) == (0, 0, 0)  # type: ignore[attr-defined]


def test_by_its_config_with_real_backbones(tmp_path: Path) -> None:
    animals = Path(__file__).parents[2] / "datamodules" / "clipart_data" / "images" / "animals"
    names = ["kitten", "dolphin", "butterfly", "rabbit", "amoeba", "altum-angelfish"]
    rows = [{"image": str(animals / f"{names[i]}.webp"), "text": f"a {names[i]}", "split": third(i)} for i in range(6)]
    path = written(tmp_path / "pairs.csv", rows)
    with initialize_config_module("configs", version_base="1.3"):
        overrides = ["datamodule=table", f"datamodule.path='{path}'", f"cache_dir='{tmp_path}'"]
        data = instantiate(compose("train", overrides).datamodule)
    data.setup()
    assert data.dims == (1280, 384)
    assert {name: (pairs.n_x, pairs.n_y) for name, pairs in data.splits.items()} == dict.fromkeys(SPLITS, (2, 2))
    images = torch.cat([pairs[torch.arange(2)].x for pairs in data.splits.values()])
    cosines = normalize(images - images.mean(0)) @ normalize(images - images.mean(0)).T
    assert bool((cosines.fill_diagonal_(0) < 0.95).all())  # six pictures, six features
