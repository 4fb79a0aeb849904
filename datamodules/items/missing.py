"""Files that annotations name and that are not there."""

import logging
from pathlib import Path

import torch
from torch import Tensor

from datamodules.items.items import Items
from datamodules.items.raw_pairs import RawPairs
from ground.errors import UserError, shown

logger = logging.getLogger(__name__)


def present(raw: RawPairs, split: str, names: tuple[str, str], strict: bool) -> tuple[RawPairs, tuple[int, int]]:
    """The pairs whose files are there, and how many files of x and of y are missing.

    Raises:
        UserError: a missing file, where ``strict``.
    """
    missing = []
    for items, name, left_out in ((raw.x, names[0], "with their pairs"), (raw.y, names[1], "")):
        there = files_there(items)
        lost = (~there).nonzero()[:, 0]
        missing.append(len(lost))
        if not len(lost):
            continue
        first = items.paths[int(lost[0])]  # type: ignore[attr-defined]
        what = f"{split}: {int(there.sum()):,} of {len(items):,} {name} files are there, {len(lost):,} are missing"
        if strict:
            raise UserError(
                f"{what}, the first is {first}; put them there, or set datamodule.strict=false to go on without them"
            )
        place = f" {left_out}" if left_out else ""
        logger.warning("%s and left out%s; the first is %s", what, place, shown(str(first)))
        keep = there.nonzero()[:, 0]
        raw = raw.take_x(keep) if items is raw.x else raw.take_y(keep)
    return raw, (missing[0], missing[1])


def files_there(items: Items) -> Tensor:
    """(n,) bool: whether the file of each item is there; all of what is not in files of its own."""
    paths: list[Path] | None = getattr(items, "paths", None)
    if paths is None:
        return torch.ones(len(items), dtype=torch.bool)
    # one listing of each folder: asking for every file takes minutes on a network drive
    listed = {folder: names_in(folder) for folder in {path.parent for path in paths}}
    return torch.tensor([path.name in listed[path.parent] for path in paths], dtype=torch.bool)


def names_in(folder: Path) -> set[str]:
    """Names of the files in a folder; none where there is no folder, or its name is none."""
    try:
        return {entry.name for entry in folder.iterdir() if not entry.is_dir()} if folder.is_dir() else set()
    except (OSError, ValueError):  # a name that is too long or no text, a folder that is closed
        return set()
