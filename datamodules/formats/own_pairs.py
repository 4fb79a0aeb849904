"""What the datamodules of a user's own pairs share: their modalities, splits, labels and groups."""

import logging
import re
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from datamodules.items.items import Items
from datamodules.items.raw_pairs import RawPairs
from datamodules.pairs.splits import SPELLED, SPLITS, drawn_split
from ground.errors import UserError, nearest

logger = logging.getLogger(__name__)

# The first of two modalities in this order is x.
MODALITIES = ("image", "audio", "text")

# Item rows (k,) of x and of y, and the name of their split, to the two sources.
Sources = Callable[[str, Tensor, Tensor], tuple[Items, Items]]


def refuse_url(value: str, what: str) -> None:
    """Raises a UserError where a path is an address of the network: nothing is downloaded here."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value):
        raise UserError(f"{what} is a URL, {value:.80}: download it, and give the path of the file")


def two_modalities(found: Iterable[str], what: str) -> tuple[str, str]:
    """The names of x and y.

    Raises:
        UserError: not exactly two of the known modalities.
    """
    names = [name for name in MODALITIES if name in set(found)]
    if len(names) != 2:
        has = " and ".join(", ".join(names).rsplit(", ", 1)) or "none of them"
        raise UserError(f"{what} must hold exactly two of {', '.join(MODALITIES)}, got {has}")
    return names[0], names[1]


def plain(value: object) -> str | None:
    """A value of a split, a group or a label as a string, ``""`` for none; None for what cannot be one."""
    if value is None or value != value:  # a number that is missing is NaN in many files
        return ""
    return str(value) if isinstance(value, str | int | float) else None


def split_number(name: str, where: str) -> int:
    """0 train, 1 val, 2 test.

    Raises:
        UserError: another name.
    """
    split = SPELLED.get(name.strip().lower())
    if split is None:
        raise UserError(f"{where}: unknown split '{name}': {nearest(name, SPELLED)}")
    return SPLITS.index(split)


def whole_split(split: Tensor | None, group: Tensor, shares: tuple[float, float], seed: int) -> Tensor:
    """A split (n,) with train, val and test: ``split`` as it is, what it lacks drawn by group.

    Without a split all three are drawn in ``shares`` of val and test; without val it is drawn from train.

    Raises:
        UserError: a split without train or without test, or one that cannot be drawn.
    """
    if split is None:
        return drawn_split(group, *shares, seed)
    for number in (0, 2):
        if not (split == number).any():
            name = SPLITS[number]
            raise UserError(f"nothing is of the {name} split: mark some as '{name}', or mark none, and all are drawn")
    if (split == 1).any():
        return split
    train = (split == 0).nonzero()[:, 0]
    unique, inverse = torch.unique(group[train], return_inverse=True)
    n_val = max(1, round(len(unique) * shares[0]))
    if shares[0] <= 0 or n_val >= len(unique):
        raise UserError(
            f"nothing is of the val split, and {len(unique)} groups of train do not give datamodule.val_share="
            f"{shares[0]} of theirs: mark some as 'val', or change the share"
        )
    order = torch.randperm(len(unique), generator=torch.Generator().manual_seed(seed))
    whole = split.clone()
    whole[train[torch.isin(inverse, order[:n_val])]] = 1
    return whole


def numbered_labels(values: list[str], index: np.ndarray) -> tuple[Tensor, list[str]]:
    """Classes (n,) and their names: sorted, as numbers where all are integers.

    Item i has the label ``values[index[i]]``.
    """
    try:
        order = sorted(range(len(values)), key=lambda i: (int(values[i]), values[i]))
    except ValueError:
        order = sorted(range(len(values)), key=values.__getitem__)
    rank = np.empty(len(values), dtype=np.int64)
    rank[order] = np.arange(len(values))
    return torch.from_numpy(rank[index]), [values[i] for i in order]


def by_split(
    x_of_y: Tensor, group: Tensor, split: Tensor, label: Tensor | None, domain: Tensor | None, sources: Sources
) -> dict[str, RawPairs]:
    """The pairs of each split: ``group``, ``split``, ``label`` and ``domain`` (n_x,), ``x_of_y`` (n_y,).

    Labels that tell no classes apart in train, from which no probe can learn, are dropped with a warning.
    """
    if label is not None and len(label[split == 0].unique()) < 2:
        logger.warning("labels are not used: all of train is of one class")
        label = None
    pairs = {}
    for number, name in enumerate(SPLITS):
        x_index = (split == number).nonzero()[:, 0]
        y_index = (split[x_of_y] == number).nonzero()[:, 0]
        new_row = torch.full((len(split),), -1)
        new_row[x_index] = torch.arange(len(x_index))
        x, y = sources(name, x_index, y_index)
        of_x = (None if each is None else each[x_index] for each in (label, domain))
        pairs[name] = RawPairs(x, y, new_row[x_of_y[y_index]], group[x_index], *of_x)
    return pairs
