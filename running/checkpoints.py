"""Checkpoints on disk: written in one stroke, and found again when their run directory was moved aside."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from lightning.fabric.utilities.types import _PATH
from lightning.pytorch.plugins.io import TorchCheckpointIO

from ground.errors import UserError


class AtomicCheckpointIO(TorchCheckpointIO):
    """A checkpoint is there whole or is the former one, whenever the process is killed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     AtomicCheckpointIO().save_checkpoint({"epoch": 3}, f"{folder}/last.ckpt")
        ...     AtomicCheckpointIO().load_checkpoint(f"{folder}/last.ckpt")
        {'epoch': 3}
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any = None) -> None:
        whole = Path(path)
        part = whole.with_name(f".{whole.name}.{uuid4().hex}.tmp")
        try:
            super().save_checkpoint(checkpoint, part, storage_options)
            part.replace(whole)
        finally:
            part.unlink(missing_ok=True)


def find_checkpoint(path: str, run_dir: str) -> Path:
    """The checkpoint to go on from.

    A run directory that is used again was moved to ``run_dir.1``, ``run_dir.2``, ...: a checkpoint in it is
    looked for in the last of them.

    Raises:
        UserError: there is none.
    """
    found, directory = Path(path).resolve(), Path(run_dir).resolve()
    if not found.exists() and found.is_relative_to(directory):
        inside = found.relative_to(directory)
        number = 1
        while (former := directory.with_name(f"{directory.name}.{number}")).exists():
            found = former / inside
            number += 1
    if not found.is_file():
        raise UserError(f"no checkpoint at resume={path}: give the path of a last.ckpt")
    return found
