r"""First and second moments of both modalities, streamed: float32 block products, float64 sums.

A block's products are taken in the rows' own dtype, where most of the time goes, and added up in float64, so
that the error does not grow with the number of rows. Of raw kernel rows the products are float64 too where the ridges
are small (``exact``): their covariance has the kernel matrix's condition squared, and whitening would make float32's
rounding as large as what it whitens.
"""

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from aligners.spectral.width import check_width
from datamodules.pairs.pairs import PairBatch, Pairs

BLOCK_ROWS = 2048
"""Rows of a block: enough for its product to cost more than adding it up, (m, m) numbers in float64, and no more: a fit
has some blocks of either modality's rows in memory."""
EXACT_ROWS = 1024
"""Rows that are widened to float64 at once: a copy of a block's would be twice its size."""
STRIPS = 6
"""Column strips of a Gram matrix, of which only those on and right of the diagonal are multiplied."""
STRIP_ROWS = 256
"""Rows of a matrix of moments that are divided and converted at once."""


class Moments:
    """First and second moments of both modalities, additive over batches and over processes.

    Holds the sums (m_x,), (m_y,), the squares ``Phi_x^T Phi_x`` and ``Phi_y^T Phi_y``, and the cross moment
    ``Phi_x^T P Phi_y`` (m_x, m_y) of the positives, each positive weighted by
    ``1 / (2 n_x |P(i)|) + 1 / (2 n_y |P(j)|)``: minus the constant part, the contrastive weights S of CLIP
    at equal similarities. ``n_x`` and ``n_y`` set the weight of a row against that of a column; fewer items
    may be added (a sample). The squares, most of the work, are taken of about ``square_rows`` rows of each
    modality, or of all: which ones follows from their index alone. ``batches_in_block`` batches in a row are
    multiplied at once (see ``run_length``), or all that were added: the sums are complete at the end of a block,
    or after ``tensors()``. ``exact``: float32 rows are multiplied in float64.

    Example:
        >>> rows = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
        >>> moments = Moments(2, 2, n_x=2, n_y=2, device="cpu", batches_in_block=1)
        >>> moments.add(PairBatch(rows, rows, *4 * [torch.arange(2)]))
        >>> moments.mean_x.tolist(), moments.cross_covariance().tolist()
        ([2.0, 0.0], [[1.0, 0.0], [0.0, 0.0]])
    """

    def __init__(
        self,
        m_x: int,
        m_y: int,
        n_x: int,
        n_y: int,
        device: torch.device | str,
        square_rows: int | None = None,
        batches_in_block: int | None = None,
        exact: bool = False,
    ):
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        check_width(m_x, m_y)
        self.n_x, self.n_y = n_x, n_y
        self.share_x, self.share_y = (1.0 if square_rows is None else square_rows / n for n in (n_x, n_y))
        self.count_x, self.count_y, self.weight = zeros(1), zeros(1), zeros(1)
        self.sum_x, self.sum_y = zeros(m_x), zeros(m_y)
        self.upper_x, self.upper_y = zeros(m_x, m_x), zeros(m_y, m_y)
        self.cross = zeros(m_x, m_y)
        self.weighted_x, self.weighted_y = zeros(m_x), zeros(m_y)
        self._exact = exact
        self._batches_in_block = batches_in_block
        self._added = 0
        self._waiting: list[PairBatch] = []

    def add(self, rows: PairBatch) -> None:
        """Add a batch of mapped rows that holds whole groups, or none; the products of a block are taken at its end."""
        if len(rows.x):
            self._waiting.append(rows)
        self._added += 1
        if self._batches_in_block is not None and self._added % self._batches_in_block == 0:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        fields = [list(parts) for parts in zip(*self._waiting, strict=True)]
        self._waiting = []
        phi_x, phi_y, x_group, y_group, x_index, y_index = map(_joined, fields)
        squared_x, squared_y = _thinned(phi_x, x_index, self.share_x), _thinned(phi_y, y_index, self.share_y)
        for upper, total, count, rows in (
            (self.upper_x, self.sum_x, self.count_x, squared_x),
            (self.upper_y, self.sum_y, self.count_y, squared_y),
        ):
            for part in self._multiplied(rows):
                _add_gram(upper, part)
                total += part.sum(0)
            count += len(rows)
        groups, inverse = torch.unique(torch.cat([x_group, y_group]), return_inverse=True)
        of_x, of_y = inverse[: len(x_group)], inverse[len(x_group) :]
        p, q = torch.bincount(of_x, minlength=len(groups)), torch.bincount(of_y, minlength=len(groups))
        weights = 0.5 / (self.n_x * q.double()) + 0.5 / (self.n_y * p.double())
        # the weights of a group's positives are equal: one product of group sums does for all pairs
        sums_x, sums_y = _group_sums(phi_x, of_x, p), _group_sums(phi_y, of_y, q)
        for part_x, part_y, of_part in zip(*map(self._multiplied, (sums_x, sums_y, weights)), strict=True):
            self.cross += (part_x * of_part.to(part_x)[:, None]).T @ part_y
        self.weighted_x += (weights * q).to(sums_x) @ sums_x
        self.weighted_y += (weights * p).to(sums_y) @ sums_y
        self.weight += (weights * p * q).sum()

    def _multiplied(self, rows: Tensor) -> Iterator[Tensor]:
        """Rows (k, m) as they are multiplied, part by part."""
        return (part.double() for part in rows.split(EXACT_ROWS)) if self._exact else iter([rows])

    def tensors(self) -> list[Tensor]:
        """All sums, to be added over processes in place; complete, where batches waited for the end of their block."""
        self._flush()
        return [
            self.count_x, self.count_y, self.weight, self.sum_x, self.sum_y, self.upper_x, self.upper_y,
            self.cross, self.weighted_x, self.weighted_y,
        ]  # fmt: skip

    def copy(self) -> "Moments":
        """The same sums, to be added over processes while these go on."""
        self._flush()
        return copy.deepcopy(self)

    def pooled(self) -> "Moments":
        """Both modalities as one: the moments of (x, y) together with (y, x), for one shared encoder."""
        one = Moments(0, 0, self.n_x + self.n_y, self.n_x + self.n_y, self.sum_x.device)
        one.count_x = one.count_y = self.count_x + self.count_y
        one.weight = self.weight
        one.sum_x = one.sum_y = self.sum_x + self.sum_y
        one.upper_x = one.upper_y = self.upper_x + self.upper_y
        one.cross = (self.cross + self.cross.T) / 2
        one.weighted_x = one.weighted_y = (self.weighted_x + self.weighted_y) / 2
        return one

    @property
    def mean_square_x(self) -> float:
        """The mean of the squares of all numbers of x, centre included."""
        return float(self.upper_x.diagonal().mean() / self.count_x)

    @property
    def mean_square_y(self) -> float:
        """The mean of the squares of all numbers of y, centre included."""
        return float(self.upper_y.diagonal().mean() / self.count_y)

    @property
    def mean_x(self) -> Tensor:
        """(m_x,)."""
        return self.sum_x / self.count_x

    @property
    def mean_y(self) -> Tensor:
        """(m_y,)."""
        return self.sum_y / self.count_y

    def covariance_x(self, centre: bool = True, dtype: torch.dtype = torch.float64) -> Tensor:
        """(m_x, m_x); not centred, the second moment."""
        return _symmetric(self.upper_x, self.count_x, self.mean_x if centre else None, dtype)

    def covariance_y(self, centre: bool = True, dtype: torch.dtype = torch.float64) -> Tensor:
        """(m_y, m_y), as ``covariance_x``."""
        return _symmetric(self.upper_y, self.count_y, self.mean_y if centre else None, dtype)

    def cross_covariance(self, centre: bool = True, dtype: torch.dtype = torch.float64) -> Tensor:
        """``(Phi_x - mean)^T P (Phi_y - mean)`` (m_x, m_y); the weights of all positives sum to 1.

        Not centred ``Phi_x^T (P - 1/(n_x n_y)) Phi_y``: C at CLIP's weights of equal similarities; the same one-to-one.
        """
        mean_x, mean_y = self.mean_x, self.mean_y
        beside = self.weighted_x / self.weight - mean_x if centre else mean_x
        cross = torch.empty(self.cross.shape, dtype=dtype, device=self.cross.device)
        for rows in _strips(len(cross)):
            strip = (self.cross[rows] / self.weight).addr_(beside[rows], mean_y, alpha=-1)
            if centre:
                strip.addr_(mean_x[rows], self.weighted_y / self.weight, alpha=-1)
            cross[rows] = strip
        return cross


