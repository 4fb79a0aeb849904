"""Annotations of MSCOCO and Flickr30K, odd and damaged: images with their captions, or one line."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.base.captioned import CaptionedDataModule
from datamodules.items.captions import Captions
from tests.datamodules.test_flickr30k import module as flickr
from tests.datamodules.test_mscoco import module as mscoco
from tests.fuzz.edits import Edit, edited, edits, number_of, planted
from tests.fuzz.outcome import outcome, share

N = 20
TEXT = "this is text {} of {} and no other"
WORDS = [
    b'"', b",", b":", b"{", b"}", b"[", b"]", b"null", b"NaN", b"Infinity", b"1e999", b"-", b"\\ud800", b"\\u0000",
    b"\0", b"\xff", b"\xef\xbb\xbf", b"9" * 30, b"9" * 5000, b"[" * 3000, b"true", b'"raw":', b'"id":', b"\n", b"\t",
    b"#", b"\r",
]  # fmt: skip
ODD: list[Any] = [
    None, 0, -1, 2**63, 10**30, 1.5, float("nan"), True, "", " ", "a", "train", "\0", "\ud800", "a\nb", "x" * 3000, [],
    {}, [1], [None], {"raw": "a"}, {"raw": 1}, "..", "/", "../../x", "http://a/b.jpg", "a" * 300 + "/b.jpg",
]  # fmt: skip
Change = tuple[int, str, Any]


def caption(number: int, k: int) -> str:
    return TEXT.format(k, planted(number))


def name(number: int) -> str:
    return f"{planted(number)}.jpg"


def karpathy(splits: list[str]) -> dict[str, Any]:
    return {
        "dataset": "one",
        "images": [
            {
                "filename": name(i), "filepath": "val2014", "imgid": i, "cocoid": 100 + i, "split": split,
                "sentids": [10 * i, 10 * i + 1],
                "sentences": [{"raw": caption(i, k), "sentid": 10 * i + k} for k in (0, 1)],
            }
            for i, split in enumerate(splits)
        ],
    }  # fmt: skip


def official(numbers: range) -> dict[str, Any]:
    return {
        "images": [{"id": 7 * i + 3, "file_name": name(i), "license": 1} for i in numbers],
        "annotations": [
            {"id": 10 * i + k, "image_id": 7 * i + 3, "caption": caption(i, k)}
            for k in (0, 1)
            for i in reversed(numbers)
        ],
    }


def nodes(tree: Any) -> list[tuple[Any, Any]]:
    """Every container of a tree with each of its keys, those of the top last: changes meet them less often."""
    some = []
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        some += [(tree, key), *(nodes(value) if isinstance(value, dict | list) else [])]
    return some


def changed(tree: Any, changes: list[Change]) -> Any:
    """The tree with values replaced, left out, doubled or nested."""
    tree = copy.deepcopy(tree)
    for place, how, value in changes:
        every = nodes(tree)
        if not every:
            break
        owner, key = every[place % len(every)]
        if how == "replace":
            owner[key] = copy.deepcopy(value)
        elif how == "leave out":
            del owner[key]
        elif how == "double" and isinstance(owner, list):
            owner.append(copy.deepcopy(owner[key]))
        elif how == "nest":
            owner[key] = {"a": [owner[key]]}
        elif how == "equal" and isinstance(owner, dict) and type(owner[key]) is int and key != "image_id":
            owner[key] = 3
    return tree


def assert_planted(data: CaptionedDataModule, disjoint: bool) -> None:
    """Every caption stands with its image, and an image in one split."""
    splits: dict[int, set[str]] = {}
    for split, raw in data.raw.items():
        numbers = [number_of(raw.x.file_name(i), "{}.jpg") for i in range(raw.n_x)]  # type: ignore[attr-defined]
        for number in numbers:
            if number is not None:
                splits.setdefault(number, set()).add(split)
        for text, x in zip(raw.y.strings, raw.x_of_y.tolist(), strict=True):  # type: ignore[attr-defined]
            of_text = [number_of(text, TEXT.replace("{}", str(k), 1)) for k in (0, 1)]
            if numbers[x] is not None and any(n is not None for n in of_text):
                assert numbers[x] in of_text
    if disjoint:
        assert all(len(each) == 1 for each in splits.values())


def read(data: CaptionedDataModule) -> CaptionedDataModule:
    data.prepare_data()
    assert_planted(data, disjoint=True)
    return data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image files, which no one opens."""
    folder = tmp_path_factory.mktemp("annotated")
    for part in ("val2014", "train2014", "flickr30k-images", "flickr30k-images/val2014"):
        (folder / part).mkdir()
        for i in range(N):
            (folder / part / name(i)).touch()
    (folder / "annotations").mkdir()
    return folder


