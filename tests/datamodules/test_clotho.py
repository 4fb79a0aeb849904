"""Clotho's splits and its pairs, on small copies of both versions."""

import csv
import string
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module

from datamodules.clotho import ClothoDataModule
from datamodules.formats.clotho_files import read_captions
from datamodules.pairs.splits import SPLITS
from ground.errors import UserError
from tests.datamodules.cached import warned
from tests.datamodules.clotho_layout import SIZES, Sound, clotho, read_rows, write_captions, write_clotho
from tests.datamodules.fakes import common

REAL = Path(__file__).parents[3] / "shared" / "data" / "clotho"


def numbers(data: ClothoDataModule) -> dict[str, list[int]]:
    """The numbers of the clips of each split: as their features tell, checked against those of their captions."""
    told = {}
    for split in SPLITS:
        pairs = data.splits[split]
        batch = pairs[torch.arange(pairs.n_x)]
        told[split] = batch.x[:, 0].long().tolist()
        of_captions = dict(zip(batch.x_group.tolist(), told[split], strict=True))
        assert len(of_captions) == pairs.n_x  # each clip is a group of its own
        assert [of_captions[group] for group in batch.y_group.tolist()] == batch.y[:, 0].tolist()
    return told


def made(data: ClothoDataModule) -> ClothoDataModule:
    data.prepare_data()
    data.setup("fit")
    return data


def every(sounds: list[Sound]) -> list[int]:
    return [sound.number for sound in sounds]


def lose(sounds: list[Sound]) -> None:
    for sound in sounds:
        sound.path.unlink()


def test_version_2_is_its_folders(tmp_path: Path) -> None:
    sounds = write_clotho(tmp_path)
    data = made(clotho(tmp_path, tmp_path))
    assert numbers(data) == {
        split: every(sounds[folder]) for split, folder in zip(SPLITS, SIZES, strict=True)
    }  # fmt: skip
    assert [data.splits[split].n_y for split in SPLITS] == [55, 15, 25]
    assert data.dims == (2, 2)
    assert (data.x_name, data.y_name) == ("audio", "text")
    assert data.missing == {}
    protocol = data.protocol
    assert protocol["dataset"] == "clotho version 2"
    assert (protocol["split"], protocol["captions"], protocol["captions_per_item"]) == ("official", "all", "5")
    assert "split_seed" not in protocol
    sound = sounds["development"][3]
    assert [data.describe_y("train", 15 + k) for k in range(5)] == sound.captions
    assert data.describe_x("train", 3) == sound.path.stem


def test_version_1_draws_validation_from_development(tmp_path: Path) -> None:
    sounds = write_clotho(tmp_path, version=1)
    first = made(clotho(tmp_path, tmp_path))
    told = numbers(first)
    assert list(first.splits) == list(SPLITS)
    assert [len(told[split]) for split in SPLITS] == [9, 2, 5]  # 0.2 of 11 is 2
    assert sorted(told["train"] + told["val"]) == every(sounds["development"])
    assert told["test"] == every(sounds["evaluation"])
    assert first.protocol["dataset"] == "clotho version 1"
    assert first.protocol["split"] == "official, 0.2 of development is val"
    assert first.protocol["split_seed"] == 0
    assert numbers(made(clotho(tmp_path, tmp_path))) == told
    drawn = {tuple(numbers(made(clotho(tmp_path, tmp_path, split_seed=seed)))["val"]) for seed in range(4)}
    assert len(drawn) > 1
    # a clip that is not there yet changes the split of no other
    lost = next(sound for sound in sounds["development"] if sound.number in told["train"])
    lose([lost])
    fewer = numbers(made(clotho(tmp_path, tmp_path)))
    assert fewer["val"] == told["val"]
    assert fewer["train"] == [number for number in told["train"] if number != lost.number]


