"""Batches in which every class has its share."""

from collections.abc import Iterator

import torch
from torch import Tensor

from datamodules.pairs.batches import GroupBatches


class BalancedBatches(GroupBatches):
    """Batches of whole groups with equal numbers of each class, each x exactly once an epoch over all processes.

    The groups of each class are shuffled and dealt to the batches in turn, one class after another: of a class, and of
    all groups together, no batch has two more than another.

    Args:
        group: (n,) int64, the group of each x.
        label: (n,) int64, the class of each x, the same within a group.
        batch_size: x in a batch, at most, where groups are of one size.
        seed: of the order.

    Example:
        >>> label = torch.tensor([0, 0, 0, 0, 1, 1])
        >>> batches = BalancedBatches(torch.arange(6), label, batch_size=3, seed=0)
        >>> [label[rows].tolist() for rows in batches]
        [[0, 0, 1], [0, 0, 1]]
    """

    def __init__(self, group: Tensor, label: Tensor, batch_size: int, seed: int):
        super().__init__(group, batch_size, seed)
        self.label = torch.empty(self.n_groups, dtype=torch.int64)
        self.label[torch.unique(group, return_inverse=True)[1]] = label

    def cut(self, generator: torch.Generator) -> Iterator[Tensor]:
        shuffled = torch.randperm(self.n_groups, generator=generator)
        # the classes in an order of their own, so that it is not always the same ones whose rest is dealt first
        classes, inverse = torch.unique(self.label, return_inverse=True)
        turn = torch.randperm(len(classes), generator=generator)[inverse]
        dealt = shuffled[turn[shuffled].argsort(stable=True)]
        for batch in torch.randperm(self.n_batches, generator=generator).tolist():
            yield dealt[batch :: self.n_batches]