hows = st.sampled_from(["replace", "replace", "leave out", "double", "nest", "equal"])
change = st.tuples(st.integers(0, 400), hows, st.sampled_from(ODD))
tree_changes = st.just([]) | st.lists(change, min_size=1, max_size=2)
byte_changes = st.just([]) | st.just([]) | edits(WORDS, most=2)
kept: st.SearchStrategy[Captions] = st.sampled_from(["all", "first", "random", "mean"])


def dumped(tree: Any, changes: list[Edit]) -> bytes:
    return edited(json.dumps(tree).encode(), changes)


@share(0.06)
@given(
    splits=st.lists(st.sampled_from(["train", "restval", "val", "test"]), min_size=3, max_size=N),
    of_tree=tree_changes, of_bytes=byte_changes, captions=kept, data=st.sampled_from(["mscoco", "flickr30k", "paper"]),
)  # fmt: skip
def test_karpathy(
    folder: Path, splits: list[str], of_tree: list[Change], of_bytes: list[Edit], captions: Captions, data: str
) -> None:
    splits = ["train", "val", "test", *splits][:N]
    content = dumped(changed(karpathy(splits), of_tree), of_bytes)
    (folder / f"dataset_{'coco' if data == 'mscoco' else 'flickr30k'}.json").write_bytes(content)
    (folder / "results_20130124.token").unlink(missing_ok=True)
    if data == "mscoco":
        result = outcome("karpathy json", lambda: read(mscoco(folder, "karpathy", captions=captions)))
    else:
        split = "paper" if data == "paper" else "karpathy"
        result = outcome("karpathy json", lambda: read(flickr(folder, split=split, captions=captions)))
    if not of_tree and not of_bytes and (data != "paper" or len(splits) >= 10):
        assert result is not None
        assert sum(raw.n_x for raw in result.raw.values()) == len(splits)
        assert sum(raw.n_y for raw in result.raw.values()) == len(splits) * (2 if captions in ("all", "mean") else 1)


@share(0.05)
@given(
    n=st.integers(5, N), of_tree=tree_changes, of_bytes=byte_changes, captions=kept,
    split=st.sampled_from(["official2014", "paper"]),
)  # fmt: skip
def test_official(
    folder: Path, n: int, of_tree: list[Change], of_bytes: list[Edit], captions: Captions, split: str
) -> None:
    train, val = range(n), range(n, n + 5)
    content = dumped(changed(official(train), of_tree), of_bytes)
    (folder / "annotations" / "captions_train2014.json").write_bytes(content)
    (folder / "annotations" / "captions_val2014.json").write_bytes(dumped(official(val), []))
    for number in val:
        (folder / "val2014" / name(number)).touch()
    result = outcome("coco json", lambda: read(mscoco(folder, split, captions=captions)))
    if not of_tree and not of_bytes:
        assert result is not None
        assert sum(raw.n_x for raw in result.raw.values()) == n + 5


@share(0.02)
@given(numbers=st.permutations(range(N)), changes=edits(WORDS), newline=st.sampled_from(["\n", "\n", "\r\n", "\r"]))
def test_token(folder: Path, numbers: list[int], changes: list[Edit], newline: str) -> None:
    lines = [f"{name(i)}#{k}\t{caption(i, k)}{newline}" for i in numbers for k in (0, 1)]
    (folder / "results_20130124.token").write_bytes(edited("".join(lines).encode(), changes))
    (folder / "dataset_flickr30k.json").unlink(missing_ok=True)
    result = outcome("flickr30k token", lambda: read(flickr(folder, split="paper", annotations="token")))
    if not changes and newline != "\r":
        assert result is not None
        assert sum(raw.n_y for raw in result.raw.values()) == 2 * N
