"""The raw rows of the training split, kept between passes where they fit."""

from collections.abc import Callable, Iterator

import torch

from aligners.spectral.rows import Rows
from datamodules.pairs.pairs import PairBatch, Pairs

Raw = Callable[[PairBatch], Rows]
"""A batch to its raw feature rows."""


class TrainingRows:
    """This process's training rows, batch by batch, the same batches in every pass.

    ``raw`` makes the rows of a batch, ``stream`` reads the batches once more, ``keeps`` says whether rows stay in
    memory after they were read first.
    """

    def __init__(self, raw: Raw, stream: Callable[[], Iterator[PairBatch]], keeps: bool):
        self._raw, self._stream, self._keeps = raw, stream, keeps
        self._kept: list[Rows] = []
        self.rewind()

    def first(self, batch: PairBatch) -> Rows:
        """The rows of a batch that is read for the first time."""
        rows = self._raw(batch)
        if self._keeps:
            self._kept.append(rows)
        return rows

    def skip(self, batch: PairBatch) -> None:
        """A batch of the first pass whose rows are wanted in later passes alone."""
        if self._keeps:
            self.first(batch)

    def rewind(self) -> None:
        """Before a pass over the batches."""
        self._next = iter(self._kept)

    def next(self, batch: PairBatch) -> Rows:
        """The rows of the next batch of a later pass."""
        return next(self._next) if self._keeps else self._raw(batch)

    def __iter__(self) -> Iterator[Rows]:
        """All of them, outside a pass."""
        if self._keeps:
            yield from self._kept
        else:
            yield from map(self._raw, self._stream())


def drawn(pairs: Pairs, items: int, raw: Raw, device: torch.device) -> Rows:
    """The rows of randomly drawn whole groups of at least ``items`` x, or of all, the same in every process.

    Their indices are their places among them.
    """
    groups = torch.unique(pairs.group)
    generator = torch.Generator().manual_seed(torch.initial_seed())
    order = torch.empty_like(groups)
    order[torch.randperm(len(groups), generator=generator)] = torch.arange(len(groups))
    place = order[torch.searchsorted(groups, pairs.group)]  # of each x's group in the drawn order
    last = place.sort().values[min(items, pairs.n_x) - 1]
    batch = pairs[(place <= last).nonzero()[:, 0]]
    rows = raw(PairBatch(*(part.to(device) for part in batch)))
    x_index, y_index = (torch.arange(len(side), device=device) for side in (rows.x, rows.y))
    return rows._replace(x_index=x_index, y_index=y_index)
