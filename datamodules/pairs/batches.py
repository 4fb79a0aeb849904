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

    A batch is cut from the shuffled groups of the whole split, and its groups are dealt to the processes: the
    joined batch is the same for any number of processes, and every process has the same number of batches.
    Nothing is padded or repeated, so a process's part may be smaller than another's, or empty.

    A fit that is solved wants other batches, and says so on the sampler of its own loader.

    Attributes:
        reshuffles: an order of its own in every epoch; False: that of the first in all.
        whole_runs: None, or how many batches in a row are dealt *whole* to one process, the next as many to the next:
            each product of a batch is then formed alike by any number of processes. In the place of a batch of another
            process an empty one is yielded: all have the same number.
        reads: False: empty batches alone, for a pass that holds its rows already.

    Yields the rows of x (b,) of this process's part.

    Example:
        >>> batches = GroupBatches(torch.tensor([0, 0, 1, 2]), batch_size=2, seed=0)
        >>> sorted(row for rows in batches for row in rows.tolist())
        [0, 1, 2, 3]
    """

    def __init__(self, group: Tensor, batch_size: int, seed: int):
        unique, inverse = torch.unique(group, return_inverse=True)
        self.members = Members(inverse, len(unique))
        self.n_groups = len(unique)
        self.n_batches = min(-(-len(group) // batch_size), self.n_groups)
        self.seed = seed
        self.epoch = 0
        self.reshuffles = True
        self.whole_runs: int | None = None
        self.reads = True

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
        for number, groups in enumerate(self.cut(generator)):
            ordered = groups.sort().values  # in the order of the rows, which a memory map reads faster
            if self.whole_runs is None:
                mine = ordered[rank::world]
            else:
                mine = ordered if number // self.whole_runs % world == rank else ordered[:0]
            yield self.members.of(mine if self.reads else ordered[:0])

    def cut(self, generator: torch.Generator) -> Iterable[Tensor]:
        """The numbers of the groups of each batch, over all processes."""
        return torch.randperm(self.n_groups, generator=generator).tensor_split(self.n_batches)


class ShareInOrder(Sampler[Tensor]):
    """This process's share of n rows of x, in order, each row in one process: shares may be uneven.

    Example:
        >>> [rows.tolist() for rows in ShareInOrder(5, batch_size=2)]
        [[0, 1], [2, 3], [4]]
    """

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
