"""Sources of raw items for the backbones: image files and texts, each with a hash of its content."""

import hashlib
import io
import re
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from errno import EMFILE, ENFILE, ENOMEM
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, Self

from PIL import Image, ImageFile, ImageOps, ImagePalette
from torch import Tensor

from datamodules.items.quiet import only_bombs
from ground.errors import UserError, shown

PNG = b"\x89PNG\r\n\x1a\n"

# Out of handles or memory says nothing about the file: such an error must stop the run, not skip the item.
_EXHAUSTED = (EMFILE, ENFILE, ENOMEM)
# Encoders and files of text take whole characters alone.
_HALVES = re.compile("[\ud800-\udfff]")


class Unreadable(Exception):  # noqa: N818 - it is the state of an item, handled where it is met
    """An item that cannot be read. The message is one line that names the item and says why.

    Example:
        >>> try:
        ...     ImageFiles(["nowhere.png"], "images")[0]
        ... except Unreadable as reason:
        ...     print(reason)
        nowhere.png: No such file or directory
    """

    def __init__(self, reason: str) -> None:
        super().__init__(shown(" ".join(reason.split())))


class Items(Protocol):
    """n raw items in a fixed order; each split of a dataset is a source of its own.

    Example:
        >>> source: Items = Texts(["a dog", "a cat"], "captions")
        >>> len(source), source[1], source.show(1)
        (2, 'a cat', 'a cat')
    """

    @property
    def name(self) -> str:
        """What messages call it: ``clipart images train``."""

    @property
    def fingerprint(self) -> str:
        """Hash of the content of all items in their order: other content or another order, another hash."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> Any:
        """Item ``i``; raises ``Unreadable`` where it cannot be read."""

    def take(self, index: Tensor) -> "Items":
        """The items ``index`` (k,), in this order, under the same name."""

    def show(self, i: int) -> "Image.Image | str":
        """What a person sees of item ``i``: a picture, or a text."""


class Files:
    """The bytes of the files ``paths`` (n,), each kept to what it was when the fingerprint was taken.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.txt")
        ...     _ = path.write_bytes(b"abc")
        ...     Files([path], "files").content(0)
        b'abc'
    """

    kind: str
    """What the files hold; part of the fingerprint."""

    def __init__(self, paths: Sequence[str | PathLike[str]], name: str) -> None:
        self.paths = [Path(path) for path in paths]
        self.name = name

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the sha256 of each file's bytes; a file that cannot be read counts as such."""
        return hashlib.sha256(f"{self.kind}\0".encode() + b"".join(self._digests)).hexdigest()

    @cached_property
    def _digests(self) -> list[bytes]:
        def chunk(start: int, size: int = 256) -> list[bytes]:
            return [_digest(_read(path)[0]) for path in self.paths[start : start + size]]

        with ThreadPoolExecutor() as pool:  # reading and hashing both release the GIL
            return [digest for part in pool.map(chunk, range(0, len(self), 256)) for digest in part]

    def content(self, i: int) -> bytes:
        """The bytes of file ``i``.

        Raises:
            Unreadable: the file is missing or cannot be read.
            UserError: the file changed since the fingerprint was taken.
        """
        path = self.paths[i]
        data, problem = _read(path)
        if "_digests" in self.__dict__ and _digest(data) != self._digests[i]:
            # features of the new bytes would be kept under the hash of the old ones
            raise UserError(f"{self.name}: {path} changed while it was in use; start again when it is complete")
        if data is None:
            raise Unreadable(f"{path}: {problem}")
        return data

    def file_name(self, i: int) -> str:
        """The name of the file of item ``i``, without its folder."""
        return self.paths[i].name

    def take(self, index: Tensor) -> Self:
        return type(self)([self.paths[i] for i in index.tolist()], self.name)


