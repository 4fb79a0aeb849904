"""Flickr30K in all its layouts, through backbones that take no time."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from datamodules.flickr30k import Flickr30KDataModule, read_token
from datamodules.pairs.splits import SPLITS
from ground.errors import UserError
from tests.datamodules.fakes import CharacterCounts, MeanColour, common
from tests.datamodules.layouts import Made, assert_reads, flickr30k


def module(folder: Path, **changes: Any) -> Flickr30KDataModule:
    arguments: dict[str, Any] = {
        "data_dir": str(folder), "split": "karpathy", "split_seed": 0, "annotations": "auto", "captions": "all",
        "caption_seed": 0,
    }  # fmt: skip
    return Flickr30KDataModule(MeanColour(), CharacterCounts(), **arguments | common(folder) | changes)


def ready(folder: Path, **changes: Any) -> Flickr30KDataModule:
    data = module(folder, **changes)
    data.setup()
    return data


def usable(images: list[Made], split: str) -> list[Made]:
    return [image for image in images if image.split == split and image.state == "there"]


@pytest.mark.parametrize("name", ["flickr30k-images", "flickr30k_images"])
def test_karpathy(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    images = flickr30k(tmp_path, images=name)
    with caplog.at_level(logging.WARNING):
        data = ready(tmp_path)
    assert list(data.splits) == list(SPLITS)
    for split in SPLITS:
        assert_reads(data, split, usable(images, split))
    assert [data.splits[split].n_x for split in SPLITS] == [16, 3, 4]
    assert data.missing == {"train": (1, 0), "test": (1, 0)}
    assert "flickr30k train images: 1 of 17 items (5.88%) cannot be read" in caplog.text
    assert data.protocol | {"dataset": "flickr30k", "split": "karpathy", "captions": "all"} == data.protocol
    assert data.protocol["captions_per_item"] == "4 to 6"
    assert data.protocol["train_image_missing"] == 1
    assert "no positives" in str(data.protocol["equal_captions"])
    assert "split_seed" not in data.protocol
    assert "caption_seed" not in data.protocol


def test_equal_captions_of_different_images_stay_different(tmp_path: Path) -> None:
    flickr30k(tmp_path)
    data = ready(tmp_path)
    pairs = data.splits["train"]
    same = [row for row in range(pairs.n_y) if data.describe_y("train", row).startswith("The same words")]
    assert len(same) == 2
    assert len(set(pairs.y_group[same].tolist())) == 2


def test_a_missing_file_is_an_error_where_strict(tmp_path: Path) -> None:
    images = flickr30k(tmp_path)
    missing = next(image for image in images if image.state == "missing")
    with pytest.raises(UserError, match=rf"train: 17 of 18 image files are there.*{missing.name}"):
        module(tmp_path, strict=True).prepare_data()


@pytest.mark.parametrize("annotations", ["json", "token"])
def test_paper_draws_from_all_images(tmp_path: Path, annotations: str) -> None:
    made = {image.name: image for image in flickr30k(tmp_path)}
    data = ready(tmp_path, split="paper", annotations=annotations, captions="first", split_seed=2)
    names = {split: [path.name for path in data.raw[split].x.paths] for split in SPLITS}  # type: ignore[attr-defined]
    for split in SPLITS:
        pairs = data.splits[split]
        assert pairs.x[torch.arange(pairs.n_x)][:, 0].tolist() == [made[name].grey + 1 for name in names[split]]
        assert [data.describe_y(split, row) for row in range(pairs.n_y)] == [
            made[name].captions[0] for name in names[split]
        ]
        assert data.raw[split].x.name == f"flickr30k {split} images"
    every = [name for each in names.values() for name in each]
    assert len(every) == len(set(every)) == 23
    assert set(every) == {image.name for image in made.values() if image.state == "there"}
    assert data.protocol["captions_per_item"] == "1"
    assert data.protocol["split_seed"] == 2
    # the draw is the seed's, and does not depend on which files are there
    (tmp_path / "flickr30k-images" / names["train"][0]).unlink()
    again = ready(tmp_path, split="paper", annotations=annotations, split_seed=2)
    assert [path.name for path in again.raw["test"].x.paths] == names["test"]  # type: ignore[attr-defined]
    assert [path.name for path in again.raw["train"].x.paths] == names["train"][1:]  # type: ignore[attr-defined]
    other = ready(tmp_path, split="paper", annotations=annotations, split_seed=3)
    assert [path.name for path in other.raw["test"].x.paths] != names["test"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("n", "sizes"),
    [(31783, (25426, 3178, 3179)), (31014, (24811, 3101, 3102)), (10, (8, 1, 1)), (19, (15, 1, 3)), (26, (20, 2, 4))],
)
def test_sizes_of_the_paper_split(tmp_path: Path, n: int, sizes: tuple[int, int, int]) -> None:
    assert tuple(module(tmp_path, split="paper").sizes("all", n).items()) == tuple(zip(SPLITS, sizes, strict=True))


def test_auto_takes_the_json_or_what_is_there(tmp_path: Path) -> None:
    flickr30k(tmp_path / "token", ["token"])
    flickr30k(tmp_path / "both")
    orders = {}
    for folder in ("token", "both"):
        read = module(tmp_path / folder, split="paper").read()
        assert list(read) == ["all"]
        orders[folder] = [path.name for path in read["all"].x.paths]  # type: ignore[attr-defined]
    assert sorted(orders["token"]) == sorted(orders["both"])
    # the token file is in its own order, splits come one after another
    assert orders["token"] == sorted(orders["token"])
    assert orders["both"] != sorted(orders["both"])


def test_random_captions_are_the_seeds(tmp_path: Path) -> None:
    made = {image.name: image for image in flickr30k(tmp_path)}

    def texts(seed: int) -> list[str]:
        raw = module(tmp_path, captions="random", caption_seed=seed).read()["train"]
        assert raw.x_of_y.tolist() == list(range(18))
        return [raw.y[i] for i in range(raw.n_y)]

    data = ready(tmp_path, captions="random", caption_seed=3)
    assert data.protocol["caption_seed"] == 3
    shown = {split: [data.describe_y(split, row) for row in range(data.splits[split].n_y)] for split in SPLITS}
    for split in SPLITS:
        for path, text in zip(data.raw[split].x.paths, shown[split], strict=True):  # type: ignore[attr-defined]
            assert text in made[path.name].captions
    assert texts(3) == texts(3)
    assert texts(3) != texts(4)
    assert texts(3) != [image.captions[0] for image in made.values() if image.split == "train" and image.captions]
    # the file that is missing and the one that is damaged do not move the draw of the others
    assert set(shown["train"]) < set(texts(3))


def test_the_mean_of_all_captions(tmp_path: Path) -> None:
    images = flickr30k(tmp_path)
    data = ready(tmp_path, captions="mean")
    for split in SPLITS:
        kept = usable(images, split)
        pairs = data.splits[split]
        by_hand = [
            torch.tensor([CharacterCounts().vector(text) for text in image.captions]).double().mean(0).float()
            for image in kept
        ]
        torch.testing.assert_close(pairs.y[torch.arange(pairs.n_y)], torch.stack(by_hand))
        assert pairs.x_of_y.tolist() == list(range(len(kept)))
        assert [data.describe_y(split, row) for row in range(pairs.n_y)] == [
            " / ".join(image.captions) for image in kept
        ]
    assert data.protocol["captions_per_item"] == "1, the mean of 4 to 6"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"split": "karpaty"}, "unknown datamodule.split 'karpaty': did you mean 'karpathy'"),
        ({"captions": "frist"}, "unknown datamodule.captions 'frist': did you mean 'first'"),
        ({"annotations": "tokens"}, "unknown datamodule.annotations 'tokens': did you mean 'token'"),
        ({"annotations": "token"}, "results_20130124.token has no splits: set datamodule.annotations=json"),
    ],
)
def test_arguments_out_of_their_range(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        module(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "file"),
    [
        ({}, "dataset_flickr30k.json"),
        ({"split": "paper"}, "dataset_flickr30k.json"),
        ({"split": "paper", "annotations": "token"}, "results_20130124.token"),
    ],
)
def test_annotations_that_are_not_there(tmp_path: Path, changes: dict[str, Any], file: str) -> None:
    with pytest.raises(UserError, match=f"there is no .*{file}; ask for the images .*DenotationGraph") as raised:
        module(tmp_path, **changes).prepare_data()
    assert "\n" not in str(raised.value)


def test_images_that_are_not_there(tmp_path: Path) -> None:
    flickr30k(tmp_path)
    for path in (tmp_path / "flickr30k-images").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="the train split has no pair whose files are there; ask for"):
        module(tmp_path).prepare_data()


def test_too_few_images_to_draw_from(tmp_path: Path) -> None:
    (tmp_path / "results_20130124.token").write_text("".join(f"{i}.jpg#0\ta\n" for i in range(9)))
    with pytest.raises(UserError, match="at least 10 images with captions, got 9"):
        module(tmp_path, split="paper").prepare_data()


@pytest.mark.parametrize("line", ["1.jpg#0 a dog", "1.jpg\ta dog", "#0\ta dog", "1.jpg#\ta dog", "1.jpg#b\ta dog", "a"])
def test_a_line_that_is_no_token_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "results_20130124.token"
    path.write_text(f"0.jpg#0\ta dog\n\n{line}\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"results_20130124\.token, line 3: not 'IMAGE.jpg#0<tab>caption' but"
    ) as raised:
        read_token(path, tmp_path)
    assert "\n" not in str(raised.value)


def test_odd_token_files(tmp_path: Path) -> None:
    path = tmp_path / "results_20130124.token"
    path.write_bytes("\ufeffa#b.jpg#0\tone\ttwo \u2028 \r three\r\nb.jpg#0\tx\r\na#b.jpg#1\tfour".encode())
    first, second = read_token(path, tmp_path)
    assert (first.path, first.captions, first.caption_ids) == (tmp_path / "a#b.jpg", ["one two three", "four"], [0, 2])
    assert (second.path, second.image_id, second.captions) == (tmp_path / "b.jpg", 1, ["x"])
    path.write_bytes(b"a.jpg#0\t\xff\n")
    with pytest.raises(UserError, match="cannot be read"):
        read_token(path, tmp_path)


def test_layout(tmp_path: Path) -> None:
    layout = module(tmp_path).layout
    assert layout.folders == [tmp_path / "flickr30k-images"]
    assert [sum(x for x, _ in edition.values()) for edition in layout.golden] == [31014, 31783]
    assert all(y == 5 * x for edition in layout.golden for x, y in edition.values())
    paper = module(tmp_path, split="paper", captions="first").layout.golden
    assert paper == [{"all": (31783, 31783)}, {"all": (31014, 31014)}]


@pytest.mark.parametrize("split", ["karpathy", "paper"])
def test_golden_numbers_are_of_what_read_names(tmp_path: Path, split: str) -> None:
    flickr30k(tmp_path)
    data = module(tmp_path, split=split)
    assert all(list(edition) == list(data.read()) for edition in data.layout.golden)


def test_the_config_gives_every_argument(tmp_path: Path) -> None:
    with initialize_config_module("configs", version_base="1.3"):
        config = compose("train", overrides=["datamodule=flickr30k", f"data_dir={tmp_path}"])
    data = instantiate(config.datamodule)
    assert isinstance(data, Flickr30KDataModule)
    assert data.data_dir == tmp_path
    assert (data.split, data.captions, data.annotations) == ("karpathy", "all", "auto")
