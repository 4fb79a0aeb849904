"""Tables of every format, damaged: pairs as they were written, or one line."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from datamodules.pairs.splits import SPLITS
from datamodules.table import TableDataModule
from tests.datamodules.own_files import picture, third
from tests.datamodules.tables import table
from tests.fuzz.edits import Edit, edited, edits, number_of, planted
from tests.fuzz.outcome import outcome, share

N = 9
FILE, TEXT = "{}.png", "this is the text of {} and no other"
WORDS = [
    b'"', b'""', b",", b"\t", b"\n", b"\r", b"\r\n", b"\0", b";", b" ", b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8",
    b"\\", b"'", b"\x1a", b"\x85", b"\xc2\x85", b"\x0c", b"{", b"}", b"[", b":", b"null", b"NaN", b"1e999",
    b"\\ud800", b"-",
    b"\\u0000", b"\\n", b"../", b"http://", b"image", b"text", b"split",
]  # fmt: skip
HEADERS = ["image", "text", "split", "label", "group", "note", "Image", "imgae", "", " ", "a\nb", "x" * 300, "audio"]
ODD: list[Any] = [
    None, 0, -1, 2.5, True, [], ["a"], {}, {"a": 1}, "", " ", "\0", "\ud800", "a" * 5000, "a\nb", "\u2028", 10**400,
    float("nan"), float("inf"), "..", "/", "nul\0.png", "http://a/b.png", "~", "~nobody/x.png",
    "a" * 300 + "/b.png",
    "\ud800/b.png", "\0/b.png",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    for i in range(N):
        (folder / FILE.format(planted(i))).write_bytes(picture(i))
    return folder


def rows(captions: list[int], optional: bool) -> list[dict[str, Any]]:
    """Row i of image ``captions[i]``, whose texts count on."""
    some = []
    for i, number in enumerate(captions):
        name = planted(number)
        row = {"image": FILE.format(name), "text": TEXT.format(name) + " " * (i % 2)}
        some.append(row | ({"split": third(number), "label": f"L{number}", "note": f"row {i}"} if optional else {}))
    return some


def assert_planted(data: TableDataModule) -> None:
    """Every pair whose two names are whole is of one number, in its split and with its label."""
    names = [raw.x.file_name(i) for raw in data.raw.values() for i in range(raw.n_x)]  # type: ignore[attr-defined]
    of_table = {third(number) for number in (number_of(name, FILE) for name in names) if number is not None}
    for split, raw in data.raw.items():
        drawn = split == "val" and "val" not in of_table
        numbers = [number_of(raw.x.file_name(i), FILE) for i in range(raw.n_x)]  # type: ignore[attr-defined]
        for y, x in zip(raw.y.strings, raw.x_of_y.tolist(), strict=True):  # type: ignore[attr-defined]
            of_text, of_image = number_of(y, TEXT), numbers[x]
            if of_text is None or of_image is None:
                continue
            assert of_text == of_image
            if "split" in data.used:
                assert split == third(of_image) or (drawn and third(of_image) == "train")
            if raw.label is not None and data.label_names is not None:
                name = data.label_names[int(raw.label[x])]
                assert name == f"L{of_image}" or number_of_label(name) is None


def number_of_label(name: str) -> int | None:
    return int(name[1:]) if name in {f"L{i}" for i in range(N)} else None


def assert_features(data: TableDataModule) -> None:
    """What the fake backbones saw of a pair is finite and of one number."""
    for split in SPLITS:
        pairs, raw = data.splits[split], data.raw[split]
        assert (pairs.n_x, pairs.n_y) == (raw.n_x, raw.n_y)
        x, y = pairs.x[torch.arange(pairs.n_x)], pairs.y[torch.arange(pairs.n_y)]
        assert bool(x.isfinite().all())
        assert bool(y.isfinite().all())
        for row, owner in enumerate(pairs.x_of_y.tolist()):
            number = number_of(raw.y.strings[row], TEXT)  # type: ignore[attr-defined]
            if number is not None and number_of(raw.x.file_name(owner), FILE) is not None:  # type: ignore[attr-defined]
                assert int(x[owner, 0]) - 1 == number
                assert int(y[row, 26]) == len(raw.y.strings[row])  # type: ignore[attr-defined]


def read(path: Path, content: bytes, extract: bool) -> TableDataModule:
    path.write_bytes(content)
    data = table(path)
    data.prepare_data()
    assert_planted(data)
    if extract:
        data.setup()
        assert_features(data)
    return data


def judged(kind: str, path: Path, content: bytes, extract: bool) -> TableDataModule | None:
    try:
        return outcome(kind, lambda: read(path, content, extract))
    finally:
        if extract:
            shutil.rmtree(path.parent / "cache", ignore_errors=True)


def assert_whole(data: TableDataModule | None, captions: list[int]) -> None:
    """What is not damaged is read, all of it."""
    distinct = len(set(captions))
    if data is None:
        # too few for three splits, or none of the rows that the column puts into one
        assert distinct < 6 or len({third(number) for number in captions} & {"train", "test"}) < 2
        return
    seen = [raw.x.file_name(i) for raw in data.raw.values() for i in range(raw.n_x)]  # type: ignore[attr-defined]
    assert sorted(seen) == sorted({FILE.format(planted(number)) for number in captions})
    assert sum(raw.n_y for raw in data.raw.values()) == distinct


every = st.permutations(range(N))
captions = every | every | st.lists(st.integers(0, N - 1), min_size=1, max_size=14)
rarely = st.integers(0, 15).map(lambda i: i == 0)


@share(0.14)
@given(
    captions=captions, optional=st.booleans(), changes=edits(WORDS), suffix=st.sampled_from(["csv", "tsv"]),
    newline=st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n", "\n \n"]),
    encoding=st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-32-le", "utf-7"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]), extract=rarely,
)  # fmt: skip
def test_separated(
    folder: Path, captions: list[int], optional: bool, changes: list[Edit], suffix: str, newline: str, encoding: str,
    quoting: Any, extract: bool,
) -> None:  # fmt: skip
    some = rows(captions, optional)
    text = io.StringIO()
    writer = csv.DictWriter(
        text, list(some[0]), delimiter="\t" if suffix == "tsv" else ",", lineterminator=newline, quoting=quoting
    )
    writer.writeheader()
    writer.writerows(some)
    content = edited(text.getvalue().encode(encoding), changes)
    data = judged(f"table {suffix}", folder / f"pairs.{suffix}", content, extract)
    if not changes and encoding in ("utf-8", "utf-8-sig", "latin-1", "utf-7"):
        assert_whole(data, captions)


@share(0.07)
@given(
    captions=captions,
    header=st.lists(st.sampled_from(HEADERS), min_size=1, max_size=6),
    cells=st.lists(st.tuples(st.integers(0, 13), st.integers(0, 6), st.sampled_from(ODD)), max_size=4),
    width=st.lists(st.integers(-2, 2), max_size=3),
    suffix=st.sampled_from(["csv", "tsv"]),
)
def test_odd_cells_and_headers(
    folder: Path, captions: list[int], header: list[str], cells: list[tuple[int, int, Any]], width: list[int],
    suffix: str,
) -> None:  # fmt: skip
    """Headers of any names, doubled or blank ones among them, ragged rows and odd cells."""
    column = {"image": FILE, "text": TEXT, "split": "train", "label": "L{}", "group": "g{}"}
    body = [[column.get(name, "{}").format(planted(number)) for name in header] for number in captions]
    for row, change in zip(body, width, strict=False):
        row[len(row) + change :] = [] if change < 0 else ["more"] * change
    for i, j, value in cells:
        if i < len(body) and j < len(body[i]):
            body[i][j] = value
    text = io.StringIO()
    csv.writer(text, delimiter="\t" if suffix == "tsv" else ",").writerows([header, *body])
    content = text.getvalue().encode("utf-8", "surrogatepass")
    judged(f"table {suffix}", folder / f"odd.{suffix}", content, extract=False)


@share(0.1)
@given(
    captions=captions, optional=st.booleans(), changes=edits(WORDS), extract=rarely,
    cells=st.lists(st.tuples(st.integers(0, 13), st.sampled_from(HEADERS[:6]), st.sampled_from(ODD)), max_size=3),
    encoding=st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16"]), newline=st.sampled_from(["\n", "\r\n", "\r"]),
)  # fmt: skip
def test_json_lines(
    folder: Path, captions: list[int], optional: bool, changes: list[Edit], extract: bool,
    cells: list[tuple[int, str, Any]], encoding: str, newline: str,
) -> None:  # fmt: skip
    some = rows(captions, optional)
    for i, name, value in cells:
        if i < len(some):
            some[i][name] = value
    content = edited("".join(json.dumps(row) + newline for row in some).encode(encoding), changes)
    data = judged("table jsonl", folder / "pairs.jsonl", content, extract)
    if not changes and not cells and encoding != "utf-16":
        assert_whole(data, captions)


PARQUET: list[Any] = [
    pyarrow.string(), pyarrow.large_string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string()), pyarrow.binary(),
    pyarrow.int64(), pyarrow.uint8(), pyarrow.float32(), pyarrow.bool_(), pyarrow.null(),
    pyarrow.list_(pyarrow.string()), pyarrow.struct([("path", pyarrow.string())]), pyarrow.timestamp("us"),
    pyarrow.date32(), pyarrow.decimal128(30, 2), pyarrow.string_view(), pyarrow.duration("us"), pyarrow.time64("us"),
]  # fmt: skip


def typed(kind: Any, values: list[str | None]) -> Any:
    """The values as a column of this type, whatever becomes of them."""
    if kind == pyarrow.null():
        return pyarrow.nulls(len(values))
    if pyarrow.types.is_list(kind):
        return pyarrow.array([None if v is None else [v] for v in values], kind)
    if pyarrow.types.is_struct(kind):
        return pyarrow.array([None if v is None else {"path": v} for v in values], kind)
    if pyarrow.types.is_dictionary(kind):
        return pyarrow.array(values, pyarrow.string()).dictionary_encode()
    if pyarrow.types.is_binary(kind) or "string" in str(kind):
        return pyarrow.array(values, pyarrow.string()).cast(kind)
    if kind in (pyarrow.date32(), pyarrow.time64("us"), pyarrow.bool_()):
        return pyarrow.nulls(len(values), kind)
    numbers = pyarrow.array([None if v is None else i % 100 for i, v in enumerate(values)], pyarrow.int64())
    return numbers.cast(kind, safe=False)


@share(0.05)
@given(
    captions=captions, changes=edits([b"PAR1", b"\0\0\0\0", b"\xff\xff\xff\x7f"]), extract=rarely,
    kinds=st.dictionaries(st.sampled_from(["image", "text", "split", "label", "note"]), st.sampled_from(PARQUET),
                          max_size=2),
    missing=st.lists(st.tuples(st.integers(0, 13), st.sampled_from(["image", "text", "label"])), max_size=3),
    compression=st.sampled_from(["snappy", "gzip", "zstd", "none"]), group_size=st.sampled_from([2, 100]),
)  # fmt: skip
def test_parquet(
    folder: Path, captions: list[int], changes: list[Edit], extract: bool, kinds: dict[str, Any],
    missing: list[tuple[int, str]], compression: str, group_size: int,
) -> None:  # fmt: skip
    some = rows(captions, optional=True)
    for i, name in missing:
        if i < len(some):
            some[i][name] = None
    columns = {name: typed(kinds.get(name, pyarrow.string()), [row[name] for row in some]) for name in some[0]}
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file, compression=compression, row_group_size=group_size)
    content = edited(file.getvalue(), changes)
    data = judged("table parquet", folder / "pairs.parquet", content, extract)
    if not changes and not missing and not kinds:
        assert data is None or sum(raw.n_y for raw in data.raw.values()) == len(set(captions))
