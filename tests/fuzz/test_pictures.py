"""Pictures of every mode and format that Pillow writes, odd and damaged: an upright RGB picture, or one line."""

import io
import struct
import warnings
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from backbones.images import middle, square, to_rgb
from datamodules.images.augmentations import EXTREME, SimCLR
from datamodules.items.items import ImageFiles
from tests.fuzz.edits import Edit, edited, edits
from tests.fuzz.outcome import outcome, share

MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16", "I;16B", "RGBX"]
FORMATS = [
    "AVIF", "BLP", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "IM", "JPEG", "JPEG2000", "MPO", "MSP", "PALM", "PCX",
    "PNG", "PPM", "QOI", "SGI", "SPIDER", "TGA", "TIFF", "WEBP", "XBM",
]  # fmt: skip
LOSSLESS = ("PNG", "TIFF")
SIZES = [(1, 1), (1, 2), (13, 7), (13, 7), (64, 48), (1, 900), (900, 1), (3, 257), (2, 9000)]
SIDES = [0, 1, 7, 9_000, 9_460, 30_000, 2**31 - 1, 2**32 - 1]
EXIFS = [None, None, 1, 3, 5, 6, 8, 0, 9, 70_000]
WORDS = [
    b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\x12\x01", b"\x01\x12", b"Exif\0\0",
    b"II*\0", b"MM\0*", b"IDAT", b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"zTXt", b"acTL", b"fdAT", b"VP8X", b"ANMF",
    b"\xff\xd8", b"\xff\xd9", b"\xff\xe1\xff\xff", b"\x21\xf9\x04", b"%!PS", b"-1", b"99999",
]  # fmt: skip


def drawn(mode: str, size: tuple[int, int]) -> Image.Image:
    """A picture of this mode whose pixels differ."""
    n = size[0] * size[1]
    if mode in ("I", "F", "I;16", "I;16B"):
        values = (np.arange(n).reshape(size[1], size[0]) * 331) % 65_536
        kind = {"I": np.int32, "F": np.float32}.get(mode, np.uint16)
        return Image.fromarray(values.astype(kind if mode != "I;16B" else ">u2"))
    pixels = (np.arange(3 * n) * 37 % 256).astype(np.uint8).reshape(size[1], size[0], 3)
    image = Image.fromarray(pixels)
    if mode == "PA":
        image = image.convert("P").convert("PA")
    elif mode in ("LAB", "HSV", "La"):
        image = Image.frombytes(mode, size, pixels.tobytes())
    elif mode != "RGB":
        image = image.convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(pixels[..., 1].copy()))
    return image


@cache
def file(mode: str, kind: str, size: tuple[int, int], frames: int, orientation: int | None, extra: str) -> bytes | None:
    """The file of a picture; None where the format does not take it."""
    image, options = drawn(mode, size), dict[str, Any]()
    if frames > 1 and kind != "AVIF":  # whose encoder ends the process at several frames that are turned
        options |= {"save_all": True, "append_images": [drawn(mode, size)] * (frames - 1)}
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = min(orientation, 65_535)
        options["exif"] = exif.tobytes()[: -3 if orientation > 65_535 else None]
    if extra == "transparency" and mode in ("P", "L", "RGB", "1"):
        options["transparency"] = (0, 0, 0) if mode == "RGB" else 0
    if extra == "profile":
        options["icc_profile"] = b"no profile" * 9
    data = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.save(data, kind, **options)
    except (OSError, ValueError, KeyError, TypeError, struct.error, AttributeError):
        return None
    return data.getvalue()


def claimed(data: bytes, width: int, height: int) -> bytes:
    """A PNG whose header says other sides than its pixels have."""
    header = struct.pack(">II", width, height) + data[24:29]
    return data[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + data[33:]


def assert_rgb(image: Image.Image, size: tuple[int, int]) -> None:
    assert image.mode == "RGB"
    assert image.size == size
    assert np.asarray(image).shape == (size[1], size[0], 3)


def seen(path: Path, augment: bool) -> Image.Image:
    """The picture as backbones and reports see it, with everything that is done to pictures done to it."""
    items = ImageFiles([path], "pictures")
    image = items[0]
    rgb = to_rgb(image)
    assert_rgb(rgb, image.size)
    assert_rgb(square(rgb, 16, "pad"), (16, 16))
    assert_rgb(square(rgb, 16, "crop"), (16, 16))
    cut = middle(rgb)
    assert max(cut.size) <= 64 * min(cut.size)
    assert_rgb(items.show(0), image.size)
    if augment and max(image.size) < 1000:
        assert_rgb(SimCLR(16)(rgb, 0), (16, 16))
        assert_rgb(SimCLR(None)(rgb, 0), (min(rgb.size),) * 2)
        for change in EXTREME.values():
            if change is not EXTREME["brightness"]:  # made for 32 x 32
                assert_rgb(change(rgb, 0), rgb.size)
    return rgb


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


rarely = st.integers(0, 9).map(lambda i: i == 0)


@share(0.14)
@given(
    mode=st.sampled_from(MODES), kind=st.sampled_from([*FORMATS, *LOSSLESS, "JPEG", "GIF", "WEBP"]),
    size=st.sampled_from(SIZES), frames=st.sampled_from([1, 1, 1, 2]), orientation=st.sampled_from(EXIFS),
    extra=st.sampled_from(["", "", "transparency", "profile"]), changes=edits(WORDS), augment=rarely,
    sides=st.none() | st.none() | st.tuples(st.sampled_from(SIDES), st.sampled_from(SIDES)),
)  # fmt: skip
def test_pictures(
    folder: Path, mode: str, kind: str, size: tuple[int, int], frames: int, orientation: int | None, extra: str,
    changes: list[Edit], augment: bool, sides: tuple[int, int] | None,
) -> None:  # fmt: skip
    content = file(mode, kind, size, frames, orientation, extra)
    if content is None:
        mode, content = "RGB", file("RGB", kind, size, 1, None, "")
    if content is None:
        kind, content = "PNG", file(mode := "L", "PNG", size, 1, None, "")
    assert content is not None
    lying = sides is not None and kind == "PNG" and content[:4] == b"\x89PNG"
    if lying and sides is not None:
        content = claimed(content, *sides)
    path = folder / "picture"
    path.write_bytes(edited(content, changes))
    rgb = outcome(f"picture {'damaged' if changes or lying else 'whole'}", lambda: seen(path, augment))
    if not changes and not lying and kind in LOSSLESS:
        assert rgb is not None
        with Image.open(io.BytesIO(content)) as image, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            upright = image.getexif().get(0x0112) in (None, 0, 1, 9, 65_535)
            assert rgb.size == (size if upright else ImageOps.exif_transpose(image).size)
        if upright and frames == 1 and mode in ("1", "L", "RGB", "CMYK") and extra != "transparency":
            assert rgb.tobytes() == drawn(mode, size).convert("RGB").tobytes()
