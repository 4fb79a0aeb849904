"""Features that somebody has extracted already: a safetensors file of pairs, or two arrays."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from datamodules.base.datamodule import PairsDataModule
from datamodules.formats.item_names import ItemNames
from datamodules.pairs.arrays import integers, pairs_of_tensors
from datamodules.pairs.checked_rows import check_rows, check_shape
from datamodules.pairs.pairs import FeatureRows, Pairs, Prompts, SelectedRows, subset, with_positives
from datamodules.pairs.splits import SPLITS, drawn_split
from ground.errors import UserError, nearest
from ground.home import path_at_home
from ground.ranges import Seed, Share

logger = logging.getLogger(__name__)

TENSORS = ("x", "y", "x_of_y", "group", "split", "label", "domain", "x_names", "y_names", "prompt", "prompt_class")


class FeaturesDataModule(PairsDataModule):
    """Pairs of a features file.

    The file is safetensors with ``x`` (n_x, d_x) and ``y`` (n_y, d_y), read by memory map, and optionally
    ``x_of_y`` int (n_y,), the x that each y belongs to (default: row i with row i), ``group`` int (n_x,), x of
    one group being positives of each other's y (default: each its own), ``split`` uint8 (n_x,), 0 train,
    1 val, 2 test (default: drawn by group with ``split_seed`` in the shares ``val_share`` and
    ``test_share``), and ``label`` and ``domain`` int (n_x,), the class and the domain of each x. ``x_names`` and
    ``y_names``, uint8, are what the items are called in pictures: UTF-8, one line an item. ``prompt`` (p, d_y) are
    features of texts about the classes, and ``prompt_class`` int (p,) the label that each is about, for zero-shot
    classification. Its header metadata may name
    the modalities, ``x_name`` and ``y_name``, and say that a row is of several layers of a network, of equal width, and
    of how many: ``x_layers``, ``y_layers``. An x whose group has no y in its split is nobody's positive, and is left
    out with a warning.

    Raises:
        UserError: an argument out of its range; on setup, for anything in the file that cannot be used, in one line.

    Example:
        >>> import torch
        >>> from tempfile import TemporaryDirectory
        >>> from safetensors.torch import save_file
        >>> with TemporaryDirectory() as folder:
        ...     save_file({"x": torch.ones(10, 4), "y": torch.ones(10, 3)}, f"{folder}/f.safetensors")
        ...     data = FeaturesDataModule(
        ...         f"{folder}/f.safetensors", val_share=0.1, test_share=0.2, split_seed=0,
        ...         batch_size=4, eval_batch_size=8, seed=0,
        ...     )
        ...     data.setup()
        >>> {split: pairs.n_x for split, pairs in data.splits.items()}, data.dims
        ({'train': 7, 'val': 1, 'test': 2}, (4, 3))
    """

    def __init__(
        self,
        path: str | None,
        val_share: Share,
        test_share: Share,
        split_seed: Seed,
        **common: Any,
    ):
        super().__init__(**common)
        if path is None:
            raise UserError("datamodule=features needs a file: set datamodule.path=FILE.safetensors")
        self.path = path_at_home(path)
        self.val_share = val_share
        self.test_share = test_share
        self.split_seed = split_seed
        self._names: dict[str, ItemNames] = {}
        self._prompts: Prompts | None = None

    def class_prompts(self, templates: Sequence[str]) -> Prompts | None:
        """Those of the file, whatever the templates."""
        return self._prompts

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
            named = {name: tensors.pop(f"{name}_names") for name in "xy" if f"{name}_names" in tensors}
            self._names = {name: ItemNames(f"{name}_names", text, len(tensors[name])) for name, text in named.items()}
            self._prompts = _prompts(tensors)
            splits = self._splits(tensors)
            d_x, d_y = splits["train"].dims
            self.layers = _layers("x_layers", metadata, d_x), _layers("y_layers", metadata, d_y)
            self.splits = splits
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from error

    def describe_x(self, split: str, index: int) -> str:
        return self._name("x", self.splits[split].x, index) or super().name_x(split, index)

    def describe_y(self, split: str, index: int) -> str:
        return self._name("y", self.splits[split].y, index) or super().describe_y(split, index)

    @property
    def describes(self) -> bool:
        return bool(self._names)

    def _name(self, side: str, rows: FeatureRows, index: int) -> str:
        """The name of a row of a split; ``""`` where there is none."""
        while isinstance(rows, SelectedRows):
            index, rows = int(rows.index[index]), rows.rows
        return self._names[side][index] if side in self._names else ""

    def _splits(self, tensors: dict[str, Tensor]) -> dict[str, Pairs]:
        split = tensors.pop("split", None)
        whole = pairs_of_tensors(**tensors)
        if split is None:
            # what has no y takes up no share of the split
            whole = self._usable(whole, "x")
            split = drawn_split(whole.group, self.val_share, self.test_share, self.split_seed)
        else:
            split = integers("split", split, whole.n_x)
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
        return splits | {"train": self.training.of(splits["train"])}

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


def _prompts(tensors: dict[str, Tensor]) -> Prompts | None:
    """Takes ``prompt`` and ``prompt_class`` out of the tensors of a file; None where it has neither."""
    given = {name: tensors.pop(name) for name in ("prompt", "prompt_class") if name in tensors}
    if not given:
        return None
    if len(given) == 1 or "label" not in tensors:
        missing = next(
            name for name in ("prompt", "prompt_class", "label") if name not in given and name not in tensors
        )
        raise UserError(f"{' and '.join(given)} without {missing}: zero-shot needs prompt, prompt_class and label")
    rows, width = given["prompt"], tensors["y"].shape[-1]
    check_shape("prompt", rows)
    check_rows("prompt", rows)
    if rows.shape[1] != width:
        raise UserError(f"prompt has rows of {rows.shape[1]} numbers and y of {width}: both are of one encoder")
    label = integers("prompt_class", given["prompt_class"], len(rows))
    absent = tensors["label"][~torch.isin(tensors["label"].long(), label)]
    if len(absent):
        raise UserError(f"no prompt is of class {int(absent[0])}, which label has: each class needs one")
    return Prompts(rows, label, f"{len(rows)} of the file")


def _layers(name: str, metadata: dict[str, str], d: int) -> int:
    text = metadata.get(name, "1")
    if not text.isdecimal() or int(text) == 0 or d % int(text):
        raise UserError(f"{name} in the header metadata must be a number of equal parts of {d} columns, got '{text}'")
    return int(text)
