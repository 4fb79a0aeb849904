"""The file of one shard of features: sealed by a checksum, written in one stroke, mapped when read."""

import hashlib
import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import uuid4

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

_UNSEALED = "0" * 64


class ShardError(Exception):
    """A shard that cannot be trusted; the message says why."""


class Shard(NamedTuple):
    """One shard as read from disk."""

    path: Path
    sha256: str  # of the whole file
    facts: dict[str, Any]  # what the writer said of the rows
    rows: Tensor  # (k, d), mapped


def write_shard(path: Path, rows: Tensor, facts: dict[str, Any]) -> None:
    """Writes ``rows`` (k, d) and the JSON ``facts`` as a safetensors file with tensor ``features``.

    The header's one metadata entry ``shard`` (more than one would stand in random order) holds the facts and
    the seal: the sha256 of the whole file with zeros in the seal's own place. It vouches for the shard while
    no manifest does.
    """
    data = save({"features": rows}, {"shard": json.dumps({"sha256": _UNSEALED, **facts})})
    header = _header(io.BytesIO(data))
    sealed = header.replace(_UNSEALED.encode(), hashlib.sha256(data).hexdigest().encode(), 1)
    write_atomically(path, sealed, memoryview(data)[len(header) :])


def read_shard(path: Path, recorded: str | None) -> Shard:
    """Maps a shard after it is checked against the ``recorded`` sha256 of its file, or else against its seal.

    Raises:
        ShardError: it is missing, cut short, altered or not a shard.
    """
    try:
        rows, facts = map_rows(path)
        seal = facts.pop("sha256").encode()
        with path.open("rb") as raw:
            sha256 = hashlib.file_digest(raw, "sha256").hexdigest()
            if sha256 != recorded:
                raw.seek(0)
                unsealed = hashlib.sha256(_header(raw).replace(seal, _UNSEALED.encode(), 1))
                if hashlib.file_digest(raw, lambda: unsealed).hexdigest().encode() != seal:
                    raise ShardError("altered")
    except ShardError:
        raise
    except FileNotFoundError as error:
        raise ShardError("missing") from error
    except Exception as error:  # bytes that anything may have happened to can raise anything
        raise ShardError(f"not readable, {' '.join(str(error).split())}") from error
    return Shard(path, sha256, facts, rows)


def map_rows(path: Path) -> tuple[Tensor, dict[str, Any]]:
    """The rows (k, d), a map of the file that reads what is touched and keeps no handle, and the facts."""
    with safe_open(path, "pt") as file:
        return file.get_tensor("features"), json.loads(file.metadata()["shard"])


def _header(file: BinaryIO) -> bytes:
    """The bytes of a safetensors file that stand before its tensors."""
    size = file.read(8)
    return size + file.read(int.from_bytes(size, "little"))


def write_atomically(path: Path, *pieces: bytes | memoryview) -> None:
    """Writes a file that is there whole or not at all, whenever the process is killed."""
    for attempt in range(3):
        temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
        try:
            with temporary.open("xb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            return
        except FileNotFoundError:
            # without locks another process may take our file for a leftover
            if attempt == 2:
                raise
        finally:
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes the unfinished files of a process that was killed."""
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):
            path.unlink()


@contextmanager
def locked(folder: Path, *, exclusive: bool) -> Iterator[None]:
    """Holds a lock on a folder, shared or exclusive; the system frees it when the process dies.

    Where the system or the file system knows no locks the block runs without: two processes then do the same
    work twice, and atomic writes keep the result right.
    """
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        try:
            fcntl.flock(handle, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("waiting for another process that works on %s", folder)
            fcntl.flock(handle, mode)
        except OSError:
            logger.debug("%s cannot be locked", folder)
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)  # forked children may share the handle
        os.close(handle)
