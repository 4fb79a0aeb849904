"""Batches in which every class has its share."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from datamodules.pairs import Members
from distributed import rank_and_world


class BalancedBatches(Sampler[Tensor]):
    """Batches of whole groups with equal numbers of each class, each x exactly once an epoch over all processes.

    The groups of each class are shuffled and dealt to the batches in turn, one class after another: of a class, and of
    all groups together, no batch has two more than another. As with ``GroupBatches``, the joined batch is the same for
    any number of processes, each has the same number of batches, and its part may be smaller than another's, or empty.

    Yields the rows of x (b,) of this process's part.

    Args:
        group: (n,) int64, the group of each x.
        label: (n,) int64, the class of each x, the same within a group.
        batch_size: x in a batch, at most, where groups are of one size.
        seed: of the order.
        reshuffles: an order of its own in every epoch.
    """

    def __init__(self, group: Tensor, label: Tensor, batch_size: int, seed: int, reshuffles: bool = True):
        unique, inverse = torch.unique(group, return_inverse=True)
        self.members = Members(inverse, len(unique))
        self.label = torch.empty(len(unique), dtype=torch.int64)
        self.label[inverse] = label
        self.n_batches = min(-(-len(group) // batch_size), len(unique))
        self.seed = seed
        self.reshuffles = reshuffles
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Tensor]:
        rank, world = rank_and_world()
        epoch = self.epoch if self.reshuffles else 0
        mixed = np.random.SeedSequence((self.seed, epoch)).generate_state(1)
        generator = torch.Generator().manual_seed(int(mixed[0]))
        shuffled = torch.randperm(len(self.label), generator=generator)
        # the classes in an order of their own, so that it is not always the same ones whose rest is dealt first
        classes, inverse = torch.unique(self.label, return_inverse=True)
        turn = torch.randperm(len(classes), generator=generator)[inverse]
        dealt = shuffled[turn[shuffled].argsort(stable=True)]
        for batch in torch.randperm(self.n_batches, generator=generator).tolist():
            # in the order of the rows, which a memory map reads faster
            yield self.members.of(dealt[batch :: self.n_batches].sort().values[rank::world])
