"""Tables of pairs: what belongs to what, which item a row of features is, and every mistake in its one line."""

import csv
import json
import logging
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from datamodules.formats.table_file import read_header, read_table
from datamodules.pairs.splits import SPLITS
from datamodules.table import TableDataModule
from ground.errors import UserError
from tests.datamodules.own_files import arguments, media

Rows = list[dict[str, Any]]


def written(path: Path, rows: Rows) -> Path:
    """The rows in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def table(path: Path, **changes: Any) -> TableDataModule:
    return TableDataModule(path=str(path), **arguments(path.parent, **changes))


def captioned(n: int, **columns: Any) -> Rows:
    """Images 0 to n - 1 with a text of as many letters as its number says."""
    return [{"image": f"{i}.png", "text": "a" * (i + 1)} | {k: f(i) for k, f in columns.items()} for i in range(n)]


def third(i: int) -> str:
    return SPLITS[i % 3]


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
    rows = captioned(12, group=lambda i: i // 2, label=lambda i: (10, 9, 100)[i % 3])
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


# what a CSV file may hold

GOOD = "image,text,split\n0.png,a,train\n1.png,b,val\n2.png,c,test\n"


def strings(data: TableDataModule) -> dict[str, list[str]]:
    return {name: pairs.y.strings for name, pairs in data.read().items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "train"),
    [
        (GOOD.encode(), ["a"]),
        (b"\xef\xbb\xbf" + GOOD.encode(), ["a"]),
        (GOOD.replace("\n", "\r\n").encode(), ["a"]),
        (GOOD.replace("\n", "\r").encode(), ["a"]),
        (GOOD.replace("\n", "\n\n  \n").encode(), ["a"]),
        (GOOD.replace(",a,", ',"a, ""b""\nc",').encode(), ['a, "b"\nc']),
        (GOOD.replace("0.png,a", "ü ñ.png,日本 🐈").encode(), ["日本 🐈"]),
        (GOOD.replace("text,", " text ,").encode(), ["a"]),
        ((GOOD + "3.png,,train\n 	,d,train\n4.png,e,train\n").encode(), ["a", "e"]),
    ],
    ids=["plain", "BOM", "Windows", "old Mac", "blank lines", "quotes", "unicode", "header with blanks", "empty cells"],
)
def test_shapes_of_csv(content: bytes, train: list[str], tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes(content)
    assert strings(table(path)) == {"train": train, "val": ["b"], "test": ["c"]}


def test_empty_cells_are_counted_and_the_first_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(GOOD + '"3\n.png",x,train\n4.png,,val\n5.png,x, \n', encoding="utf-8")
    table(path).read()
    assert f"{path}: 2 of 6 rows have an empty cell and are left out; the first is line 7, without text" in caplog.text


def test_columns_that_are_not_known_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "pairs.csv", captioned(3, split=third, url=str, image_2=str))
    with caplog.at_level(logging.INFO):
        table(path).read()
    assert "columns that are not used: url, image_2" in caplog.text


HEADERS = {
    "image,caption\n": "exactly two of image, audio, text, got image",
    "picture,caption\n": "got none of them",
    "image;text\n": r"the columns \(image;text\)",
    "image,audio,text\n": "got image, audio and text",
    "image,Text\n": "unknown column 'Text': did you mean 'text'",
    "imgae,text\n": "unknown column 'imgae': did you mean 'image'",
    "image,text,lable\n": "unknown column 'lable': did you mean 'label'",
    "image,text,splits\n": "unknown column 'splits': did you mean 'split'",
    "image,text,text\n": "two columns 'text'",
    "": "is empty",
    "\n\n": "is empty",
}


@pytest.mark.parametrize("header", HEADERS)
def test_mistakes_of_the_header_are_told_on_construction(header: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(header, encoding="utf-8")
    with pytest.raises(UserError, match=HEADERS[header]) as caught:
        table(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


ROWS = {
    GOOD + "3.png,d\n": "line 5 has 2 cells, the header has 3",
    GOOD + "3.png,d, and e,train\n": "line 5 has 4 cells.*put quotes around a cell that holds a comma",
    GOOD + '3.png,"d,train\n': "line 5: unexpected end of data",
    GOOD + '3.png,"d"e,train\n': "line 5: ',' expected after '\"'",
    GOOD + "3.png,d,tset\n": "line 5: unknown split 'tset': did you mean 'test'",
    GOOD + "0.png,d,test\n": r"line 5 gives .*0\.png the split 'test', line 2 'train': a file has one split",
    "image,text\n": "no row with image and text: 0 rows",
    "image,text\n,a\n,b\n": "no row with image and text: 2 rows, 2 with an empty cell",
    GOOD.replace("test", "train"): "nothing is of the test split: mark some as 'test', or mark none",
    GOOD.replace("train", "val"): "nothing is of the train split",
    GOOD.replace("val", "test"): "nothing is of the val split, and 1 groups of train",
    "image,text\n0.png,a\n0.png,b\n1.png,a\n": r"2 group\(s\) cannot be split",
    "image,text,group\n0.png,a,1\n1.png,a,1\n0.png,b,2\n": "line 4 gives .*0.png the group '2', line 2 '1'",
    "image,text,label\n0.png,a,cat\n0.png,b,dog\n": "line 3 gives .*0.png the label 'dog', line 2 'cat'",
    "image,audio,split\n0.png,0.wav,train\n1.png,0.wav,test\n": "line 3 gives .*0.wav the split 'test', line 2 'train'",
}


@pytest.mark.parametrize("content", ROWS)
def test_mistakes_of_the_rows_are_told_in_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=ROWS[content]) as caught:
        table(path).read()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


JSON_ROWS = {
    '{"image": "0.png", "text": "a"}\n{"image": "1.png"\n': "line 2 is no JSON .*column",
    '{"image": "0.png", "text": "a"}\n\n["1.png", "b"]\n': "line 3 is no JSON object",
    '{"image": "0.png", "text": 5}\n': "line 1: text must be a string, got 5",
    '{"image": "0.png", "text": ["a", "b"]}\n': r"line 1: text must be a string, got \['a', 'b'\]",
    '{"image": "0.png", "text": "a", "label": {}}\n': "line 1: label must be a string",
    '{"image": "0.png", "text": "a", "image": "b"}\n{"image": null, "text": ""}\n' + "[" * 100_000: "nested too deeply",
}


@pytest.mark.parametrize("content", JSON_ROWS, ids=range(len(JSON_ROWS)))
def test_mistakes_in_json_lines(content: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=JSON_ROWS[content]) as caught:
        table(path).read()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mistakes_of_the_file(tmp_path: Path) -> None:
    def refused(name: str, content: bytes | None, what: str) -> None:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match=what) as caught:
            table(path).read()
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    refused("missing.csv", None, "no table at")
    refused("pairs.xlsx", b"", "is no table")
    refused("pairs.csv.gz", b"", "is no table")
    refused("pairs.csv", GOOD.replace(",a,", ",ä,").encode("latin-1"), r"is not UTF-8 \(byte 0xe4\)")
    refused("pairs.csv", GOOD.encode("utf-16"), "is not UTF-8")
    refused("pairs.parquet", b"PAR1 and no more", "is not a whole parquet file|cannot be read")
    whole = written(tmp_path / "whole.parquet", captioned(3)).read_bytes()
    refused("cut.parquet", whole[:-20], "is not a whole parquet file|cannot be read")
    with pytest.raises(UserError, match=r"set datamodule\.path=pairs\.csv"):
        TableDataModule(path=None, **arguments(tmp_path))


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8).filter(
    lambda cell: not cell.isspace()
)
ROW = st.fixed_dictionaries(
    {"image": CELL, "text": CELL, "group": st.integers(-9, 9), "label": st.sampled_from(["a", "7", "b c"])}
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=12))
def test_all_formats_give_the_same(rows: Rows, tmp_path: Path) -> None:
    for suffix in (".csv", ".tsv", ".jsonl", ".parquet"):
        path = written(tmp_path / f"pairs{suffix}", rows)
        assert set(read_header(path)) == {"image", "text", "group", "label"}
        read = read_table(path, ["label", "text", "image", "group"], ["image", "text"])
        for name, column in read.columns.items():
            assert [column[i] for i in range(len(rows))] == [str(row[name]) for row in rows]


def test_parquet_of_other_types(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    columns = {
        "image": pyarrow.array(["a.png", "b.png", None, "c.png"]).dictionary_encode(),
        "text": pyarrow.array(["x", "y", "z", "w"], pyarrow.large_string()),
        "label": pyarrow.array([1.0, float("nan"), 3.0, 4.0]),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=2)
    read = read_table(path, ["image", "text", "label"], ["image", "text"])
    assert read.number.tolist() == [1, 4]
    assert {name: [column[0], column[1]] for name, column in read.columns.items()} == {
        "image": ["a.png", "c.png"], "text": ["x", "w"], "label": ["1.0", "4.0"]
    }  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.table({"image": [b"a"], "text": ["b"]}), path)
    with pytest.raises(UserError, match="row 1: image must be a string, got b'a'"):
        read_table(path, ["image", "text"], ["image", "text"])


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
