"""The splits of a dataset, and how they are drawn where it has none."""

import torch
from torch import Tensor

from ground.errors import UserError

SPLITS = ("train", "val", "test")
SPELLED = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""How a split may be spelled, in capitals or not, in a column, a JSON, or the name of a folder or a shard."""


def drawn_split(group: Tensor, val_share: float, test_share: float, seed: int) -> Tensor:
    """A split (n,) uint8 drawn by group: 0 train, 1 val, 2 test. Val and test have at least one group.

    Raises:
        UserError: shares out of their range, fewer than three groups, or none left for train.

    Example:
        >>> drawn_split(torch.tensor([0, 1, 2, 3, 4]), val_share=0.2, test_share=0.2, seed=0).bincount().tolist()
        [3, 1, 1]
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
