"""Checkpoints on disk, written in one stroke."""

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from lightning.fabric.utilities.types import _PATH
from lightning.pytorch.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """A checkpoint is there whole or is the former one, whenever the process is killed or the disk is full.

    A fit goes on without a checkpoint that could not be written, and its result is not lost.

    Args:
        now_at: where a checkpoint is when it is read, which may have been moved since it was named.

    Attributes:
        problem: why the last one could not be written, or None.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     AtomicCheckpointIO().save_checkpoint({"epoch": 3}, f"{folder}/last.ckpt")
        ...     AtomicCheckpointIO().load_checkpoint(f"{folder}/last.ckpt")
        {'epoch': 3}
    """

    problem: str | None = None

    def __init__(self, now_at: Callable[[_PATH], _PATH] = lambda path: path):
        super().__init__()
        self._now_at = now_at

    def load_checkpoint(self, path: _PATH, *args: Any, **named: Any) -> dict[str, Any]:
        return super().load_checkpoint(self._now_at(path), *args, **named)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any = None) -> None:
        whole = Path(path)
        part = whole.with_name(f".{whole.name}.{uuid4().hex}.tmp")
        try:
            super().save_checkpoint(checkpoint, part, storage_options)
            part.replace(whole)
            self.problem = None
        except (OSError, RuntimeError) as error:  # torch's writer raises the second
            reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
            self.problem = f"the checkpoint {whole} cannot be written: {reason}"
            logging.getLogger(__name__).warning("%s", self.problem)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
