"""Members of tar files as sources of items, read in place: nothing is unpacked."""

import hashlib
import logging
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image, ImageFile
from torch import Tensor

from datamodules.items.audio import Clip, decode_audio
from datamodules.items.items import decode_image
from ground.errors import UserError

logger = logging.getLogger(__name__)

CHUNK = 256  # members that a thread hashes with one open file


@dataclass(frozen=True)
class Spans:
    """Places of the bytes of n members: in which tar, from which byte, how many, and the members' names."""

    tars: list[Path]
    tar: np.ndarray  # (n,) int64, into tars
    start: np.ndarray  # (n,) int64
    size: np.ndarray  # (n,) int64
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def where(self, i: int) -> str:
        """Member ``i`` for a message: ``shards/000.tar: kitten.jpg``."""
        return f"{self.tars[self.tar[i]]}: {self.names[i]}"

    def take(self, index: np.ndarray) -> "Spans":
        names = [self.names[i] for i in index.tolist()]
        return Spans(self.tars, self.tar[index], self.start[index], self.size[index], names)


class TarMembers:
    """The bytes of members of tar files (n,), each kept to what it was when the fingerprint was taken."""

    kind: str
    """What the members hold; part of the fingerprint."""

    def __init__(self, spans: Spans, name: str) -> None:
        self.spans = spans
        self.name = name

    def __len__(self) -> int:
        return len(self.spans)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the sha256 of each member's bytes: which tar holds them does not count."""
        return hashlib.sha256(f"{self.kind}\0".encode() + self._digests.tobytes()).hexdigest()

    @cached_property
    def _digests(self) -> np.ndarray:
        """(n, 32) uint8."""
        spans = self.spans
        digests = np.zeros((len(self), 32), dtype=np.uint8)
        # in the order of the tars, so that they are read from their beginning to their end
        order = np.lexsort((spans.start, spans.tar))

        def fill(rows: np.ndarray) -> None:
            for tar in np.unique(spans.tar[rows]).tolist():
                with spans.tars[tar].open("rb") as file:
                    for i in rows[spans.tar[rows] == tar].tolist():
                        file.seek(spans.start[i])
                        digests[i] = _digest(file.read(spans.size[i]))

        with ThreadPoolExecutor() as pool:  # reading and hashing both release the GIL
            list(pool.map(fill, (order[first : first + CHUNK] for first in range(0, len(self), CHUNK))))
        return digests

    def file_name(self, i: int) -> str:
        """The name of member ``i``, without its folder."""
        return self.spans.names[i].rpartition("/")[2]

    def content(self, i: int) -> bytes:
        """The bytes of member ``i``.

        Raises:
            UserError: the tar is gone, or changed since the fingerprint was taken.
        """
        spans = self.spans
        try:
            with spans.tars[spans.tar[i]].open("rb") as file:
                file.seek(spans.start[i])
                data: bytes = file.read(int(spans.size[i]))
        except FileNotFoundError as error:
            raise UserError(f"{self.name}: {spans.tars[spans.tar[i]]} is gone; start again when it is there") from error
        if "_digests" in self.__dict__ and (_digest(data) != self._digests[i]).any():
            raise UserError(f"{self.name}: {spans.where(i)} changed while it was in use; start again")
        return data

    def take(self, index: Tensor) -> Self:
        return type(self)(self.spans.take(index.numpy()), self.name)


class ImageMembers(TarMembers):
    """The images of members of tar files, fully decoded and upright, as ``ImageFiles`` does it."""

    kind = "image members"

    def __getitem__(self, i: int) -> ImageFile.ImageFile:
        """Image ``i``.

        Raises:
            Unreadable: the member is no image, is cut short or is a decompression bomb.
            UserError: its tar changed.
        """
        return decode_image(self.content(i), self.spans.where(i))

    def show(self, i: int) -> Image.Image:
        return self[i].convert("RGB")


class AudioMembers(TarMembers):
    """The sounds of members of tar files as ``Clip``, as ``AudioFiles`` does it."""

    kind = "audio members"

    def __getitem__(self, i: int) -> Clip:
        """Clip ``i``.

        Raises:
            Unreadable: the member is no sound, is damaged or holds no samples.
            UserError: its tar changed.
        """
        return decode_audio(self.content(i), self.spans.where(i))

    def show(self, i: int) -> str:
        return Path(self.spans.names[i]).stem


def listed(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, first byte and size of the plain files in a tar; folders, links and hidden ones are passed over.

    Of a tar that is cut short or damaged, what can be read; the loss is logged.

    Raises:
        UserError: no tar, or a compressed one.
    """
    length = path.stat().st_size
    why = ""
    try:
        # not transparently decompressed: members are read by their place
        with tarfile.open(path, "r:") as tar:
            try:
                while (member := tar.next()) is not None:
                    tar.members = []  # type: ignore[attr-defined]  # else they would all be kept
                    if member.isreg() and not member.issparse() and not _hidden(member.name):
                        if member.offset_data + member.size > length:
                            why = f"{member.name} is cut short"
                            break
                        yield member.name, member.offset_data, member.size
            except tarfile.ReadError as error:
                why = str(error)
            if not why and _more_at(path, tar.offset):
                why = f"damaged at byte {tar.offset:,}"
    except tarfile.ReadError as error:
        raise UserError(f"{path} is no tar, or a compressed one: its members cannot be read in place") from error
    if why:
        logger.warning("%s is not whole (%s): what comes before is used", path, why)


def _more_at(path: Path, offset: int) -> bool:
    """Whether at this byte, where reading ended, stands anything but the zeros that end a tar."""
    with path.open("rb") as file:
        file.seek(offset)
        return any(file.read(tarfile.BLOCKSIZE))


def _hidden(name: str) -> bool:
    """What systems add: ``__MACOSX/``, ``._photo.jpg``, ``.DS_Store``."""
    return any(part == "__MACOSX" or part.startswith(".") for part in name.removeprefix("./").split("/"))


def _digest(data: bytes) -> np.ndarray:
    return np.frombuffer(hashlib.sha256(data).digest(), dtype=np.uint8)