def test_missing_clips_are_counted_or_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sounds = write_clotho(tmp_path)
    lose(sounds["evaluation"][:3])
    data = made(clotho(tmp_path, tmp_path))
    assert numbers(data)["test"] == every(sounds["evaluation"])[3:]
    assert data.missing == {"evaluation": (3, 0)}
    assert data.protocol["evaluation_audio_missing"] == 3
    (line,) = [line for line in warned(caplog) if "missing" in line]
    assert line.startswith("evaluation: 2 of 5 audio files are there, 3 are missing")
    for split in ("official", "drawn"):
        with pytest.raises(UserError, match="evaluation: 2 of 5 audio files are there, 3 are missing"):
            clotho(tmp_path, tmp_path, strict=True, split=split).prepare_data()
    lose(sounds["evaluation"][3:])
    with pytest.raises(UserError, match=r"no evaluation clip is there: datamodule.split=drawn .*4783391/files/clotho"):
        clotho(tmp_path, tmp_path).prepare_data()


@pytest.mark.parametrize("version", [1, 2])
def test_drawn_splits_what_is_there(tmp_path: Path, version: int, caplog: pytest.LogCaptureFixture) -> None:
    sounds = write_clotho(tmp_path, version)
    lose(sounds["development"])
    lose(sounds["evaluation"][:1])
    there = [number for folder in sounds for number in every(sounds[folder]) if folder != "development"]
    there.remove(sounds["evaluation"][0].number)
    data = made(clotho(tmp_path, tmp_path, split="drawn"))
    told = numbers(data)
    assert sorted(told["train"] + told["val"] + told["test"]) == there
    assert [len(told[split]) for split in SPLITS] == ([2, 1, 1] if version == 1 else [4, 1, 2])
    assert data.protocol["split"] == "drawn from the clips there: 0.2 val, 0.3 test"
    assert (data.protocol["development_audio_missing"], data.protocol["evaluation_audio_missing"]) == (11, 1)
    assert "development: 0 of 11 audio files are there, 11 are missing" in " ".join(warned(caplog))
    assert numbers(made(clotho(tmp_path, tmp_path, split="drawn"))) == told
    others = [numbers(made(clotho(tmp_path, tmp_path, split="drawn", split_seed=seed))) for seed in range(1, 4)]
    assert any(other != told for other in others)
    for folder in ("validation", "evaluation"):
        lose([sound for sound in sounds.get(folder, []) if sound.path.exists()])
    with pytest.raises(UserError, match=r"needs 3 clips, 0 are there: mkdir -p .*zenodo"):
        clotho(tmp_path, tmp_path, split="drawn").prepare_data()


def test_drawn_needs_only_one_csv(root: Path) -> None:
    for folder in ("development", "evaluation"):
        (root / f"clotho_captions_{folder}.csv").unlink()
    data = made(clotho(root, root, split="drawn"))
    assert [len(told) for told in numbers(data).values()] == [1, 1, 1]


@pytest.mark.parametrize("captions", ["first", "random", "mean"])
def test_one_caption_of_each_clip(root: Path, captions: str) -> None:
    data = made(clotho(root, root, captions=captions))
    numbers(data)
    for split, size in zip(SPLITS, SIZES.values(), strict=True):
        pairs = data.splits[split]
        assert (pairs.n_x, pairs.n_y) == (size, size)
        places = pairs[torch.arange(size)].y[:, 1]
        expected = {"first": {1.0}, "mean": {3.0}, "random": set(places.tolist())}[captions]
        assert set(places.tolist()) == expected
    described = data.describe_y("val", 2)
    assert described.count("Clip 14, caption") == (5 if captions == "mean" else 1)
    assert data.protocol["captions"] == captions
    assert data.protocol["captions_per_item"] == ("1, the mean of 5" if captions == "mean" else "1")
    if captions == "random":
        other = made(clotho(root, root, captions=captions, caption_seed=1))
        assert other.protocol["caption_seed"] == 1
        texts = [[each.describe_y("train", i) for i in range(11)] for each in (data, other)]
        assert texts[0] != texts[1]


