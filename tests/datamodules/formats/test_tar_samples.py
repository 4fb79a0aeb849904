"""Which members make a sample, and which shards are read."""

import io
import logging
import re
import tarfile
from pathlib import Path

import pytest
import torch

from datamodules.formats.tar_samples import expanded, shards
from datamodules.pairs.splits import SPLITS
from ground.errors import UserError
from tests.datamodules.own_files import picture
from tests.datamodules.tars import Members, numbered, shard_data, tar, texts


def test_captions_of_json_and_of_txt(tmp_path: Path) -> None:
    kinds: list[Members] = [
        {".json": {"captions": ["one", " two ", "one", ""]}, ".txt": "not this"},
        {".txt": "\ufeffthree\r\n", ".json": {"caption": "not this"}},
        {".json": {"caption": "four", "text": "nor this"}},
        {".JSON": {"text": "five"}},
    ]
    members: Members = {}
    for i, kind in enumerate(kinds):
        members |= {f"a.b/{i}.jpg": picture(i)} | {f"a.b/{i}{extension}": part for extension, part in kind.items()}
    splits = [tar(tmp_path / f"{split}-0.tar", members) for split in SPLITS]
    assert len(splits) == 3
    data = shard_data(tmp_path / "*-0.tar", tmp_path)
    raw = data.read()
    assert data.protocol["split"] == "of the shards"
    for pairs in raw.values():
        assert pairs.y.strings == ["one", "two", "three", "four", "five"]  # type: ignore[attr-defined]
        assert pairs.x_of_y.tolist() == [0, 0, 1, 2, 3]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_odd_members(form: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    long = "ordner/" + "ä" * 40 + "/日本 🐈"
    members: Members = {
        "ordner/": "",
        "__MACOSX/000.png": b"no",
        "._000.png": b"no",
        ".DS_Store": b"no",
        f"{long}.png": picture(0),
        f"{long}.seg.png": b"no",
        f"{long}.txt": "long",
        "./late.txt": "late",
    }
    members |= numbered(range(1, 4)) | {"./late.png": picture(9)}
    path = tar(tmp_path / "0.tar", members, form)
    with tarfile.open(path, "a") as file:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "001.png"
        file.addfile(link)
    with caplog.at_level(logging.INFO):
        raw = shard_data(path, tmp_path).read()
    assert "members that are not used: 1 .seg.png" in caplog.text
    assert "not whole" not in caplog.text
    found = {}
    for pairs in raw.values():
        for j, i in enumerate(pairs.x_of_y.tolist()):
            found[str(pairs.y[j])] = pairs.x[i].convert("RGB").getpixel((0, 0))[0]
    assert found == {"long": 0, "aa": 1, "aaa": 2, "aaaa": 3, "late": 9}


def test_incomplete_samples_are_counted_and_the_first_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    members: Members = {"x.json": {"status": "failed"}} | numbered(range(6), label=lambda i: "ab"[i % 2])
    members |= {"006.png": picture(6), "007.txt": "no image", "008.png": picture(8), "008.txt": " \n"}
    members |= {"009.png": picture(9), "009.txt": b"\xff\xfe", "010.png": picture(10), "010.json": "{"}
    members |= {"011.png": picture(11), "011.json": {"captions": "a"}}
    members |= {"012.png": picture(12), "012.txt": "c", "012.json": {"label": [1]}}
    members |= {"013.png": picture(13), "013.txt": "no label"}
    members |= {"014.png": picture(14), "014.txt": "of a class", "014.cls": "c\n"}
    path = tar(tmp_path / "0.tar", members)
    data = shard_data(path, tmp_path)
    found = sorted(text for split in texts(data).values() for text in split)
    assert found == ["a", "aa", "aaa", "aaaa", "aaaaa", "aaaaaa", "of a class"]
    assert data.label_names == ["a", "b", "c"]
    assert "9 of 16 samples are not complete and left out" in caplog.text
    assert f"the first is {path}: x, without image, label, text" in caplog.text


def test_a_key_in_two_shards_is_two_samples_and_twice_in_one_the_later(tmp_path: Path) -> None:
    for k, split in enumerate(SPLITS):
        for n in range(2):
            number = 2 * k + n
            tar(tmp_path / split / f"{n}.tar", {"key.png": picture(number), "key.txt": f"{split} {n}"})
    with tarfile.open(tmp_path / "train" / "0.tar", "a") as file:
        entry = tarfile.TarInfo("key.txt")
        entry.size = 5
        file.addfile(entry, io.BytesIO(b"later"))
    data = shard_data(tmp_path, tmp_path)
    assert texts(data) == {
        "train": ["later", "train 1"], "val": ["val 0", "val 1"], "test": ["test 0", "test 1"]
    }  # fmt: skip
    data.setup()
    assert data.splits["val"][torch.arange(2)].x[:, 0].tolist() == [3, 4]


@pytest.mark.parametrize(
    ("pattern", "whole"),
    [
        ("a", ["a"]),
        ("{08..11}", ["08", "09", "10", "11"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{a,b}-{0..1}", ["a-0", "a-1", "b-0", "b-1"]),
        ("{a{0..1},c}", ["a0", "a1", "c"]),
        ("{train-{000..001},val-{000..000}}.tar", ["train-000.tar", "train-001.tar", "val-000.tar"]),
    ],
)
def test_ranges(pattern: str, whole: list[str]) -> None:
    assert expanded(pattern) == set(whole)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("{0..1000000}.tar", "{0..1000000} is a range of 1,000,001 shards, the most are 1,000,000"),
        ("{0..9999}{0..9999}.tar", "is more than 1,000,000 shards"),
        ("a**b.tar", "a**b.tar cannot be read: Invalid pattern"),
        ("x" * 300, "cannot be read: [Errno 36] File name too long"),
        ("a.tar\0", "no shard at"),
    ],
)
def test_patterns_that_cannot_be_meant(pattern: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        shards(str(tmp_path / pattern))


def test_shards_by_range_glob_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / "s" / name for name in ("000.tar", "001.tar", "sub/002.tar")]
    for path in [*paths, tmp_path / "s" / "._000.tar", tmp_path / "s" / "notes.txt"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert shards(str(tmp_path / "s" / "{000..001}.tar")) == paths[:2]
    assert shards(str(tmp_path / "s" / "00?.tar")) == paths[:2]
    assert shards(str(tmp_path / "s" / "**" / "0*.tar")) == paths
    assert shards(str(tmp_path / "s")) == paths
    assert shards(str(paths[2])) == paths[2:]
    monkeypatch.chdir(tmp_path)
    assert shards("s/*/*.tar") == [Path("s/sub/002.tar")]
