"""Mapped rows of the training split: where a pass takes them from."""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch

from datamodules.pairs.pairs import PairBatch, Pairs

RowMap = Callable[[PairBatch], PairBatch]
"""A batch of features to the same batch of mapped rows, (b, m_x) and (c, m_y)."""


class RowSource(Protocol):
    """This process's mapped rows, batch by batch, the same batches in every pass.

    Example:
        >>> batch = PairBatch(*(torch.zeros(2, 3), torch.zeros(2, 4)), *4 * [torch.arange(2)])
        >>> rows: RowSource = KeptRows([batch])
        >>> rows.reads, [part.x.shape for part in rows]
        (False, [torch.Size([2, 3])])
    """

    reads: bool
    """Whether ``of`` needs batches that hold features."""
    replicated: bool
    """Whether every process has all of them."""

    def of(self, batch: PairBatch, number: int) -> PairBatch:
        """The mapped rows of the batch of this number."""

    def __iter__(self) -> Iterator[PairBatch]:
        """All of them, outside a pass."""


class KeptRows:
    """Rows in memory, found by their batch's number.

    Example:
        >>> batch = PairBatch(*(torch.zeros(2, 3), torch.zeros(2, 4)), *4 * [torch.arange(2)])
        >>> KeptRows([batch]).of(batch._replace(x=torch.zeros(0, 3)), 0).x.shape
        torch.Size([2, 3])
    """

    reads = False

    def __init__(self, batches: list[PairBatch], replicated: bool = False):
        self.batches, self.replicated = batches, replicated

    def of(self, batch: PairBatch, number: int) -> PairBatch:
        return self.batches[number]

    def __iter__(self) -> Iterator[PairBatch]:
        return iter(self.batches)


class StreamedRows:
    """Rows that are read and mapped again in every pass."""

    reads = True
    replicated = False

    def __init__(self, mapped: RowMap, stream: Callable[[], Iterator[PairBatch]]):
        self.mapped, self.stream = mapped, stream

    def of(self, batch: PairBatch, number: int) -> PairBatch:
        return self.mapped(batch)

    def __iter__(self) -> Iterator[PairBatch]:
        return map(self.mapped, self.stream())


def drawn(pairs: Pairs, items: int, mapped: RowMap, device: torch.device) -> PairBatch:
    """The mapped rows of randomly drawn whole groups of at least ``items`` x, or of all, the same in every process.

    Their indices are their places among them.
    """
    groups = torch.unique(pairs.group)
    generator = torch.Generator().manual_seed(torch.initial_seed())
    order = torch.empty_like(groups)
    order[torch.randperm(len(groups), generator=generator)] = torch.arange(len(groups))
    place = order[torch.searchsorted(groups, pairs.group)]  # of each x's group in the drawn order
    last = place.sort().values[min(items, pairs.n_x) - 1]
    batch = pairs[(place <= last).nonzero()[:, 0]]
    rows = mapped(PairBatch(*(part.to(device) for part in batch)))
    x_index, y_index = (torch.arange(len(side), device=device) for side in (rows.x, rows.y))
    return rows._replace(x_index=x_index, y_index=y_index)
