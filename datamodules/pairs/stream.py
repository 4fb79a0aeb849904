"""The training batches once more, beside the loader that a Trainer reads."""

import copy
from collections.abc import Iterator

import torch

from datamodules.pairs.batches import GroupBatches
from datamodules.pairs.pairs import PairBatch, Pairs


class Stream:
    """This process's batches of ``pairs`` as a sampler cuts them, on ``device``, as often as it is called.

    ``stream(reads=False)`` gives as many batches without any rows.

    Example:
        >>> pairs = Pairs(torch.randn(6, 3), torch.randn(6, 2), torch.arange(6), torch.arange(6))
        >>> stream = Stream(pairs, GroupBatches(pairs.group, batch_size=4, seed=0), torch.device("cpu"))
        >>> [len(batch.x) for batch in stream()]
        [3, 3]
    """

    def __init__(self, pairs: Pairs, sampler: GroupBatches, device: torch.device):
        self.pairs, self.sampler, self.device = pairs, sampler, device

    def __len__(self) -> int:
        """Batches, as many in every process."""
        return len(self.sampler)

    def dealt_whole(self, batches_in_run: int) -> "Stream":
        """The same batches, runs of so many whole in one process each (see ``GroupBatches.whole_runs``)."""
        sampler = copy.copy(self.sampler)
        sampler.whole_runs = batches_in_run
        return Stream(self.pairs, sampler, self.device)

    def __call__(self, reads: bool = True) -> Iterator[PairBatch]:
        sampler = copy.copy(self.sampler)  # the loader's own goes on as it is
        sampler.reads = reads
        for rows in sampler:
            yield PairBatch(*(part.to(self.device) for part in self.pairs[rows]))