def test_empty_captions_are_left_out(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = root / "clotho_captions_validation.csv"
    rows = read_rows(path)
    rows[0][1], rows[0][5] = " \n", ""
    rows[1] = rows[1][:4]
    rows[2][1:] = [""] * 5
    write_captions(path, rows)
    raw = clotho(root, root).read()
    assert (raw["validation"].n_x, raw["validation"].n_y) == (3, 15)
    data = made(clotho(root, root))
    assert numbers(data)["val"] == [12, 13]
    assert data.splits["val"].n_y == 6
    assert "validation: 9 empty captions and 1 clips without a caption are left out" in warned(caplog)
    first = made(clotho(root, root, captions="first"))
    assert first.splits["val"][torch.arange(2)].y.tolist() == [[12, 2], [13, 1]]


def test_a_damaged_clip_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sounds = write_clotho(tmp_path)
    broken = sounds["development"][4]
    broken.path.write_bytes(broken.path.read_bytes()[:20])
    data = made(clotho(tmp_path, tmp_path))
    assert numbers(data)["train"] == [number for number in every(sounds["development"]) if number != broken.number]
    assert data.splits["train"].n_y == 50
    assert any("100%s {x}.wav" in line for line in warned(caplog))


def test_mistakes(root: Path) -> None:
    for change, message in (
        ({"split": "offical"}, "unknown datamodule.split 'offical': did you mean 'official'"),
        ({"captions": "al"}, "unknown datamodule.captions 'al': did you mean 'all'"),
        ({"val_share": 1.0}, "val_share must be above 0 and below 1, got 1.0"),
    ):
        with pytest.raises(UserError, match=message):
            clotho(root, root, **change)
    with pytest.raises(UserError, match=r"together below 1, got 0\.5 and 0\.5"):
        clotho(root, root, split="drawn", val_share=0.5, test_share=0.5).prepare_data()
    (root / "clotho_captions_validation.csv").rename(root / "captions.csv")
    with pytest.raises(UserError, match=r"validation is of version 2, whose .*validation\.csv is missing"):
        clotho(root, root).prepare_data()
    (root / "clotho_captions_evaluation.csv").unlink()
    with pytest.raises(UserError, match=r"no captions at .*evaluation\.csv: set data_dir, or get them: mkdir"):
        clotho(root, root).prepare_data()
    with pytest.raises(UserError, match=r"no captions at .*nowhere/clotho_captions_development\.csv: .*4783391"):
        clotho(root / "nowhere", root, split="drawn").prepare_data()


def test_the_config_gives_every_argument(tmp_path: Path) -> None:
    with initialize_config_module("configs", version_base="1.3"):
        config = compose("train", overrides=["datamodule=clotho", "data_dir=here"], return_hydra_config=False)
    own = {"data_dir", "split", "val_share", "test_share", "split_seed", "captions", "caption_seed"}
    assert set(config.datamodule) == own | set(common(tmp_path)) | {"_target_", "audio_backbone", "text_backbone"}
    assert config.datamodule.data_dir == "here"
    assert config.datamodule.audio_backbone._target_.startswith("backbones.log_mel")


@pytest.mark.skipif(not REAL.is_dir(), reason="the sample of Clotho is not beside the project")
def test_the_real_captions_and_seven_clips(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (REAL / "clotho_captions_evaluation.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    captions = read_captions(REAL / "clotho_captions_evaluation.csv")
    assert list(captions) == [row[0] for row in rows]
    assert not set("".join(captions)) - set(string.printable)
    data = clotho(REAL, tmp_path, split="drawn")
    data.prepare_data()
    assert data.version == 1
    assert data.missing == {"development": (2893, 0), "evaluation": (1038, 0)}
    assert "evaluation: 7 of 1,045 audio files are there, 1,038 are missing" in " ".join(warned(caplog))
    assert [(data.raw[split].n_x, data.raw[split].n_y) for split in SPLITS] == [(4, 20), (1, 5), (2, 10)]
    clips = data.raw["train"]
    for i in range(4):
        clip = clips.x[i]
        assert clip.rate == 44100
        assert 15 <= len(clip.samples) / 44100 <= 30
        own = [clips.y[int(row)] for row in (clips.x_of_y == i).nonzero()[:, 0]]
        assert own == captions[Path(clip.filename).name]
