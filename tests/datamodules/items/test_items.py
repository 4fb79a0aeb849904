"""Image files and texts as sources of items."""

import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datamodules.items.items import ImageFiles, Texts, Unreadable
from ground.errors import UserError


def picture(path: Path, colour: int = 0, size: tuple[int, int] = (12, 8), **save: Any) -> Path:
    image = Image.new("RGB", size)
    image.putdata([((i + colour) % 256, 7 * i % 256, colour) for i in range(size[0] * size[1])])
    image.save(path, **save)
    return path


def giant_png(path: Path, side: int) -> Path:
    """A PNG of a few bytes whose header promises ``side`` x ``side`` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    return path


def test_images_are_decoded_and_named(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    source = ImageFiles([path, str(path)], "pictures")
    assert (len(source), source.name) == (2, "pictures")
    image = source[1]
    with Image.open(path) as expected:
        assert image.tobytes() == expected.tobytes()
    assert image.filename == str(path)


def test_images_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    path = picture(tmp_path / "a.jpg", exif=exif)
    image = ImageFiles([path], "pictures")[0]
    with Image.open(path) as raw:
        assert image.tobytes() == raw.transpose(Image.Transpose.ROTATE_270).tobytes()
    assert image.size == (8, 12)


def test_a_palette_that_pillow_loses_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.icns"
    Image.new("RGB", (16, 16), (0, 51, 102)).convert("P").save(path)
    image = ImageFiles([path], "pictures")[0]
    assert image.mode == "P"
    assert not image.has_transparency_data
    assert image.convert("RGB").getpixel((5, 5)) == (0, 51, 102)


def broken(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.png"
    match kind:
        case "truncated":
            data = picture(path, size=(64, 64)).read_bytes()
            path.write_bytes(data[: len(data) // 2])
        case "truncated_jpeg":
            path = picture(folder / "truncated.jpg", size=(64, 64))
            path.write_bytes(path.read_bytes()[:-300])
        case "damaged":
            data = picture(path, size=(64, 64)).read_bytes()
            path.write_bytes(data[:60] + bytes(20) + data[80:])
        case "no_image":
            path.write_text("not an\nimage")
        case "empty":
            path.touch()
        case "bomb":
            giant_png(path, 60_000)
        case "folder":
            path.mkdir()
        case "missing":
            pass
    return path


KINDS = ["truncated", "truncated_jpeg", "damaged", "no_image", "empty", "bomb", "folder", "missing"]


@pytest.mark.parametrize("kind", KINDS)
def test_unreadable_files_are_named_in_one_line(kind: str, tmp_path: Path) -> None:
    path = broken(kind, tmp_path)
    source = ImageFiles([picture(tmp_path / "good.png"), path], "pictures")
    assert len(source.fingerprint) == 64
    assert source[0].size == (12, 8)
    with pytest.raises(Unreadable) as caught:
        source[1]
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("limit", "readable"), [(96, True), (95, False), (47, False)])
def test_both_stages_of_decompression_bombs(
    limit: int, readable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = picture(tmp_path / "a.png")  # 96 pixels: Pillow warns from 1 x the limit, raises from 2 x
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    source = ImageFiles([path], "pictures")
    if readable:
        source[0]
    else:
        with pytest.raises(Unreadable, match=r"a\.png.*decompression bomb"):
            source[0]


def test_image_fingerprint_is_of_content_and_order(tmp_path: Path) -> None:
    a, b = picture(tmp_path / "a.png", 1), picture(tmp_path / "b.png", 2)
    twin = tmp_path / "twin.png"
    twin.write_bytes(a.read_bytes())
    prints = {
        name: ImageFiles(paths, "pictures").fingerprint
        for name, paths in {
            "ab": [a, b], "ba": [b, a], "a": [a], "none": [],
            "missing": [a, tmp_path / "missing.png"], "twice": [a, a],
        }.items()
    }  # fmt: skip
    assert len(set(prints.values())) == len(prints)
    assert ImageFiles([twin, b], "elsewhere").fingerprint == prints["ab"]
    data = bytearray(b.read_bytes())
    data[-1] ^= 1
    b.write_bytes(data)
    assert ImageFiles([a, b], "pictures").fingerprint != prints["ab"]


def test_many_files_keep_their_order_in_the_fingerprint(tmp_path: Path) -> None:
    paths = [tmp_path / str(i) for i in range(600)]  # more than two chunks of the thread pool
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i % 251]))
    swapped = [*paths[:10], paths[400], *paths[11:400], paths[10], *paths[401:]]
    assert ImageFiles(paths, "p").fingerprint == ImageFiles(paths, "p").fingerprint
    assert ImageFiles(paths, "p").fingerprint != ImageFiles(swapped, "p").fingerprint


@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_a_file_that_changes_after_the_fingerprint_is_an_error(change: str, tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", 1)
    source = ImageFiles([path], "pictures")
    assert source.fingerprint
    if change == "removed":
        path.unlink()
    else:
        picture(path, 2)
    with pytest.raises(UserError, match=r"a\.png changed"):
        source[0]


def test_exhausted_handles_are_not_blamed_on_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_bytes(self: Path) -> bytes:
        raise OSError(24, "Too many open files")

    source = ImageFiles([picture(tmp_path / "a.png")], "pictures")
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(OSError, match="Too many"):
        source[0]


def test_texts_of_any_script() -> None:
    strings = ["", "naïve café", "猫在睡觉", "👩‍👩‍👧 \u200f שלום", "a\0b\n"]
    source = Texts(strings, "captions")
    assert (source.name, len(source), [source[i] for i in range(len(source))]) == ("captions", 5, strings)
    assert len(source.fingerprint) == 64


def test_half_a_character_is_replaced() -> None:
    texts = Texts(["a \ud83d dog", "ein H\udcfcnd"], "captions")
    assert texts.strings == ["a \N{REPLACEMENT CHARACTER} dog", "ein H\N{REPLACEMENT CHARACTER}nd"]
    assert len(texts.fingerprint) == 64


def test_text_fingerprint_is_of_content_and_order() -> None:
    cases = [["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""], ["", "ab"], [], [""], ["é"], ["e\u0301"]]
    prints = [Texts(strings, "captions").fingerprint for strings in cases]
    assert len(set(prints)) == len(cases)
    assert Texts(["a", "b"], "elsewhere").fingerprint == prints[0]
    assert ImageFiles([], "none").fingerprint != Texts([], "none").fingerprint
