"""Inputs on which users of tools like this one were let down, in every format that can hold them."""

import io
import json
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from backbones.images import middle, square
from datamodules.formats.class_folders import scanned
from datamodules.formats.tar_samples import shards, split_of
from datamodules.items.items import ImageFiles
from ground.configs import CONFIGS
from ground.errors import UserError


def pictures(folder: Path, n: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.new("RGB", (8, 6), (i, 2 * i, 3 * i)).save(folder / f"{i}.png")


def table(path: Path) -> Any:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", ["datamodule=table", f"datamodule.path={path}"])
        config.cache_dir = str(path.parent / "cache")
        data = instantiate(config.datamodule)
    data.prepare_data()
    return data


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "DEV"])
def test_a_split_is_read_by_any_of_its_names(name: str, tmp_path: Path) -> None:
    for split in ("train", name, "test"):
        for label in ("cat", "dog"):
            pictures(tmp_path / split / label, 2)
    assert {split: len(of["cat"]) for split, of in scanned(tmp_path).files.items()} == {"train": 2, "val": 2, "test": 2}
    assert split_of(Path(f"cc3m-{name}-0000.tar")) == name.lower()
    assert split_of(Path(name) / "000.tar") == name.lower()


def test_a_shards_name_that_says_two_splits_or_none() -> None:
    assert split_of(Path("train-of-test-0.tar")) is None
    assert split_of(Path("contest-0.tar")) is None
    assert split_of(Path("val/train-0.tar")) == "train"


