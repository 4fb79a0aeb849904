"""Retrieval: exact ranks of the best-ranked positive, many to many, in blocks, and their rates.

Scores are cosines or an aligner's own, see ``scoring``.

How ties count. A candidate as good as the best positive stands before it, so a tie costs a rank. The one
exception: where all candidates of the gallery have the same score for a query there is no ranking at all,
and they stand in the gallery's order. Collapsed embeddings therefore score chance, k/N for one-to-one
pairs.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from evaluation.scoring import COSINE, Scorer, blocks, check_embeddings, check_groups

CUTOFFS = (1, 5, 10)
_BAND = 64  # queries whose positives are scored together when the best of them is sought


class _Side:
    """Items in the order of their groups, so that the positives of a run of queries are neighbours."""

    def __init__(self, rows: Tensor, group: Tensor, prepare: Callable[[Tensor], Tensor]) -> None:
        check_groups(rows, group)
        self.rows = rows
        self.prepare = prepare
        self.order = torch.argsort(group, stable=True)  # stable: the first of a group is first in the gallery
        self.group = group[self.order]

    def __len__(self) -> int:
        return len(self.group)

    def prepared(self, part: slice) -> Tensor:
        return self.prepare(self.rows[self.order[part]])


class _Tally:
    """One direction: each query's positive scores, and how many other candidates reach the best of them."""

    def __init__(self, queries: _Side, gallery: _Side, block_size: int, scorer: Scorer) -> None:
        self.queries, self.gallery = queries, gallery
        self.first = torch.searchsorted(gallery.group, queries.group)
        self.last = torch.searchsorted(gallery.group, queries.group, right=True)
        missing = int((self.first == self.last).sum())
        if missing:
            raise ValueError(f"{missing} of {len(queries)} queries have no positive in the gallery")
        device = queries.rows.device
        self.best = torch.full((len(queries),), -torch.inf, device=device)  # (q,) highest positive score
        self.worst = torch.full_like(self.best, torch.inf)  # (q,) lowest positive score
        self.highest = torch.full_like(self.best, -torch.inf)  # (q,) highest score of the others
        self.reached = torch.zeros(len(queries), dtype=torch.int64, device=device)  # (q,) others that reach the best
        for band in blocks(len(queries), _BAND):
            start, stop = self.span(band)
            rows = queries.prepared(band)
            for part in blocks(stop - start, block_size):
                part = slice(start + part.start, start + part.stop)
                scores = scorer.score(rows, gallery.prepared(part))
                other = queries.group[band, None] != gallery.group[None, part]
                self.best[band].clamp_min_(scores.masked_fill(other, -torch.inf).amax(1))
                self.worst[band].clamp_max_(scores.masked_fill(other, torch.inf).amin(1))

    def span(self, part: slice) -> tuple[int, int]:
        """Where in the sorted gallery the positives of the sorted queries ``part`` begin and end."""
        return int(self.first[part.start]), int(self.last[part.stop - 1])

    def add(self, others: Tensor, part: slice) -> None:
        """Count a block (queries of ``part``, gallery items) of scores in which positives are -inf."""
        reach = others >= self.best[part, None]
        self.reached[part] += reach.view(torch.uint8).sum(1, dtype=torch.int32)
        self.highest[part].clamp_min_(others.amax(1))

    def ranks(self) -> Tensor:
        """(q,) int64 in the queries' own order."""
        n_others = len(self.gallery) - (self.last - self.first)
        flat = (self.best == self.worst) & (self.best == self.highest) & (self.reached == n_others)
        ranks = torch.where(flat, self.gallery.order[self.first], self.reached) + 1
        return torch.empty_like(ranks).index_copy_(0, self.queries.order, ranks)


@torch.no_grad()
def _ranks(
    x: Tensor, y: Tensor, x_group: Tensor, y_group: Tensor, block_size: int, scorer: Scorer, both: bool
) -> list[Tensor]:
    """Ranks of x's queries and, with ``both``, of y's queries from the same products."""
    check_embeddings(x, y)
    x_side, y_side = _Side(x, x_group, scorer.prepare), _Side(y, y_group, scorer.prepare)
    tally = _Tally(x_side, y_side, block_size, scorer)
    back = _Tally(y_side, x_side, block_size, scorer.back()) if both else None
    for x_part in blocks(len(x_side), block_size):
        rows = x_side.prepared(x_part)
        start, stop = tally.span(x_part)
        for y_part in blocks(len(y_side), block_size):
            scores = scorer.score(rows, y_side.prepared(y_part))
            low, high = max(start, y_part.start), min(stop, y_part.stop)
            if low < high:
                positive = x_side.group[x_part, None] == y_side.group[None, low:high]
                scores[:, low - y_part.start : high - y_part.start].masked_fill_(positive, -torch.inf)
            tally.add(scores, x_part)
            if back is not None:
                back.add(scores.T, y_part)
    return [tally.ranks()] if back is None else [tally.ranks(), back.ranks()]


