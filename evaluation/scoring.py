"""How two embeddings are scored: by cosine, or by an aligner's own score.

How cosines are formed. Rows are scaled to unit length in float64, cosines are formed in float64 and rounded
to multiples of 2^-24 before anything is compared. Equal items tie by this: two float64 sums of the same terms
differ by some 1e-16 with the block, the order of the items or the BLAS, and the grid's step, 6e-8, hides that
(it fails only for a cosine that lies this close to the middle between two multiples: about one tie in 1e8).
A plain float32 would not do: it is so fine near 0 that items at right angles would not tie. Zero rows have
cosine 0 with everything. float64 is needed, so tensors live on the CPU or on CUDA.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

GRID = 2.0**24  # the finest grid on [-1, 1] whose numbers are all float32


def unit_rows(rows: Tensor) -> Tensor:
    """Rows (n, r) at length 1 in float64, whatever their scale; zero rows stay zero."""
    rows = rows.double()
    largest = rows.abs().amax(1, keepdim=True)  # first, so that no square over- or underflows
    rows = rows / torch.where(largest > 0, largest, 1.0)
    length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / torch.where(length > 0, length, 1.0)


def cosines(queries: Tensor, gallery: Tensor) -> Tensor:
    """Cosines (q, g) float32, multiples of 2^-24, of unit rows (q, r) and (g, r) float64."""
    return ((queries * GRID) @ gallery.T).round_().float().div_(GRID)


class Scorer(NamedTuple):
    """A rule of scoring: ``score(prepare(x), prepare(y))`` of rows (a, r) and (b, r) is (a, b) float32.

    A score must not depend on the block that its rows stand in, for a tie is told by equal scores. Where the score of
    a pair depends on which of the two is the query, ``of_queries_y(prepare(y), prepare(x))`` (b, a) is that of y's
    queries.

    Example:
        >>> dot = Scorer(prepare=torch.clone, score=lambda x, y: x @ y.T)
        >>> x, y = torch.eye(2), torch.tensor([[2.0, 0.0], [1.0, 1.0]])
        >>> dot.score(dot.prepare(x), dot.prepare(y)), dot.back().score(y, x)
        (tensor([[2., 1.], [0., 1.]]), tensor([[2., 0.], [1., 1.]]))
    """

    prepare: Callable[[Tensor], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]
    of_queries_y: Callable[[Tensor, Tensor], Tensor] | None = None

    def back(self) -> "Scorer":
        """The scores with the y as the queries."""
        if self.of_queries_y is not None:
            return Scorer(self.prepare, self.of_queries_y, self.score)
        return Scorer(self.prepare, lambda y, x: self.score(x, y).T)


COSINE = Scorer(unit_rows, cosines)


def own(score: Callable[[Tensor, Tensor], Tensor]) -> Scorer:
    """The rule of an aligner that has a ``score`` of its own embeddings."""
    return Scorer(lambda rows: rows, lambda x, y: score(x, y).float())


def check_embeddings(*embeddings: Tensor) -> None:
    """Raise ValueError unless all are finite matrices (n, r) of one r and ``n`` is at least 1."""
    for z in embeddings:
        if z.ndim != 2 or z.shape[0] == 0:
            raise ValueError(f"embeddings must be a matrix (n, r) with at least one row, got shape {tuple(z.shape)}")
        if z.shape[1] != embeddings[0].shape[1]:
            raise ValueError(f"embeddings differ in width: {embeddings[0].shape[1]} and {z.shape[1]}")
        bad = int((~torch.isfinite(z)).any(dim=1).sum())
        if bad:
            raise ValueError(f"embeddings hold NaN or infinity in {bad} of {z.shape[0]} rows: nothing can be ranked")


def check_groups(rows: Tensor, group: Tensor) -> None:
    """Raise ValueError unless ``group`` (n,) names the group of every row of ``rows`` (n, r)."""
    if group.shape != rows.shape[:1]:
        raise ValueError(f"{len(rows)} embeddings need as many groups, got shape {tuple(group.shape)}")


def blocks(n: int, block_size: int) -> Iterator[slice]:
    """The slices of at most ``block_size`` that cover ``range(n)``, in order."""
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1, got {block_size}")
    return (slice(start, min(start + block_size, n)) for start in range(0, n, block_size))