class ImageFiles(Files):
    """The images of ``paths`` (n,), fully decoded and upright (EXIF orientation applied).

    An image keeps its own colour mode and is an ``ImageFile`` whose ``filename`` is its path.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (9, 7)).save(f"{folder}/a.png")
        ...     image = ImageFiles([f"{folder}/a.png"], "images")[0]
        >>> image.size, image.mode
        ((9, 7), 'L')
    """

    kind = "image files"

    def __getitem__(self, i: int) -> ImageFile.ImageFile:
        """Image ``i``.

        Raises:
            Unreadable: the file is missing, is no image, is cut short or is a decompression bomb.
            UserError: the file changed since the fingerprint was taken.
        """
        return decode_image(self.content(i), str(self.paths[i]))

    def show(self, i: int) -> Image.Image:
        return decode_image(self.paths[i].read_bytes(), str(self.paths[i])).convert("RGB")


class Texts:
    """The strings ``strings`` (n,); half a character (a lone surrogate, as JSON may hold it) becomes U+FFFD.

    Example:
        >>> texts = Texts(["a dog", "a cat"], "captions")
        >>> texts[0], texts.fingerprint == Texts(["a cat", "a dog"], "captions").fingerprint
        ('a dog', False)
    """

    def __init__(self, strings: Sequence[str], name: str) -> None:
        self.strings = [
            string if string.isascii() else _HALVES.sub("\N{REPLACEMENT CHARACTER}", string) for string in strings
        ]
        self.name = name

    def __len__(self) -> int:
        return len(self.strings)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the length and the UTF-8 bytes of each string."""
        whole = hashlib.sha256(b"texts\0")
        for string in self.strings:
            data = string.encode()
            whole.update(len(data).to_bytes(8, "little") + data)
        return whole.hexdigest()

    def __getitem__(self, i: int) -> str:
        return self.strings[i]

    def take(self, index: Tensor) -> "Texts":
        return Texts([self.strings[i] for i in index.tolist()], self.name)

    def show(self, i: int) -> str:
        return self.strings[i]


def _read(path: Path) -> tuple[bytes | None, str]:
    """The bytes of a file, or None and why not."""
    try:
        return path.read_bytes(), ""
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            raise
        return None, getattr(error, "strerror", None) or str(error)


def _digest(data: bytes | None) -> bytes:
    return bytes(32) if data is None else hashlib.sha256(data).digest()


def decode_image(data: bytes, name: str) -> ImageFile.ImageFile:
    """The image of the bytes of a file, fully decoded and upright; ``name`` becomes its ``filename``.

    Metadata that is damaged costs no pixel: it is passed over, and the orientation with it where it cannot be read.

    Raises:
        Unreadable: no image, an image that is cut short, or a decompression bomb.
    """
    try:
        try:
            image = _loaded(data)
        except ValueError:  # what Pillow raises for a text or a profile that it will not unpack
            if not data.startswith(PNG):
                raise
            image = _loaded(_pixels_of_png(data))
    except MemoryError:
        raise
    except Exception as error:  # broken files raise anything: OSError, SyntaxError, struct.error, zlib.error
        raise Unreadable(f"{name}: cannot be decoded ({str(error) or type(error).__name__})") from error
    with suppress(Exception), only_bombs():
        ImageOps.exif_transpose(image, in_place=True)  # turns the pixels before it writes metadata
    image.filename = name
    return image


def _loaded(data: bytes) -> ImageFile.ImageFile:
    with only_bombs():
        # all formats, the usual ones first: Pillow loads the rest when it meets one of them, and then fails in a
        # second thread that meets one meanwhile
        Image.preinit()
        Image.init()
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if image.mode in ("P", "PA") and image.palette is None:  # Pillow loses it of an ICNS
                image.palette = ImagePalette.ImagePalette("RGB", bytes(image.getpalette() or ()))
            return image


def _pixels_of_png(data: bytes) -> bytes:
    """A PNG without texts, profile and the like: its critical chunks, the transparency and the orientation."""
    kept, at = [PNG], len(PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind[:1].isupper() or kind in (b"tRNS", b"eXIf"):
            kept.append(data[at : at + 12 + length])
        at += 12 + length
    return b"".join(kept)
