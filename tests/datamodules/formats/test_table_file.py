"""The formats of a table, and what a file, its header and its rows may hold."""

import logging
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datamodules.formats.table_file import read_header, read_table
from datamodules.table import TableDataModule
from ground.errors import UserError
from tests.datamodules.own_files import arguments, third
from tests.datamodules.tables import Rows, captioned, column_names, table, written

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
        TableDataModule(path=None, columns=column_names(), **arguments(tmp_path))


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
            assert [column[i] for i in range(len(rows))] == [str(row[name]).strip() for row in rows]


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


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_columns_of_other_names_are_read_as_they_are_mapped(suffix: str, tmp_path: Path) -> None:
    rows = [{"text": "not read", "A caption": row["text"], "picture": row["image"], "fold": row["split"], "kind": i % 2}
            for i, row in enumerate(captioned(6, split=third))]  # fmt: skip
    columns = {"image": "picture", "text": "A caption", "split": "fold", "label": "kind"}
    data = table(written(tmp_path / f"mapped{suffix}", rows), columns=columns)
    plain = table(written(tmp_path / f"plain{suffix}", captioned(6, split=third, label=lambda i: i % 2)))
    assert (
        strings(data) == strings(plain) == {"train": ["a", "aaaa"], "val": ["aa", "aaaaa"], "test": ["aaa", "aaaaaa"]}
    )
    assert (data.x_name, data.y_name, data.protocol["split"]) == ("image", "text", "of the table")
    for mapped, own in zip(data.read().values(), plain.read().values(), strict=True):
        assert [path.name for path in mapped.x.paths] == [path.name for path in own.x.paths]  # type: ignore[attr-defined]
        assert mapped.label is not None
        assert own.label is not None
        assert mapped.label.tolist() == own.label.tolist()


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": "pictur"}, r"datamodule\.columns\.image: unknown column 'pictur': did you mean 'picture'\?"),
        ({"image": "picture", "text": "picture"}, r"datamodule\.columns: 'picture' is both image and text"),
        ({"image": "picture"}, r"got image; a column of another name is given as datamodule\.columns\.text=NAME"),
        ({"image": "picture", "audio": "caption", "text": "extra"}, "got image, audio and text"),
    ],
)
def test_mistakes_of_mapped_columns_are_one_line(
    columns: dict[str, str], message: str, suffix: str, tmp_path: Path
) -> None:
    path = written(tmp_path / f"pairs{suffix}", [{"picture": "0.png", "caption": "a", "extra": "b"}])
    with pytest.raises(UserError, match=message) as caught:
        table(path, columns=columns)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_rows_are_told_by_the_tables_own_names(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.jsonl", [{"picture": "0.png", "caption": 5}])
    with pytest.raises(UserError, match="line 1: caption must be a string, got 5"):
        table(path, columns={"image": "picture", "text": "caption"}).read()
