"""A contrastive objective over all pairs of some items, by blocks of the similarity matrix."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.objectives.base import Objective
from aligners.objectives.softmax import CLIP, InfoNCE
from aligners.objectives.whole import WholeObjective
from ground.distributed import add_over_processes

SMALLEST_TAU = 0.025
"""exp(-2 / tau) is a normal float32 number above it; below it similarities are taken in float64."""
SMALLEST_TAU_OF_TILES = 0.003
"""exp(-2 / tau) is a normal float64 number above it; below it whole rows are shifted by their own maxima."""
TILE_ROWS = 1024


class Contrasted(NamedTuple):
    """The objective at some embeddings, and what its weights need to be found again.

    Example:
        >>> Contrasted(0.5)
        Contrasted(value=0.5, rows=None, columns=None)
    """

    value: float
    rows: Tensor | None = None
    """(n_x,) sums of ``exp((s - 1) / tau)`` over each row, for a softmax objective."""
    columns: Tensor | None = None
    """(n_y,) the same over each column."""


class Contrast:
    """The objective over all pairs of n_x and n_y items with given groups: its value, and S B and S^T A.

    Memory is a block of ``block_size`` similarities and some (n, r) matrices. Blocks are dealt whole over ``shares``
    processes, of which this is number ``share``: the same products are formed by any number of them. Results are added
    over them in float64, and are the same in all.

    InfoNCE and CLIP take square tiles and two streams, as their weights are a rank-one scaling of
    ``exp(s / tau)``: first its row and column sums, then its products. Any other objective, and these two below
    ``SMALLEST_TAU_OF_TILES``, takes whole rows, and whole columns if it is symmetric: a log-sum-exp of each.

    Example:
        >>> contrast = Contrast(CLIP(tau=1.0), torch.arange(3), torch.arange(3), block_size=2**20)
        >>> at = contrast.value(torch.eye(3), torch.eye(3))
        >>> round(at.value, 4)
        0.5514
        >>> SB, StA = contrast.products(torch.eye(3), torch.eye(3), A=torch.eye(3), B=torch.eye(3), at=at)
        >>> SB.shape
        torch.Size([3, 3])
    """

    def __init__(
        self, objective: Objective, x_group: Tensor, y_group: Tensor, block_size: int, share: int = 0, shares: int = 1
    ):
        self.objective = objective
        self.block_size = block_size
        self.share, self.shares = share, shares
        groups, ids = torch.unique(torch.cat([x_group, y_group]), return_inverse=True)
        self.x_id, self.y_id = ids[: len(x_group)], ids[len(x_group) :]
        self.n_groups = len(groups)
        self.p = torch.bincount(self.x_id, minlength=self.n_groups)
        self.q = torch.bincount(self.y_id, minlength=self.n_groups)
        self.tau: float = getattr(objective, "tau", 1.0)  # an objective without a temperature has no large exponents
        self.by_softmax = type(objective) in (InfoNCE, CLIP) and self.tau >= SMALLEST_TAU_OF_TILES

    def value(self, x: Tensor, y: Tensor) -> Contrasted:
        """The objective at embeddings (n_x, r), (n_y, r)."""
        x, y = self._unit(x, y)
        return self._softmax_value(x, y) if self.by_softmax else self._rowwise_value(x, y)

    def products(self, x: Tensor, y: Tensor, A: Tensor, B: Tensor, at: Contrasted) -> tuple[Tensor, Tensor]:
        """``S B`` (n_x, l) and ``S^T A`` (n_y, k) of A (n_x, k) and B (n_y, l), S at the embeddings' cosines.

        ``at`` is the value there.
        """
        x, y = self._unit(x, y)
        both = self._softmax_products(x, y, A, B, at) if self.by_softmax else self._rowwise_products(x, y, A, B)
        self.add(*both)
        return both[0].to(A), both[1].to(B)

    def add(self, *sums: Tensor) -> None:
        if self.shares > 1:
            add_over_processes(*sums)

    def _unit(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if self.tau < SMALLEST_TAU:
            x, y = x.double(), y.double()
        return normalize(x), normalize(y)

    # softmax objectives

    def tiles(self) -> list[tuple[slice, slice]]:
        width = self._tile_width
        return [
            (i, slice(j, min(j + width, len(self.y_id))))
            for i in self._dealt(len(self.x_id), TILE_ROWS)
            for j in range(0, len(self.y_id), width)
        ]

    @property
    def _tile_width(self) -> int:
        return max(1, self.block_size // TILE_ROWS)

    def room(self, like: Tensor) -> Tensor:
        """Memory for a tile, in which one after the other is formed: new memory costs as much as the arithmetic."""
        return like.new_empty(min(TILE_ROWS, len(self.x_id)), min(self._tile_width, len(self.y_id)))

    def _dealt(self, n: int, size: int) -> list[slice]:
        """This process's blocks of ``size`` of n rows."""
        return [slice(i, min(i + size, n)) for i in range(self.share * size, n, self.shares * size)]

    def _exponentials(self, scaled_x: Tensor, y: Tensor, i: slice, j: slice, room: Tensor) -> Tensor:
        E = within(room, i, j)
        torch.mm(scaled_x[i], y[j].T, out=E)
        return E.sub_(1 / self.tau).exp_()  # one shift for all: rows and columns share each exponential

    def _softmax_value(self, x: Tensor, y: Tensor) -> Contrasted:
        tau, symmetric = self.tau, self.objective.symmetric
        rows, columns = (x.new_zeros(len(side), dtype=torch.float64) for side in (x, y))
        scaled, room = x / tau, self.room(x)
        for i, j in self.tiles():
            E = self._exponentials(scaled, y, i, j, room)
            rows[i] += E.sum(1)
            if symmetric:
                columns[j] += E.sum(0)
        self.add(rows, columns)
        of_x, of_y = self.group_sums(x, self.x_id).double(), self.group_sums(y, self.y_id).double()
        products = (of_x * of_y).sum(1)  # the sum of all similarities of a group's positives
        value = 1 + tau * rows.log().mean() - (products / self.q).sum() / len(x)
        if symmetric:
            value = (value + 1 + tau * columns.log().mean() - (products / self.p).sum() / len(y)) / 2
        return Contrasted(float(value), rows, columns)

    def _softmax_products(self, x: Tensor, y: Tensor, A: Tensor, B: Tensor, at: Contrasted) -> tuple[Tensor, Tensor]:
        assert at.rows is not None
        assert at.columns is not None
        sides = 2 if self.objective.symmetric else 1
        alpha = (1 / (sides * len(x) * at.rows)).to(x)
        beta = (1 / (sides * len(y) * at.columns)).to(x) if self.objective.symmetric else torch.zeros_like(y[:, 0])
        SB, StA = (A.new_zeros(n, side.shape[1], dtype=torch.float64) for n, side in ((len(A), B), (len(B), A)))
        scaled, A_, B_ = x / self.tau, A.to(x), B.to(x)
        room, beside = self.room(x), self.room(x)
        for i, j in self.tiles():
            E = self._exponentials(scaled, y, i, j, room)
            W = E.mul_(torch.add(alpha[i, None], beta[j], out=within(beside, i, j)))
            SB[i] -= W @ B_[j]
            StA[j] -= W.T @ A_[i]
        # the positives, whose weight is one number for each group; by one process
        if self.share == 0:
            weight = 1 / (sides * len(x) * self.q.double())
            if self.objective.symmetric:
                weight += 1 / (sides * len(y) * self.p.double())
            SB += (self.group_sums(B.double(), self.y_id) * weight[:, None])[self.x_id]
            StA += (self.group_sums(A.double(), self.x_id) * weight[:, None])[self.y_id]
        return SB, StA

    def group_sums(self, rows: Tensor, ids: Tensor) -> Tensor:
        return rows.new_zeros(self.n_groups, rows.shape[1]).index_add_(0, ids, rows)

    # any other objective

    def _sweeps(self) -> list[tuple[bool, slice]]:
        sweeps = []
        for transposed, n, other in ((False, len(self.x_id), len(self.y_id)), (True, len(self.y_id), len(self.x_id))):
            if transposed and not self.objective.symmetric:
                continue
            sweeps += [(transposed, rows) for rows in self._dealt(n, max(1, self.block_size // other))]
        return sweeps

    def _block(self, x: Tensor, y: Tensor, transposed: bool, rows: slice) -> tuple[Tensor, Tensor, float]:
        """Similarities and positives of a block of rows (or columns), and the block's factor in the mean."""
        ids, others = (self.y_id, self.x_id) if transposed else (self.x_id, self.y_id)
        if transposed:
            x, y = y, x
        factor = 1 / (len(ids) * (2 if self.objective.symmetric else 1))
        return x[rows] @ y.T, ids[rows, None] == others, factor

    def _rowwise_value(self, x: Tensor, y: Tensor) -> Contrasted:
        total = x.new_zeros((), dtype=torch.float64)
        for transposed, rows in self._sweeps():
            similarity, positives, factor = self._block(x, y, transposed, rows)
            total += factor * self.objective.rows(similarity, positives).sum(dtype=torch.float64)
        self.add(total)
        return Contrasted(float(total))

    def _rowwise_products(self, x: Tensor, y: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        SB, StA = (A.new_zeros(n, side.shape[1], dtype=torch.float64) for n, side in ((len(A), B), (len(B), A)))
        for transposed, rows in self._sweeps():
            similarity, positives, factor = self._block(x, y, transposed, rows)
            weights = self.objective.row_weights(similarity, positives).mul_(factor).to(A)
            if transposed:
                StA[rows] += weights @ A
                SB += weights.T @ B[rows]
            else:
                SB[rows] += weights @ B
                StA += weights.T @ A[rows]
        return SB, StA


def within(room: Tensor, i: slice, j: slice) -> Tensor:
    """The part of the room (a, b) that a tile of the rows i and the columns j takes, in one piece."""
    rows, columns = i.stop - i.start, j.stop - j.start
    return room.view(-1)[: rows * columns].view(rows, columns)


class WholeContrast:
    """A whole objective over all pairs of some items, the matrix formed at once: its value, and S B and S^T A.

    It stands in the place of ``Contrast``, where one process has the whole.
    """

    def __init__(self, objective: WholeObjective, x_group: Tensor, y_group: Tensor):
        self.objective = objective
        self.positives = x_group[:, None] == y_group

    def value(self, x: Tensor, y: Tensor) -> Contrasted:
        """The objective at embeddings (n_x, r), (n_y, r)."""
        return Contrasted(float(self.objective(normalize(x) @ normalize(y).T, self.positives)))

    def products(self, x: Tensor, y: Tensor, A: Tensor, B: Tensor, at: Contrasted) -> tuple[Tensor, Tensor]:
        """``S B`` (n_x, r) and ``S^T A`` (n_y, r), S at the embeddings' cosines."""
        S = self.objective.weights(normalize(x) @ normalize(y).T, self.positives).to(A)
        return S @ B, S.T @ A
