"""Features that somebody has extracted already: a safetensors file of pairs, or two arrays."""

import logging
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from datamodules.base import PairsDataModule
from datamodules.checked_rows import check_rows, check_shape
from datamodules.pairs import Pairs, subset, with_positives
from errors import UserError, nearest

logger = logging.getLogger(__name__)

TENSORS = ("x", "y", "x_of_y", "group", "split", "label")
SPLITS = ("train", "val", "test")
INTEGERS = {getattr(torch, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)}


class FeaturesDataModule(PairsDataModule):
    """Pairs of a features file.

    The file is safetensors with ``x`` (n_x, d_x) and ``y`` (n_y, d_y), read by memory map, and optionally
    ``x_of_y`` int (n_y,), the x that each y belongs to (default: row i with row i), ``group`` int (n_x,), x of
    one group being positives of each other's y (default: each its own), ``split`` uint8 (n_x,), 0 train,
    1 val, 2 test (default: drawn by group with ``split_seed`` in the shares ``val_share`` and
    ``test_share``), and ``label`` int (n_x,). Its header metadata may name the modalities: ``x_name``,
    ``y_name``. An x whose group has no y in its split is nobody's positive, and is left out with a warning.

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
        self.path = Path(path).expanduser()
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
        try:
            if self.x_name == self.y_name:
                raise UserError(
                    f"both modalities are named '{self.x_name}': "
                    "write two different names x_name and y_name into its header metadata"
                )
            self.splits = self._splits(tensors)
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from error

    def _splits(self, tensors: dict[str, Tensor]) -> dict[str, Pairs]:
        split = tensors.pop("split", None)
        whole = pairs_of_tensors(**tensors)
        if split is None:
            # what has no y takes up no share of the split
            whole = self._usable(whole, "x")
            split = drawn_split(whole.group, self.val_share, self.test_share, self.split_seed)
        else:
            split = _integers("split", split, whole.n_x)
            low, high = int(split.min()), int(split.max())
            if low < 0 or high > 2:
                raise UserError(f"split must hold 0 (train), 1 (val) or 2 (test), got {low} to {high}")
        splits = {
            name: self._usable(subset(whole, (split == number).nonzero()[:, 0]), f"x of the {name} split")
            for number, name in enumerate(SPLITS)
        }
        for name, pairs in splits.items():
            if pairs.n_x == 0:
                raise UserError(f"the {name} split is empty: every split needs x with their y")
        return splits

    def _usable(self, pairs: Pairs, what: str) -> Pairs:
        usable = with_positives(pairs)
        left_out = pairs.n_x - usable.n_x
        if left_out:
            logger.warning("%s: %d of %d %s have no y and are left out", self.path, left_out, pairs.n_x, what)
        return usable


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
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
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

    The features stay as they are, memory-mapped ones too: they are read once, for the check.

    Raises:
        UserError: shapes or row counts that do not fit, ``x_of_y`` out of range, and rows that hold NaN or
            infinity or nothing but zeros (naming the first of them).
    """
    check_shape("x", x)
    check_shape("y", y)
    n_x, n_y = len(x), len(y)
    if x_of_y is None:
        if n_x != n_y:
            raise UserError(f"x has {n_x} rows and y has {n_y}: without x_of_y (the x of each y) both need as many")
        x_of_y = torch.arange(n_y)
    x_of_y = _integers("x_of_y", x_of_y, n_y)
    group = torch.arange(n_x) if group is None else _integers("group", group, n_x)
    label = None if label is None else _integers("label", label, n_x)
    outside = ((x_of_y < 0) | (x_of_y >= n_x)).nonzero()[:, 0]
    if len(outside):
        row = int(outside[0])
        raise UserError(
            f"x_of_y must be in 0 to {n_x - 1}, the rows of x: {len(outside)} are not, "
            f"the first is x_of_y[{row}] = {int(x_of_y[row])}"
        )
    check_rows("x", x)
    check_rows("y", y)
    return Pairs(x=x, y=y, x_of_y=x_of_y, group=group, label=label)


def _integers(name: str, values: Tensor, n: int) -> Tensor:
    """``values`` as int64 (n,)."""
    if values.shape != (n,) or values.dtype not in INTEGERS:
        raise UserError(f"{name} must be {n} integers, got shape {tuple(values.shape)} of {values.dtype}")
    return values.long()


def drawn_split(group: Tensor, val_share: float, test_share: float, seed: int) -> Tensor:
    """A split (n,) uint8 drawn by group: 0 train, 1 val, 2 test. Val and test have at least one group.

    Raises:
        UserError: shares out of their range, fewer than three groups, or none left for train.
    """
    if not (val_share > 0 and test_share > 0 and val_share + test_share < 1):
        raise UserError(
            "datamodule.val_share and datamodule.test_share must be above 0 and together below 1, "
            f"got {val_share} and {test_share}"
        )
    unique, inverse = torch.unique(group, return_inverse=True)
    n = len(unique)
    if n < 3:
        raise UserError(f"{n} group(s) cannot be split into train, val and test: give split, or more groups")
    n_val, n_test = max(1, round(n * val_share)), max(1, round(n * test_share))
    if n_val + n_test >= n:
        raise UserError(
            f"{n} groups split into {n_val} for val and {n_test} for test leave none for train: "
            "lower datamodule.val_share or datamodule.test_share"
        )
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    of_group = torch.zeros(n, dtype=torch.uint8)
    of_group[order[:n_val]] = 1
    of_group[order[n_val : n_val + n_test]] = 2
    return of_group[inverse]
