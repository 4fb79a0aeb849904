"""Mapped rows of the training split: where a pass takes them from, and which items it contrasts."""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from datamodules.pairs.pairs import PairBatch, Pairs

RowMap = Callable[[PairBatch], PairBatch]
"""A batch of features to the same batch of mapped rows, (b, m_x) and (c, m_y)."""


class RowSource(Protocol):
    """This process's mapped rows, the same in every pass.

    Example:
        >>> batch = PairBatch(*(torch.zeros(2, 3), torch.zeros(2, 4)), *4 * [torch.arange(2)])
        >>> rows: RowSource = KeptRows([batch])
        >>> rows.reads, [part.x.shape for part in rows]
        (False, [torch.Size([2, 3])])
    """

    reads: bool
    """Whether a pass needs batches that hold features; else it goes over the rows on its own."""

    def mapped(self, batch: PairBatch) -> PairBatch:
        """The mapped rows of a batch of features."""

    def __iter__(self) -> Iterator[PairBatch]:
        """All of them, outside a pass."""


class KeptRows:
    """Rows in memory.

    Example:
        >>> batch = PairBatch(*(torch.zeros(2, 3), torch.zeros(2, 4)), *4 * [torch.arange(2)])
        >>> [len(rows.x) for rows in KeptRows([batch, batch])]
        [2, 2]
    """

    reads = False

    def __init__(self, batches: list[PairBatch]):
        self.batches = batches

    def mapped(self, batch: PairBatch) -> PairBatch:
        raise AssertionError("kept rows are not read")

    def __iter__(self) -> Iterator[PairBatch]:
        return iter(self.batches)


class StreamedRows:
    """Rows that are read and mapped again in every pass."""

    reads = True

    def __init__(self, mapped: RowMap, stream: Callable[[], Iterator[PairBatch]]):
        self.mapped, self.stream = mapped, stream

    def __iter__(self) -> Iterator[PairBatch]:
        return map(self.mapped, self.stream())


class ItemSample:
    """Randomly drawn whole groups of about ``items`` x, or of all, the same in every process.

    The groups stand in one random order; those are drawn that begin at the ``start``-th x or up to ``items`` after it,
    after the last x with the first.

    Example:
        >>> from datamodules.pairs.arrays import pairs_of_tensors
        >>> x, x_of_y = torch.arange(1.0, 5.0)[:, None], torch.arange(8) // 2
        >>> pairs = pairs_of_tensors(x, x[x_of_y], x_of_y=x_of_y)
        >>> sample = ItemSample(pairs, 2)
        >>> sample.n_x, sample.n_y
        (2, 4)
        >>> batch = sample.of(pairs[torch.arange(4)])
        >>> batch.x_index, torch.equal(batch.y[::2], batch.x)  # both y of the same two x
        (tensor([0, 1]), True)
    """

    def __init__(self, pairs: Pairs, items: int | None, start: int = 0):
        self.pairs = pairs
        self.x_place = self.y_place = None
        self.x_group, self.y_group = pairs.group, pairs.y_group
        if items is None or items >= pairs.n_x:
            return
        groups, sizes = torch.unique(pairs.group, return_counts=True)
        generator = torch.Generator().manual_seed(torch.initial_seed())  # the run's seed, in every process
        order = torch.randperm(len(groups), generator=generator)
        before = torch.empty_like(sizes)  # x of the groups before each
        before[order] = sizes[order].cumsum(0) - sizes[order]
        chosen = (before - start) % pairs.n_x < items
        of_x, of_y = (chosen[torch.searchsorted(groups, ids)] for ids in (pairs.group, pairs.y_group))
        self.x_place, self.y_place = _places(of_x), _places(of_y)
        self.x_group, self.y_group = pairs.group[of_x], pairs.y_group[of_y]

    @property
    def of_all(self) -> bool:
        """Whether it is all items."""
        return self.x_place is None

    @property
    def n_x(self) -> int:
        """x in the sample."""
        return len(self.x_group)

    @property
    def n_y(self) -> int:
        """y in the sample."""
        return len(self.y_group)

    def of(self, batch: PairBatch) -> PairBatch:
        """Those of a batch that are in the sample, their indices the places among it."""
        if self.x_place is None or self.y_place is None:
            return batch
        x_place, y_place = self.x_place[batch.x_index.cpu()], self.y_place[batch.y_index.cpu()]
        x, y = (places.to(batch.x_index.device) for places in (x_place >= 0, y_place >= 0))
        return PairBatch(
            batch.x[x] if len(batch.x) else batch.x,
            batch.y[y] if len(batch.y) else batch.y,
            batch.x_group[x], batch.y_group[y],
            x_place.to(x.device)[x], y_place.to(y.device)[y],
        )  # fmt: skip

    def rows(self) -> PairBatch:
        """All of the sample's features, read at once."""
        x = torch.arange(self.pairs.n_x) if self.x_place is None else (self.x_place >= 0).nonzero()[:, 0]
        return self.of(self.pairs[x])


def _places(chosen: Tensor) -> Tensor:
    """The number of each chosen item among the chosen, -1 for the others."""
    return torch.where(chosen, chosen.cumsum(0) - 1, -1)
