"""WebDataset shards, odd and damaged, and patterns of their names: samples as they were written, or one line."""

import gzip
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from datamodules.formats.tar_samples import shards
from datamodules.pairs.splits import SPLITS
from datamodules.webdataset import WebDatasetDataModule
from tests.datamodules.own_files import picture, third
from tests.datamodules.tars import shard_data
from tests.fuzz.edits import Edit, edited, edits, number_of, planted
from tests.fuzz.outcome import outcome, share

N = 9
TEXT = "this is the text of {} and no other"
WORDS = [b"\0", b"\xff", b"ustar", b"/", b".", b"7", b"0000000", b"77777777777", b"\x80", b"5", b"1", b"L", b"x", b"g"]
NAMES = [
    "{}", "./{}", "a/{}", "a.b/{}", "/{}", "../{}", "é/{}", "x" * 120 + "/{}", ".hidden/{}", "a b/{}", "a\nb/{}",
    "__MACOSX/{}", "\udcff/{}", "//{}",
]  # fmt: skip
FACTS: list[Any] = [
    None, 0, True, [], {}, "", " ", "\0", "\ud800", "train", "x" * 5000, 10**400, 1.5, float("nan"), ["a"], [None],
    ["a", 1], "a\nb",
]  # fmt: skip
RAW = [b"", b"[]", b"1", b"{", b"\xff", b"[" * 5000, b'{"text":' * 5000, b"\xef\xbb\xbf{}", b'{"a":1,"a":2}', b"null"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


PICTURES = [picture(i) for i in range(N)]


def members(numbers: list[int], facts: bool) -> list[tuple[str, bytes]]:
    """Names and bytes of the members of these samples."""
    some = []
    for number in numbers:
        name = planted(number)
        some += [(f"{name}.png", PICTURES[number]), (f"{name}.txt", TEXT.format(name).encode())]
        if facts:
            record = {"split": third(number), "label": f"L{number}"}
            some.append((f"{name}.json", json.dumps(record).encode()))
    return some


def tar(some: list[tuple[str, bytes]], form: int, kinds: dict[int, bytes]) -> bytes:
    """A tar of the members; ``kinds`` makes some of them links, folders and the like."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as file:
        for i, (name, content) in enumerate(some):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            if i in kinds:
                entry.type, entry.linkname = kinds[i], "elsewhere"
            file.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def assert_planted(data: WebDatasetDataModule, whole: bool) -> None:
    for split, raw in data.raw.items():
        numbers = [number_of(raw.x.file_name(i), "{}.png") for i in range(raw.n_x)]  # type: ignore[attr-defined]
        for text, x in zip(raw.y.strings, raw.x_of_y.tolist(), strict=True):  # type: ignore[attr-defined]
            number = number_of(text, TEXT)
            if number is not None and numbers[x] is not None:
                assert number == numbers[x]
        if whole and "split" in data.facts and any(third(n) == "val" for n in numbers if n is not None):
            assert {third(n) for n in numbers if n is not None} == {split}


def assert_features(data: WebDatasetDataModule, undamaged: bool) -> None:
    for split in SPLITS:
        pairs, raw = data.splits[split], data.raw[split]
        x, y = pairs.x[torch.arange(pairs.n_x)], pairs.y[torch.arange(pairs.n_y)]
        assert bool(x.isfinite().all())
        assert bool(y.isfinite().all())
        for row, owner in enumerate(pairs.x_of_y.tolist()):
            number = number_of(raw.y.strings[row], TEXT)  # type: ignore[attr-defined]
            if undamaged and number is not None:
                assert int(x[owner, 0]) - 1 == number


def read(path: Path, extract: bool, whole: bool) -> WebDatasetDataModule:
    data = shard_data(path, path.parent)
    data.prepare_data()
    assert_planted(data, whole)
    if extract:
        data.setup()
        assert_features(data, whole)
    return data


place = st.integers(0, 40)


@share(0.11)
@given(
    numbers=st.permutations(range(N)) | st.permutations(range(N)) | st.lists(st.integers(0, N - 1), max_size=12),
    facts=st.booleans(), form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT]),
    names=st.lists(st.tuples(place, st.sampled_from(NAMES)), max_size=2),
    records=st.lists(st.tuples(place, st.sampled_from(["captions", "caption", "text", "split", "group", "label"]),
                               st.sampled_from(FACTS)), max_size=2),
    raw=st.lists(st.tuples(place, st.sampled_from(RAW)), max_size=1), lost=st.sets(place, max_size=2),
    kinds=st.dictionaries(place, st.sampled_from([tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE,
                                                  tarfile.GNUTYPE_SPARSE, b"Z", b"V"]), max_size=1),
    changes=edits(WORDS), second=st.integers(0, 27), extract=st.integers(0, 15).map(lambda i: i == 0),
    packed=st.integers(0, 30).map(lambda i: i == 0),
    shard_names=st.sampled_from([("0", "1"), ("train-0", "test-0"), ("a", "train")]),
)  # fmt: skip
def test_shards(
    folder: Path, numbers: list[int], facts: bool, form: int, names: list[tuple[int, str]],
    records: list[tuple[int, str, Any]], raw: list[tuple[int, bytes]], lost: set[int], kinds: dict[int, bytes],
    changes: list[Edit], second: int, extract: bool, packed: bool, shard_names: tuple[str, str],
) -> None:  # fmt: skip
    some = members(numbers, facts)
    for i, key, value in records:
        if i < len(numbers):
            some.append((f"{planted(numbers[i])}.json", json.dumps({key: value}).encode()))
    for i, content in raw:
        if i < len(some):
            some[i] = (some[i][0], content)
    for i, form_of_name in names:
        if i < len(some):
            some[i] = (form_of_name.format(some[i][0]), some[i][1])
    some = [each for i, each in enumerate(some) if i not in lost]
    whole = not (names or records or raw or lost or kinds or changes or packed)
    path = folder / "shards"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        contents = [tar(part, form, kinds) for part in (some[: -second or None], some[-second:] if second else [])]
    except (ValueError, UnicodeError):  # USTAR has not every name
        contents = [tar(part, tarfile.PAX_FORMAT, {}) for part in (members(numbers, facts), [])]
    contents[0] = edited(contents[0], changes)
    if packed:
        contents[1] = gzip.compress(contents[1])
    for name, content in zip(shard_names, contents, strict=True):
        (path / f"{name}.tar").write_bytes(content)
    try:
        data = outcome("shards", lambda: read(path, extract, whole))
    finally:
        shutil.rmtree(folder / "cache", ignore_errors=True)
    if whole and data is not None and second % (2 + facts) == 0:
        distinct = len(set(numbers))
        if len(numbers) == distinct:  # a key that stands in two shards is two samples
            assert sum(each.n_x for each in data.raw.values()) == distinct


PARTS = [
    "{0..3}", "{000..012}", "{0..99999999}", "{3..1}", "{a,b}", "{", "}", "{}", "{,}", "{0..}", "*", "**", "?", "[",
    "]", "[a-", "[!0]", "0", "train", ".tar", ".tar.gz", "/", "//", "..", ".", "~", "~nobody", "\0", "\n", "é",
    "a" * 300,
    "http://", "file://", ",", "$HOME", "\udcff",
]  # fmt: skip


@share(0.02)
@given(parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=5))
def test_patterns(folder: Path, parts: list[str]) -> None:
    path = folder / "named"
    path.mkdir(exist_ok=True)
    (path / "train0.tar").write_bytes(b"")
    found = outcome("pattern of shards", lambda: shards(f"{path}/{''.join(parts)}"))
    assert found is None or all(each.is_file() for each in found)
