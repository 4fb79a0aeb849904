"""Whose a run directory is: one living process holds a lock on a file in it, which the system opens when it ends."""

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO

from ground.errors import UserError

OWNER = ".running"
"""Names the process and its machine; there while a run goes on, and after one that was killed."""


class Owner:
    """The process's hold on the directory ``path``, which exists, until ``leave``.

    Where the storage knows no locks, it holds without one.

    Raises:
        UserError: another run is in ``path``.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     owner = Owner(Path(folder))
        ...     there = (Path(folder) / OWNER).exists()
        ...     owner.leave()
        ...     there, (Path(folder) / OWNER).exists()
        (True, False)
    """

    def __init__(self, path: Path):
        self._file, self._lock = path / OWNER, _locked(path / OWNER)
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._lock.flush()

    def leave(self, moved: Path | None = None) -> None:
        """Let the directory go, which may have ``moved``."""
        file = self._file if moved is None else moved / OWNER
        with suppress(OSError):
            if os.path.samestat(file.stat(), os.fstat(self._lock.fileno())):
                file.unlink()
        self._lock.close()


def _locked(file: Path) -> IO[str]:
    while True:
        lock = file.open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read() or "another process"
            lock.close()
            raise UserError(f"run_dir={file.parent} is in use by {owner}: set another run_dir") from None
        except OSError:  # no locks there
            return lock
        with suppress(FileNotFoundError):  # the one before may have taken its file with it
            if os.path.samestat(file.stat(), os.fstat(lock.fileno())):
                return lock
        lock.close()
