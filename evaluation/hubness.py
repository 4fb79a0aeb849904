"""Hubness: how unevenly a gallery's items stand among the nearest of the queries."""

import torch
from torch import Tensor

from evaluation.scoring import COSINE, Scorer, blocks, check_embeddings


class _Nearest:
    """One direction: the k highest scores of each query so far, then how often each item reaches them."""

    def __init__(self, n_queries: int, n_items: int, k: int) -> None:
        self.k = k
        self.highest = torch.full((n_queries, k), -torch.inf)
        self.counts = torch.zeros(n_items, dtype=torch.int64)

    def offer(self, scores: Tensor, part: slice) -> None:
        """A block (queries of ``part``, items) of scores."""
        # few rows of a block hold any of the k highest once some blocks have been seen
        rows = (scores.amax(1) > self.highest[part, -1]).nonzero()[:, 0]
        if len(rows):
            best = scores[rows].topk(min(self.k, scores.shape[1])).values
            rows += part.start
            self.highest[rows] = torch.cat([self.highest[rows], best], 1).topk(self.k).values

    def count(self, scores: Tensor, part: slice, items: slice) -> None:
        """The same block again, when all have been offered."""
        self.counts[items] += (scores >= self.highest[part, -1:]).sum(0)


@torch.no_grad()
def k_occurrences(
    x: Tensor, y: Tensor, k: int, block_size: int, scorer: Scorer = COSINE
) -> tuple[Tensor | None, Tensor | None]:
    r"""How many queries have each item among their k nearest, :math:`N_k`: of the y for queries x, of the x for y.

    An item as good as the k-th best is one of them, so equal items count alike, whatever their order. Exact; scores are
    formed twice, memory is one block of them and k scores a query.

    Args:
        x: (n_x, r) embeddings.
        y: (n_y, r).
        k: neighbours of a query.
        block_size: rows of x and of y scored at a time; speed and memory only.
        scorer: the rule of scoring.

    Returns:
        (n_y,) and (n_x,) int64; None of a gallery of no more than k items, each of which is always among them.

    Raises:
        ValueError: for NaN or infinity, or shapes that do not fit.

    Example:
        >>> x, y = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), torch.eye(2)
        >>> k_occurrences(x, y, 1, block_size=2)
        (tensor([2, 1]), tensor([1, 0, 1]))
    """
    check_embeddings(x, y)
    there = _Nearest(len(x), len(y), k) if len(y) > k else None
    back = _Nearest(len(y), len(x), k) if len(x) > k else None
    for again in (False, True):
        for x_part in blocks(len(x), block_size):
            rows = scorer.prepare(x[x_part])
            for y_part in blocks(len(y), block_size):
                columns = scorer.prepare(y[y_part])
                scores = scorer.score(rows, columns)
                of_y = scores.T if scorer.of_queries_y is None else scorer.of_queries_y(columns, rows)
                for side, block, part, items in ((there, scores, x_part, y_part), (back, of_y, y_part, x_part)):
                    if side is not None and again:
                        side.count(block, part, items)
                    elif side is not None:
                        side.offer(block, part)
    return None if there is None else there.counts, None if back is None else back.counts


def skewness(counts: Tensor) -> float:
    r""":math:`E[(N - \mu)^3] / \sigma^3` of counts (n,); 0 where all are equal.

    Of k-occurrences it is the hubness of Radovanović, Nanopoulos and Ivanović (2010): 0 where items are met alike,
    high where few of them are near to most queries.

    Example:
        >>> skewness(torch.tensor([0, 0, 0, 4])), skewness(torch.tensor([2, 2]))
        (1.1547005383792515, 0.0)
    """
    apart = counts.double() - counts.double().mean()
    spread = float(apart.square().mean())
    return float(apart.pow(3).mean()) / spread**1.5 if spread > 0 else 0.0


def evaluate_hubness(
    x: Tensor, y: Tensor, x_name: str, y_name: str, k: int, block_size: int, scorer: Scorer = COSINE
) -> dict[str, float]:
    """The ``skewness`` of ``k_occurrences`` of each direction's gallery, as ``image_to_text``; none of a small gallery.

    Raises:
        ValueError: as ``k_occurrences``.
    """
    of_y, of_x = k_occurrences(x, y, k, block_size, scorer)
    ways = {f"{x_name}_to_{y_name}": of_y, f"{y_name}_to_{x_name}": of_x}
    return {way: skewness(counts) for way, counts in ways.items() if counts is not None}
