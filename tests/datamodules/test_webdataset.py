"""WebDataset shards: a row of features is a member of its sample, and every mistake has its one line."""

import gzip
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from datamodules.pairs.splits import SPLITS
from datamodules.webdataset import WebDatasetDataModule
from ground.errors import UserError
from tests.datamodules.own_files import arguments, picture, sound, third
from tests.datamodules.tars import Members, numbered, sample, shard_data, tar, texts


def test_rows_of_features_are_the_members_of_their_key(tmp_path: Path) -> None:
    for shard, numbers_of in (("0.tar", range(7)), ("1.tar", range(7, 12))):
        members = numbered(
            numbers_of, split=third, label=lambda i: i % 2, group=lambda i: i // 4, domain=lambda i: "ba"[i % 2]
        )
        tar(tmp_path / "shards" / shard, members)
    data = shard_data(tmp_path / "shards", tmp_path)
    data.setup()
    assert (data.x_name, data.y_name, data.label_names) == ("image", "text", ["0", "1"])
    assert data.protocol["split"] == "of the samples"
    for k, split in enumerate(SPLITS):
        pairs, numbers = data.splits[split], torch.arange(k, 12, 3)
        batch = pairs[torch.arange(4)]
        assert (batch.x[:, 0] - 1).equal(numbers.float())
        assert (batch.y[:, -1] - 1).equal(numbers.float())
        assert batch.positives.equal(numbers[:, None] // 4 == numbers // 4)
        assert pairs.label is not None
        assert pairs.label.equal(numbers % 2)
        assert pairs.domain is not None
        assert pairs.domain.equal(1 - numbers % 2)
        assert data.describe_y(split, 2) == "a" * int(numbers[2] + 1)
        assert data.describe_x(split, 2).getpixel((0, 0)) == (int(numbers[2]), 0, 0)  # type: ignore[attr-defined]


def test_sound_in_wav_and_flac(tmp_path: Path) -> None:
    members: Members = {}
    for i in range(6):
        members |= {f"{i}.wav": sound(i), f"{i}.png": picture(i)}
    tar(tmp_path / "0.tar", members)
    data = shard_data(tmp_path / "0.tar", tmp_path)
    data.setup()
    assert (data.x_name, data.y_name, data.dims) == ("image", "audio", (3, 2))
    assert {name: pairs.n_x for name, pairs in data.splits.items()} == {"train": 4, "val": 1, "test": 1}
    for pairs in data.splits.values():
        batch = pairs[torch.arange(pairs.n_x)]
        assert (batch.x[:, 0] - 1).equal(batch.y[:, 0] - 16_000)
        assert batch.positives.equal(torch.eye(pairs.n_x, dtype=torch.bool))


def test_draws_are_by_group_and_seed(tmp_path: Path) -> None:
    path = tar(tmp_path / "0.tar", numbered(range(20), group=lambda i: f"g{i // 2}"))
    drawn = [texts(shard_data(path, tmp_path, split_seed=seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert {name: len(split) for name, split in drawn[0].items()} == {"train": 12, "val": 4, "test": 4}
    for split in drawn[0].values():
        numbers = {len(text) - 1 for text in split}
        assert numbers == {i ^ 1 for i in numbers}  # both of a group


def test_unreadable_members_are_skipped_with_their_texts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    members = numbered(range(9), split=third)
    members["003.png"] = picture(3)[:30]
    path = tar(tmp_path / "0.tar", members)
    data = shard_data(path, tmp_path)
    data.setup()
    assert data.splits["train"][torch.arange(2)].y[:, -1].tolist() == [1, 7]
    assert f"webdataset train image: 1 of 3 items (33.33%) cannot be read and are skipped: {path}: 003" in caplog.text


def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    def refused(path: Path | str, what: str) -> None:
        with pytest.raises(UserError, match=what) as caught:
            shard_data(path, tmp_path).read()
        assert "\n" not in str(caught.value)

    with pytest.raises(UserError, match=r"needs shards: set datamodule\.path"):
        WebDatasetDataModule(path=None, **arguments(tmp_path))
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", r"no \.tar at .*empty")
    refused(tmp_path / "no*.tar", r"no \.tar at")
    tar(tmp_path / "000.tar", numbered(range(4)))
    refused(tmp_path / "{000..002}.tar", r"no shard at .*001\.tar")
    packed = gzip.compress((tmp_path / "000.tar").read_bytes())
    for name in ("a.tar.gz", "a.tgz"):
        (tmp_path / name).write_bytes(packed)
        refused(tmp_path / name, "is compressed, .* decompress it to a .tar")
    for name, data in (("packed.tar", packed), ("text.tar", b"no tar at all" * 99), ("nothing.tar", b"")):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, rf"{name} is no tar, or a compressed one")
    one = tar(tmp_path / "one.tar", {"a.png": picture(0), "a.gif": b"", "b.png": picture(1)})
    refused(one, r"one\.tar: no sample holds two of image, audio, text; 'a' has image; extensions .*: gif")
    three = tar(tmp_path / "three.tar", sample(0) | {"000.wav": sound(0)})
    refused(three, r"'000' must hold exactly two of image, audio, text, got image, audio and text")
    refused(tar(tmp_path / "bad.tar", numbered(range(3), split=lambda i: ("train", "tset", "test")[i])),
            r"bad\.tar: 001\.png: unknown split 'tset': did you mean 'test'")  # fmt: skip
    refused(tar(tmp_path / "none.tar", numbered(range(3), split=lambda i: "train")), "nothing is of the test split")
    refused(tar(tmp_path / "few.tar", numbered(range(2))), r"2 group\(s\) cannot be split")
    tar(tmp_path / "mixed" / "train-0.tar", numbered(range(3)))
    tar(tmp_path / "mixed" / "more.tar", numbered(range(3)))
    refused(tmp_path / "mixed", r"more\.tar does not say its split, other shards do")


def test_by_its_config(tmp_path: Path) -> None:
    for k in range(2):
        tar(tmp_path / f"{k:03d}.tar", numbered(range(3 * k, 3 * k + 3)))
    with initialize_config_module("configs", version_base="1.3"):
        overrides = ["datamodule=webdataset", f"datamodule.path='{tmp_path}/{{000..001}}.tar'"]
        data = instantiate(compose("train", overrides).datamodule)
    assert {name: pairs.n_x for name, pairs in data.read().items()} == {"train": 4, "val": 1, "test": 1}
    assert (data.x_name, data.y_name) == ("image", "text")
