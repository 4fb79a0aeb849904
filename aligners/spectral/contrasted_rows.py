"""The rows of a pass: those of the contrasted items, collected in the first reading or read again."""

from collections.abc import Iterator

from torch import Tensor

from aligners.spectral.rows import ItemSample, KeptRows, RowMap, RowSource, StreamedRows
from aligners.spectral.training import Training
from datamodules.pairs.pairs import PairBatch
from datamodules.pairs.stream import Stream
from ground.distributed import rank_and_world


class ContrastedRows:
    """Raw rows of a sample of contrasted items, kept as the first pass maps them where they fit into memory.

    Example:
        >>> import torch
        >>> from aligners import UniConSpectral
        >>> from aligners.spectral import raw_features
        >>> from datamodules.pairs import GroupBatches, pairs_of_tensors
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> pairs, settings = pairs_of_tensors(x, x), UniConSpectral(rank=4, feature_map="identity").settings
        >>> features = raw_features(settings, 8, 8, "identity", settings.kernel_maps[0])
        >>> training = Training(settings, features, pairs, None, torch.clone, torch.clone, x.device, False)
        >>> stream = Stream(pairs, GroupBatches(pairs.group, batch_size=25, seed=0), x.device)
        >>> rows = ContrastedRows(training, stream, training.samples()[0], memory_mb=100)
        >>> for batch in stream():
        ...     rows.add(batch, None)
        >>> [len(batch.x) for batch in rows.raw()]
        [25, 25]
    """

    def __init__(self, training: Training, stream: Stream, sample: ItemSample, memory_mb: float):
        settings, features = training.settings, training.features
        self.training, self.stream, self.sample, self._memory_mb = training, stream, sample, memory_mb
        self._itemsize = 8 if features.near_singular else 4
        self._keeps = max(settings.candidates.passes) > 0 and self._fit(*features.dims)
        self._kept: list[PairBatch] = []
        self._shelves = self._new_shelves()

    def add(self, batch: PairBatch, rows: PairBatch | None) -> None:
        """The next batch of features, and its raw rows where others needed them."""
        if self._keeps:
            self._kept.append(self._shelved(self._mapped(batch) if rows is None else self.sample.of(rows)))

    def raw(self) -> RowSource:
        """The raw rows: kept, or read and mapped again each time."""
        return _kept(self._kept) if self._keeps else StreamedRows(self._mapped, self._stream)

    def within(self, within: RowMap, *dims: int) -> RowSource:
        """The rows ``within`` a span, of ``dims`` columns there, in the place of the raw ones."""
        self._shelves = self._new_shelves()
        if self._keeps:
            return _kept([self._shelved(within(self._kept.pop(0))) for _ in range(len(self._kept))])  # not both at once
        streamed = StreamedRows(lambda batch: within(self._mapped(batch)), self._stream)
        return _kept([self._shelved(rows) for rows in streamed]) if self._fit(*dims) else streamed

    def _shelved(self, kept: PairBatch) -> PairBatch:
        if self.sample.of_all or kept.x.device.type != "cpu":  # a GPU's allocator has no such holes
            return kept
        return PairBatch(*(shelf.put(rows) for shelf, rows in zip(self._shelves, kept, strict=True)))

    def _new_shelves(self) -> "list[Shelf]":
        """One for each part of a batch of pairs."""
        return [Shelf(size) for size in (self.sample.n_x, self.sample.n_y) * 3]

    def _stream(self) -> Iterator[PairBatch]:
        return self.stream()

    def _mapped(self, batch: PairBatch) -> PairBatch:
        return self.training.mapped(self.sample.of(batch))

    def _fit(self, m_x: int, m_y: int) -> bool:
        runs = -(-len(self.stream) // (self.stream.sampler.whole_runs or 1))
        share = -(-runs // rank_and_world()[1]) / runs  # the largest of a process
        rows = self._itemsize * (self.sample.n_x * m_x + self.sample.n_y * m_y)
        return rows * share <= self._memory_mb * 2**20


class Shelf:
    """Rows put side by side into one piece of memory, which is taken once.

    A few rows of each of a thousand batches, kept between what comes and goes with a batch, would leave holes in the
    process's memory that nothing of a batch's size fits into.

    Example:
        >>> import torch
        >>> shelf = Shelf(3)
        >>> first, second = shelf.put(torch.ones(1, 2)), shelf.put(torch.zeros(2, 2))
        >>> first, first.data_ptr() + 8 == second.data_ptr()
        (tensor([[1., 1.]]), True)
    """

    def __init__(self, size: int):
        self.size, self._filled = size, 0
        self._rows: Tensor | None = None

    def put(self, rows: Tensor) -> Tensor:
        """The same rows, on the shelf."""
        if self._rows is None:
            self._rows = rows.new_empty(self.size, *rows.shape[1:])
        place = self._rows[self._filled : self._filled + len(rows)]
        self._filled += len(rows)
        return place.copy_(rows)


def _kept(batches: list[PairBatch]) -> KeptRows:
    """Batch by batch, as they are dealt: the same products are formed in any number of processes."""
    return KeptRows([batch for batch in batches if len(batch.x_index)] or batches[:1])
