"""Features that somebody has extracted already: a safetensors file of pairs, or two arrays."""

import logging
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from datamodules.base import PairsDataModule
from datamodules.pairs import Pairs, subset, with_positives
from errors import UserError, nearest

logger = logging.getLogger(__name__)

TENSORS = ("x", "y", "x_of_y", "group", "split", "label")
SPLITS = ("train", "val", "test")
ROWS_AT_ONCE = 65_536


class FeaturesDataModule(PairsDataModule):
    """Pairs of a features file.

    The file is safetensors with ``x`` (n_x, d_x) and ``y`` (n_y, d_y), read by memory map, and optionally
    ``x_of_y`` int (n_y,), the x that each y belongs to (default: row i with row i), ``group`` int (n_x,), x of one
    group being positives of each other's y (default: each its own), ``split`` uint8 (n_x,), 0 train, 1 val,
    2 test (default: drawn by group with ``split_seed`` in the shares ``val_share`` and ``test_share``), and
    ``label`` int (n_x,). Its header metadata may name the modalities: ``x_name``, ``y_name``.

    Raises:
        UserError: on setup, for anything in the file that cannot be used, in one line.
    """

    def __init__(
        self,
        path: str | None,
        val_share: float,
        test_share: float,
        split_seed: int,
        batch_size: int,
        eval_batch_size: int,
        seed: int,
    ):
        super().__init__(batch_size, eval_batch_size, seed)
        if path is None:
            raise UserError("datamodule=features needs a file: set datamodule.path=FILE.safetensors")
        self.path = Path(path)
        self.val_share = val_share
        self.test_share = test_share
        self.split_seed = split_seed

    @property
    def protocol(self) -> dict[str, str | int | float]:
        return {"dataset": self.path.stem}

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        tensors, metadata = read_tensors(self.path)
        self.x_name = metadata.get("x_name", "x")
        self.y_name = metadata.get("y_name", "y")
        whole = pairs_of_tensors(
            tensors["x"],
            tensors["y"],
            x_of_y=tensors.get("x_of_y"),
            group=tensors.get("group"),
            label=tensors.get("label"),
        )
        split = tensors.get("split")
        if split is None:
            split = drawn_split(whole.group, self.val_share, self.test_share, self.split_seed)
        elif split.shape != (whole.n_x,) or int(split.max()) > 2 or int(split.min()) < 0:
            raise UserError(
                f"{self.path}: split must hold 0 (train), 1 (val) or 2 (test) for each of the {whole.n_x} x, "
                f"got shape {tuple(split.shape)} with values {int(split.min())} to {int(split.max())}"
            )
        for number, name in enumerate(SPLITS):
            pairs = subset(whole, (split == number).nonzero()[:, 0])
            usable = with_positives(pairs)
            if usable.n_x < pairs.n_x:
                logger.warning(
                    "%s: %d of %d x of the %s split have no y and are left out",
                    self.path, pairs.n_x - usable.n_x, pairs.n_x, name,
                )  # fmt: skip
            if usable.n_x == 0:
                raise UserError(f"{self.path}: the {name} split is empty; every split needs items")
            self.splits[name] = usable


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a features file, memory-mapped, and its header metadata.

    Raises:
        UserError: a file that is missing or not safetensors, an unknown tensor, or no ``x`` or ``y``.
    """
    if not path.is_file():
        raise UserError(f"no features file at {path}: set datamodule.path to a safetensors file with x and y")
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in names if name in TENSORS}
    except SafetensorError as error:
        raise UserError(f"{path} is not a whole safetensors file ({error}): write it again") from error
    for name in names:
        if name not in TENSORS:
            raise UserError(f"{path} holds an unknown tensor '{name}': {nearest(name, TENSORS)}")
    for name in ("x", "y"):
        if name not in tensors:
            raise UserError(f"{path} has no tensor '{name}': a features file needs x and y")
    return tensors, metadata


def pairs_of_tensors(
    x: Tensor,
    y: Tensor,
    *,
    x_of_y: Tensor | None = None,
    group: Tensor | None = None,
    label: Tensor | None = None,
) -> Pairs:
    """Checked pairs of ``x`` (n_x, d_x) and ``y`` (n_y, d_y).

    Raises:
        UserError: shapes or row counts that do not fit, ``x_of_y`` out of range, and rows that hold NaN or
            infinity or nothing but zeros (naming the first of them).
    """
    for name, rows in (("x", x), ("y", y)):
        if rows.ndim != 2 or 0 in rows.shape or not rows.is_floating_point():
            raise UserError(
                f"{name} must be floating-point features (n, d), got shape {tuple(rows.shape)} of {rows.dtype}"
            )
        _check_rows(name, rows)
    n_x, n_y = len(x), len(y)
    if x_of_y is None:
        if n_x != n_y:
            raise UserError(
                f"x has {n_x} rows and y has {n_y}: without x_of_y (the x of each y) both need as many"
            )
        x_of_y = torch.arange(n_y)
    for name, values, n in (("x_of_y", x_of_y, n_y), ("group", group, n_x), ("label", label, n_x)):
        if values is not None and (values.shape != (n,) or values.is_floating_point()):
            raise UserError(
                f"{name} must be {n} integers, got shape {tuple(values.shape)} of {values.dtype}"
            )
    x_of_y = x_of_y.long()
    outside = ((x_of_y < 0) | (x_of_y >= n_x)).nonzero()[:, 0]
    if len(outside):
        row = int(outside[0])
        raise UserError(
            f"x_of_y must be in 0 to {n_x - 1}, the rows of x: {len(outside)} are not, "
            f"the first is x_of_y[{row}] = {int(x_of_y[row])}"
        )
    return Pairs(
        x=x,
        y=y,
        x_of_y=x_of_y,
        group=torch.arange(n_x) if group is None else group.long(),
        label=None if label is None else label.long(),
    )


def _check_rows(name: str, rows: Tensor) -> None:
    for what, is_bad in (
        ("NaN or infinity", lambda block: ~torch.isfinite(block).all(1)),
        ("nothing but zeros", lambda block: (block == 0).all(1)),
    ):
        bad = torch.cat(
            [
                is_bad(rows[start : start + ROWS_AT_ONCE]).nonzero()[:, 0] + start
                for start in range(0, len(rows), ROWS_AT_ONCE)
            ]
        )
        if len(bad):
            first = ", ".join(str(int(row)) for row in bad[:5])
            raise UserError(
                f"{len(bad)} of {len(rows)} rows of {name} hold {what}: rows {first}"
                f"{', ...' if len(bad) > 5 else ''}; extract them again or leave them out"
            )


def drawn_split(group: Tensor, val_share: float, test_share: float, seed: int) -> Tensor:
    """A split (n,) uint8 drawn by group: 0 train, 1 val, 2 test. Val and test have at least one group.

    Raises:
        UserError: fewer than three groups.
    """
    unique, inverse = torch.unique(group, return_inverse=True)
    n = len(unique)
    if n < 3:
        raise UserError(f"{n} group(s) cannot be split into train, val and test: give split, or more groups")
    n_val, n_test = max(1, round(n * val_share)), max(1, round(n * test_share))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    of_group = torch.zeros(n, dtype=torch.uint8)
    of_group[order[:n_val]] = 1
    of_group[order[n_val : n_val + n_test]] = 2
    return of_group[inverse]
