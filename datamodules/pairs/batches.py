"""How a split is cut into batches, and these are dealt to processes."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from datamodules.pairs.pairs import Members
from ground.distributed import rank_and_world


class GroupBatches(Sampler[Tensor]):
    """Batches of whole groups, each x exactly once an epoch over all processes.

    The order is the epoch's own, or with ``reshuffles=False`` the same in all epochs.

    A batch is cut from the shuffled groups of the whole split, and its groups are dealt to the processes: the
    joined batch is the same for any number of processes, and every process has the same number of batches.
    Nothing is padded or repeated, so a process's part may be smaller than another's, or empty.

    Yields the rows of x (b,) of this process's part.
    """

    def __init__(self, group: Tensor, batch_size: int, seed: int, reshuffles: bool = True):
        unique, inverse = torch.unique(group, return_inverse=True)
        self.members = Members(inverse, len(unique))
        self.n_groups = len(unique)
        self.n_batches = min(-(-len(group) // batch_size), self.n_groups)
        self.seed = seed
        self.reshuffles = reshuffles
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Tensor]:
        rank, world = rank_and_world()
        # torch's generator on the CPU takes 32 bits of its seed: they have to depend on both
        epoch = self.epoch if self.reshuffles else 0
        mixed = np.random.SeedSequence((self.seed, epoch)).generate_state(1)
        generator = torch.Generator().manual_seed(int(mixed[0]))
        for groups in self.cut(generator):
            # in the order of the rows, which a memory map reads faster
            yield self.members.of(groups.sort().values[rank::world])

    def cut(self, generator: torch.Generator) -> Iterable[Tensor]:
        """The numbers of the groups of each batch, over all processes."""
        return torch.randperm(self.n_groups, generator=generator).tensor_split(self.n_batches)


class ShareInOrder(Sampler[Tensor]):
    """This process's share of n rows of x, in order, each row in one process: shares may be uneven."""

    def __init__(self, n: int, batch_size: int):
        self.n = n
        self.batch_size = batch_size

    def _batches(self) -> list[Tensor]:
        rank, world = rank_and_world()
        share = torch.arange(self.n).tensor_split(world)[rank]
        # as many batches as the largest share has: collectives inside a step meet on every process
        largest = -(-self.n // world)
        return list(share.tensor_split(max(1, -(-largest // self.batch_size))))

    def __len__(self) -> int:
        return len(self._batches())

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._batches())
