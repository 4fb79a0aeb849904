"""WebDataset shards: which members make a sample, read in place, and every mistake in its one line."""

import gzip
import io
import json
import logging
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from datamodules.formats.tar_samples import expanded, shards
from datamodules.items.audio import AudioFiles
from datamodules.items.items import ImageFiles, Unreadable
from datamodules.items.tar_members import AudioMembers, ImageMembers, Spans, listed
from datamodules.pairs.splits import SPLITS
from datamodules.webdataset import WebDatasetDataModule
from ground.errors import UserError
from tests.datamodules.own_files import arguments, picture, sound

Members = dict[str, bytes | str | dict[str, Any]]


def tar(path: Path, members: Members, form: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            if name.endswith("/"):
                entry.type = tarfile.DIRTYPE
                file.addfile(entry)
                continue
            content = json.dumps(content) if isinstance(content, dict) else content
            data = content.encode() if isinstance(content, str) else content
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return path


def sample(i: int, **facts: Any) -> Members:
    """Picture i with a text of i + 1 letters."""
    members: Members = {f"{i:03d}.png": picture(i), f"{i:03d}.txt": "a" * (i + 1) + "\n"}
    return members | ({f"{i:03d}.json": facts} if facts else {})


def numbered(numbers: range, **facts: Any) -> Members:
    """Samples of these numbers, with the facts that functions of the number give."""
    members: Members = {}
    for i in numbers:
        members |= sample(i, **{name: fact(i) for name, fact in facts.items()})
    return members


def third(i: int) -> str:
    return SPLITS[i % 3]


def shard_data(path: Path | str, folder: Path, **changes: Any) -> WebDatasetDataModule:
    return WebDatasetDataModule(path=str(path), **arguments(folder, **changes))


def texts(data: WebDatasetDataModule) -> dict[str, list[str]]:
    return {name: pairs.y.strings for name, pairs in data.read().items()}  # type: ignore[attr-defined]


def test_rows_of_features_are_the_members_of_their_key(tmp_path: Path) -> None:
    tar(tmp_path / "shards" / "0.tar", numbered(range(7), split=third, label=lambda i: i % 2, group=lambda i: i // 4))
    tar(
        tmp_path / "shards" / "1.tar",
        numbered(range(7, 12), split=third, label=lambda i: i % 2, group=lambda i: i // 4),
    )
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


def test_draws_are_by_group_and_seed(tmp_path: Path) -> None:
    path = tar(tmp_path / "0.tar", numbered(range(20), group=lambda i: f"g{i // 2}"))
    drawn = [texts(shard_data(path, tmp_path, split_seed=seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert {name: len(split) for name, split in drawn[0].items()} == {"train": 12, "val": 4, "test": 4}
    for split in drawn[0].values():
        numbers = {len(text) - 1 for text in split}
        assert numbers == {i ^ 1 for i in numbers}  # both of a group


@pytest.mark.parametrize("members", [1, 6, 15])
@pytest.mark.parametrize("more", [0, 300, 512, 514, 1000])
def test_what_a_truncated_tar_still_holds_is_used(
    members: int, more: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, cut = tar(tmp_path / "whole.tar", numbered(range(10))), tmp_path / "cut.tar"
    length = 1024 * members + more  # each member is a header and a block; the padding of its data may lack
    cut.write_bytes(whole.read_bytes()[:length])
    expected = [name for name, start, size in listed(whole) if start + size <= length]
    assert [name for name, _, _ in listed(cut)] == expected
    assert ("cut.tar is not whole" in caplog.text) == (more > 0)


def test_a_tar_damaged_in_its_middle_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tar(tmp_path / "0.tar", numbered(range(10)))
    data = bytearray(path.read_bytes())
    data[2048 * 6 : 2048 * 6 + 512] = b"x" * 512  # the header of the seventh image
    path.write_bytes(bytes(data))
    found = texts(shard_data(path, tmp_path))
    assert sum(map(len, found.values())) == 6
    assert "0.tar is not whole (damaged at byte 12,288): what comes before is used" in caplog.text


def spans_of(path: Path) -> Spans:
    members = list(listed(path))
    numbers = torch.tensor([[0, start, size] for _, start, size in members]).reshape(-1, 3).numpy()
    return Spans([path], *numbers.T, [name for name, _, _ in members])


def test_members_are_decoded_as_files_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    upright = io.BytesIO()
    Image.effect_noise((12, 8), 50).save(upright, "jpeg", exif=exif)
    contents = {"a.png": picture(5), "b.jpg": upright.getvalue(), "c.wav": sound(3)}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    spans = spans_of(tar(tmp_path / "0.tar", dict(contents)))
    members, files = ImageMembers(spans, "m"), ImageFiles([tmp_path / name for name in contents], "f")
    for i in range(2):
        assert members[i].tobytes() == files[i].tobytes()
        assert members.show(i).tobytes() == files.show(i).tobytes()
    assert members[1].size == (8, 12)
    assert members[1].filename == f"{tmp_path / '0.tar'}: b.jpg"
    clip, expected = AudioMembers(spans, "m")[2], AudioFiles([tmp_path / "c.wav"], "f")[0]
    assert (clip.samples.tolist(), clip.rate, clip.notes) == (expected.samples.tolist(), 16_000, expected.notes)
    for items, i in ((members, 2), (AudioMembers(spans, "m"), 0)):
        with pytest.raises(Unreadable, match=r"0\.tar: .*cannot be decoded") as caught:
            items[i]
        assert "\n" not in str(caught.value)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contents=st.lists(st.binary(max_size=1500), min_size=1, max_size=6),
    order=st.permutations(range(6)),
)
def test_bytes_and_fingerprints_of_members(contents: list[bytes], order: list[int], tmp_path: Path) -> None:
    members = ImageMembers(spans_of(tar(tmp_path / "0.tar", {f"{i}.png": c for i, c in enumerate(contents)})), "m")
    assert [members.content(i) for i in range(len(members))] == contents
    order = [i for i in order if i < len(contents)]
    taken = members.take(torch.tensor(order))
    assert [taken.content(i) for i in range(len(taken))] == [contents[i] for i in order]
    assert (taken.fingerprint == members.fingerprint) == ([contents[i] for i in order] == contents)
    repacked = tar(tmp_path / "1.tar", {"x": "more", **{f"k{i}": contents[i] for i in order}})
    names = torch.arange(1, len(order) + 1)
    assert ImageMembers(spans_of(repacked), "other").take(names).fingerprint == taken.fingerprint
    assert AudioMembers(members.spans, "m").fingerprint != members.fingerprint
    assert len(members.take(torch.arange(0)).fingerprint) == 64


def test_a_tar_that_changes_while_in_use_is_an_error(tmp_path: Path) -> None:
    path = tar(tmp_path / "0.tar", {"0.png": picture(0)})
    members = ImageMembers(spans_of(path), "pairs train image")
    assert len(members.fingerprint) == 64
    tar(path, {"0.png": picture(1)})
    with pytest.raises(UserError, match=r"pairs train image: .*0\.tar: 0\.png changed while it was in use"):
        members[0]
    path.unlink()
    with pytest.raises(UserError, match=r"0\.tar is gone"):
        members[0]


def test_unreadable_members_are_skipped_with_their_texts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    members = numbered(range(9), split=third)
    members["003.png"] = picture(3)[:30]
    path = tar(tmp_path / "0.tar", members)
    data = shard_data(path, tmp_path)
    data.setup()
    assert data.splits["train"][torch.arange(2)].y[:, -1].tolist() == [1, 7]
    assert f"webdataset train image: 1 of 3 items (33.33%) cannot be read and are skipped: {path}: 003" in caplog.text


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