def test_links_among_class_folders_are_read_once(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        pictures(tmp_path / label, 8)
    (tmp_path / "cat" / "up").symlink_to("..")
    (tmp_path / "dog" / "self").symlink_to(".")
    pictures(tmp_path.parent / f"{tmp_path.name} elsewhere", 3)
    (tmp_path / "dog" / "more").symlink_to(tmp_path.parent / f"{tmp_path.name} elsewhere")
    files = scanned(tmp_path).files["all"]
    assert {label: len(of_class) for label, of_class in files.items()} == {"cat": 8, "dog": 11}


@pytest.mark.parametrize(
    "pattern", ["[2024] set/*.tar", "[2024] set", "[2024] set/{000..000}.tar", "[[]2024[]] set/*.tar"]
)
def test_a_folder_whose_name_could_be_a_pattern(pattern: str, tmp_path: Path) -> None:
    (tmp_path / "[2024] set").mkdir()
    tarfile.open(tmp_path / "[2024] set" / "000.tar", "w").close()
    assert [path.name for path in shards(str(tmp_path / pattern))] == ["000.tar"]


ROWS = [
    (
        f"{i}.png",
        " " * (i % 3) + f"caption {i}",
        "\t" * (i % 2) + ("cat" if i % 2 else "dog"),
        f"{' ' * (i % 2)}{i // 2}",
    )
    for i in range(12)
]


def written(path: Path) -> Path:
    names = ("image", "text", "label", "group")
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in ROWS))
    elif path.suffix == ".parquet":
        from pyarrow import parquet
        from pyarrow import table as arrow

        columns = {name: list(cells) for name, cells in zip(names, zip(*ROWS, strict=True), strict=True)}
        parquet.write_table(arrow(columns), path)
    else:
        path.write_text(", ".join(names) + "\n" + "".join(",".join(row) + "\n" for row in ROWS))
    return path


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_blanks_around_a_cell_mean_nothing(suffix: str, tmp_path: Path) -> None:
    pictures(tmp_path, 12)
    data = table(written(tmp_path / f"pairs.{suffix}"))
    assert data.label_names == ["cat", "dog"]
    groups = [set(raw.group.tolist()) for raw in data.raw.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 6  # none in two splits
    assert all(raw.y[i] == raw.y[i].strip() for raw in data.raw.values() for i in range(len(raw.y)))


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_caption_of_200_000_characters(suffix: str, tmp_path: Path) -> None:
    pictures(tmp_path, 6)
    rows = [{"image": f"{i}.png", "text": "word " * 40_000 if i == 4 else f"caption {i}"} for i in range(6)]
    path = tmp_path / f"pairs.{suffix}"
    if suffix == "csv":
        path.write_text("image,text\n" + "".join(f"{row['image']},{row['text']}\n" for row in rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    longest = max(len(raw.y[i]) for raw in table(path).raw.values() for i in range(len(raw.y)))
    assert longest == 199_999


def test_a_quote_that_is_not_closed_is_still_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datamodules.formats.table_file.LONGEST", 1000)
    (tmp_path / "pairs.csv").write_text('image,text\n0.png,"open\n' + "1.png,caption\n" * 200)
    with pytest.raises(UserError, match=r"line 2 has a cell of more than 1,000 characters: is a quote not closed\?"):
        table(tmp_path / "pairs.csv")


def test_urls_are_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("image,text\n" + "".join(f"https://example.org/{i}.png,caption {i}\n" for i in range(5)))
    with pytest.raises(UserError, match=r"is a URL, https://example.org/0.png: download it"):
        table(path)
    for pattern in ("https://example.org/{000..010}.tar", "s3://bucket/set/*.tar"):
        with pytest.raises(UserError, match=r"datamodule.path is a URL"):
            shards(pattern)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def saved(kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


DAMAGED = {
    "text": chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * (2 << 20))),
    "profile": chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(2 << 20))),
    "exif": chunk(b"eXIf", b"nonsense"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_pixels_come_before_metadata(name: str, tmp_path: Path) -> None:
    png = saved("PNG")
    (tmp_path / "a.png").write_bytes(png[:33] + DAMAGED[name] + png[33:])
    (tmp_path / "b.png").write_bytes(png)
    images = ImageFiles([tmp_path / "a.png", tmp_path / "b.png"], "images")
    assert np.array_equal(np.asarray(images[0]), np.asarray(images[1]))
    assert np.array_equal(np.asarray(images.show(0)), np.asarray(images[1]))


@pytest.mark.parametrize(
    "entry",
    [
        struct.pack("<HHI", 0x9204, 10, 1) + struct.pack("<I", 38),
        struct.pack("<HHI", 0x8769, 4, 1) + struct.pack("<I", 99999),
        struct.pack("<HHI", 0x10F, 2, 0x7FFFFFFF) + struct.pack("<I", 0),
    ],
)
def test_the_orientation_is_used_where_it_can_be_read(entry: bytes, tmp_path: Path) -> None:
    turned = struct.pack("<HHI", 0x112, 3, 1) + struct.pack("<HH", 6, 0)
    exif = (
        b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + turned + entry + struct.pack("<I", 0) + struct.pack("<ii", -1, 0)
    )
    (tmp_path / "a.jpg").write_bytes(saved("JPEG", exif=exif))
    assert ImageFiles([tmp_path / "a.jpg"], "images")[0].size == (32, 48)


def test_a_strip_takes_little_memory() -> None:
    strip = Image.fromarray(np.tile(np.arange(200, dtype=np.uint8).repeat(300)[:, None], (1, 40))).convert("RGB")
    assert strip.size == (40, 60_000)  # a square of its side has 10.8 GB
    padded = np.asarray(square(strip, 224, "pad"))
    assert padded.shape == (224, 224, 3)
    assert (padded[:, :100] == 255).all()
    assert np.abs(padded[:, 111, 0].astype(int) - np.arange(224) * 200 // 224).max() <= 2
    assert middle(strip).size == (40, 2560)  # of which a network sees the middle square
    assert middle(strip.crop((0, 0, 40, 2000))).size == (40, 2000)


def test_texts_beyond_the_encoders_limit_are_counted(tmp_path: Path) -> None:
    pictures(tmp_path, 12)
    long = "the same long beginning " * 100
    for name, texts in (
        ("some.csv", [f"{i} {long}" if i % 2 else f"caption {i}" for i in range(12)]),
        ("all.csv", [f"{long} and then {i}" for i in range(12)]),
    ):
        (tmp_path / name).write_text("image,text\n" + "".join(f"{i}.png,{text}\n" for i, text in enumerate(texts)))
    some = table(tmp_path / "some.csv")
    some.setup()
    notes = {key: n for key, n in some.protocol.items() if key.startswith("note/")}
    assert list(notes.values()) == [6]
    assert all("cut at " in key and key.endswith(" tokens") for key in notes)
    with pytest.raises(UserError, match=r"have the same features: they are cut at \d+ tokens, and differ only beyond"):
        table(tmp_path / "all.csv").setup()