def ranks(
    queries: Tensor,
    gallery: Tensor,
    query_group: Tensor,
    gallery_group: Tensor,
    block_size: int,
    scorer: Scorer = COSINE,
) -> Tensor:
    """Rank, from 1, of the best-ranked positive of every query, by cosine or another rule of scoring.

    ``rank_i = 1 + #{j not positive : c_ij >= max over positives p of c_ip}``; where ``c_ij`` is the same
    for all j, ``rank_i = 1 + index of the first positive``. Exact; memory is one block of cosines and of
    unit rows.

    Args:
        queries: (q, r) embeddings of any scale.
        gallery: (g, r).
        query_group: (q,) int64; the positives of a query are the gallery items of its group.
        gallery_group: (g,) int64.
        block_size: rows of queries and of gallery scored at a time; speed and memory only.
        scorer: the rule of scoring.

    Returns:
        (q,) int64 in 1..g.

    Raises:
        ValueError: for NaN or infinity, shapes that do not fit, or queries without a positive.
    """  # fmt: skip
    return _ranks(queries, gallery, query_group, gallery_group, block_size, scorer, both=False)[0]


def retrieval_metrics(ranks: Tensor) -> dict[str, float]:
    """``R@k = 100 mean[rank <= k]`` for k = 1, 5, 10, ``median_rank``, and ``mrr = 100 mean[1 / rank]``.

    R@k is the hit rate in percent, the rule of the CLIP papers (Radford et al. 2021): a query counts when any
    of its positives is among the first k. A median between two ranks is their mean. ``ranks`` is (q,) int64.

    Raises:
        ValueError: without any rank.
    """
    n = len(ranks)
    if n == 0:
        raise ValueError("retrieval needs at least one query")
    ordered = ranks.double().sort().values
    rates = {f"R@{k}": 100.0 * float((ranks <= k).double().mean()) for k in CUTOFFS}
    median = float(ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return {**rates, "median_rank": median, "mrr": 100.0 * float(ordered.reciprocal().mean())}


def ranks_both_ways(
    x: Tensor,
    y: Tensor,
    x_group: Tensor,
    y_group: Tensor,
    x_name: str,
    y_name: str,
    block_size: int,
    scorer: Scorer = COSINE,
) -> dict[str, Tensor]:
    """The ``ranks`` of both directions, under ``image_to_text`` and ``text_to_image``.

    Each score is formed once for both directions, where it is the same in both.

    Raises:
        ValueError: as ``ranks``, for either direction; or when both names are the same.
    """  # fmt: skip
    if x_name == y_name:
        raise ValueError(f"the two modalities need two names, both are '{x_name}'")
    if scorer.of_queries_y is None:
        of_x, of_y = _ranks(x, y, x_group, y_group, block_size, scorer, both=True)
    else:
        of_x = ranks(x, y, x_group, y_group, block_size, scorer)
        of_y = ranks(y, x, y_group, x_group, block_size, scorer.back())
    return {f"{x_name}_to_{y_name}": of_x, f"{y_name}_to_{x_name}": of_y}


def rates_both_ways(ranks: dict[str, Tensor]) -> dict[str, float]:
    """``retrieval_metrics`` of each direction, as ``image_to_text/R@1``, and ``mean_recall``, the mean of all R@k."""
    result = {f"{way}/{key}": value for way, r in ranks.items() for key, value in retrieval_metrics(r).items()}
    recalls = [value for key, value in result.items() if "/R@" in key]
    return {**result, "mean_recall": sum(recalls) / len(recalls)}


def evaluate_retrieval(
    x: Tensor, y: Tensor, x_group: Tensor, y_group: Tensor, x_name: str, y_name: str, block_size: int
) -> dict[str, float]:
    """Both directions' ``retrieval_metrics`` by cosine under ``image_to_text/R@1`` and so on, and ``mean_recall``.

    Raises:
        ValueError: as ``ranks_both_ways``.
    """
    return rates_both_ways(ranks_both_ways(x, y, x_group, y_group, x_name, y_name, block_size))