def run_length(pairs: Pairs, batches: int) -> int:
    """Batches that make a block of ``BLOCK_ROWS`` rows, where the split is cut into ``batches``."""
    return max(1, math.ceil(BLOCK_ROWS * batches / max(pairs.n_x, pairs.n_y)))


def _joined(parts: list[Tensor]) -> Tensor:
    """One tensor of all parts, which are taken out of the list one by one: they never are in memory twice."""
    if len(parts) == 1:
        return parts[0]
    whole = parts[0].new_empty(sum(map(len, parts)), *parts[0].shape[1:])
    start = 0
    while parts:
        part = parts.pop(0)
        whole[start : start + len(part)] = part
        start += len(part)
    return whole


def _add_gram(upper: Tensor, rows: Tensor) -> None:
    """Add ``rows^T rows`` to ``upper`` (m, m), on and right of the strips of the diagonal alone."""
    m = rows.shape[1]
    width = -(-m // STRIPS)
    for start in range(0, m, width):
        end = min(start + width, m)
        upper[start:end, start:] += rows[:, start:end].T @ rows[:, start:]


def _thinned(rows: Tensor, index: Tensor, share: float) -> Tensor:
    """About this share of the rows, by multiples of the golden ratio: even over any run of indices."""
    if share >= 1:
        return rows
    return rows[(index.double() * ((5**0.5 - 1) / 2)) % 1 < share]


def _symmetric(upper: Tensor, count: Tensor, mean: Tensor | None, dtype: torch.dtype) -> Tensor:
    """``upper / count - mean mean^T`` (m, m), of what is on and right of the diagonal.

    In strips, since memory for one more matrix costs more than all arithmetic on it.
    """
    m = len(upper)
    whole = torch.empty(m, m, dtype=dtype, device=upper.device)
    for rows in _strips(m):
        strip = upper[rows, rows.start :] / count
        if mean is not None:
            strip.addr_(mean[rows], mean[rows.start :], alpha=-1)
        corner = strip[:, : len(strip)]
        corner.copy_(corner.triu() + corner.triu(1).T)
        whole[rows, rows.start :] = strip
        whole[rows.start :, rows] = strip.T
    return whole


def _strips(m: int) -> list[slice]:
    return [slice(start, min(start + STRIP_ROWS, m)) for start in range(0, m, STRIP_ROWS)]


def _group_sums(rows: Tensor, group: Tensor, sizes: Tensor) -> Tensor:
    """Sums (G, m) of the rows of each group."""
    if len(rows) == len(sizes):  # one row a group
        return rows[torch.argsort(group)]
    return rows.new_zeros(len(sizes), rows.shape[1]).index_add_(0, group, rows)
