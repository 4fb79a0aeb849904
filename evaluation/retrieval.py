"""Retrieval by cosine: exact ranks of the best-ranked positive, many to many, in blocks, and their rates.

How scores are formed. Rows are scaled to unit length in float64, cosines are formed in float64 and rounded
to multiples of 2^-24 before anything is compared. Equal items tie by this: two float64 sums of the same terms
differ by some 1e-16 with the block, the order of the items or the BLAS, and the grid's step, 6e-8, hides that
(it fails only for a cosine that lies this close to the middle between two multiples: about one tie in 1e8).
A plain float32 would not do: it is so fine near 0 that items at right angles would not tie. Zero rows have
cosine 0 with everything. float64 is needed, so tensors live on the CPU or on CUDA.

How ties count. A candidate as good as the best positive stands before it, so a tie costs a rank. The one
exception: where all candidates of the gallery have the same score for a query there is no ranking at all,
and they stand in the gallery's order. Collapsed embeddings therefore score chance, k/N for one-to-one
pairs.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

CUTOFFS = (1, 5, 10)
_GRID = 2.0**24  # the finest grid on [-1, 1] whose numbers are all float32
_BAND = 64  # queries whose positives are scored together when the best of them is sought


def unit_rows(rows: Tensor) -> Tensor:
    """Rows (n, r) at length 1 in float64, whatever their scale; zero rows stay zero."""
    rows = rows.double()
    largest = rows.abs().amax(1, keepdim=True)  # first, so that no square over- or underflows
    rows = rows / torch.where(largest > 0, largest, 1.0)
    length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / torch.where(length > 0, length, 1.0)


def cosines(queries: Tensor, gallery: Tensor) -> Tensor:
    """Cosines (q, g) float32, multiples of 2^-24, of unit rows (q, r) and (g, r) float64."""
    return ((queries * _GRID) @ gallery.T).round_().float().div_(_GRID)


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


class _Side:
    """Items in the order of their groups, so that the positives of a run of queries are neighbours."""

    def __init__(self, rows: Tensor, group: Tensor) -> None:
        check_groups(rows, group)
        self.rows = rows
        self.order = torch.argsort(group, stable=True)  # stable: the first of a group is first in the gallery
        self.group = group[self.order]

    def __len__(self) -> int:
        return len(self.group)

    def unit(self, part: slice) -> Tensor:
        return unit_rows(self.rows[self.order[part]])


class _Tally:
    """One direction: each query's positive scores, and how many other candidates reach the best of them."""

    def __init__(self, queries: _Side, gallery: _Side, block_size: int) -> None:
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
            unit = queries.unit(band)
            for part in blocks(stop - start, block_size):
                part = slice(start + part.start, start + part.stop)
                scores = cosines(unit, gallery.unit(part))
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
def _ranks(x: Tensor, y: Tensor, x_group: Tensor, y_group: Tensor, block_size: int, both: bool) -> list[Tensor]:
    """Ranks of x's queries and, with ``both``, of y's queries from the same products."""
    check_embeddings(x, y)
    x_side, y_side = _Side(x, x_group), _Side(y, y_group)
    tally = _Tally(x_side, y_side, block_size)
    back = _Tally(y_side, x_side, block_size) if both else None
    for x_part in blocks(len(x_side), block_size):
        unit = x_side.unit(x_part)
        start, stop = tally.span(x_part)
        for y_part in blocks(len(y_side), block_size):
            scores = cosines(unit, y_side.unit(y_part))
            low, high = max(start, y_part.start), min(stop, y_part.stop)
            if low < high:
                positive = x_side.group[x_part, None] == y_side.group[None, low:high]
                scores[:, low - y_part.start : high - y_part.start].masked_fill_(positive, -torch.inf)
            tally.add(scores, x_part)
            if back is not None:
                back.add(scores.T, y_part)
    return [tally.ranks()] if back is None else [tally.ranks(), back.ranks()]


def ranks(queries: Tensor, gallery: Tensor, query_group: Tensor, gallery_group: Tensor, block_size: int) -> Tensor:
    """Rank, from 1, of the best-ranked positive of every query by cosine.

    ``rank_i = 1 + #{j not positive : c_ij >= max over positives p of c_ip}``; where ``c_ij`` is the same
    for all j, ``rank_i = 1 + index of the first positive``. Exact; memory is one block of cosines and of
    unit rows.

    Args:
        queries: (q, r) embeddings of any scale.
        gallery: (g, r).
        query_group: (q,) int64; the positives of a query are the gallery items of its group.
        gallery_group: (g,) int64.
        block_size: rows of queries and of gallery scored at a time; speed and memory only.

    Returns:
        (q,) int64 in 1..g.

    Raises:
        ValueError: for NaN or infinity, shapes that do not fit, or queries without a positive.
    """
    return _ranks(queries, gallery, query_group, gallery_group, block_size, both=False)[0]


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


def evaluate_retrieval(
    x: Tensor, y: Tensor, x_group: Tensor, y_group: Tensor, x_name: str, y_name: str, block_size: int
) -> dict[str, float]:
    """Both directions' ``retrieval_metrics`` under ``image_to_text/R@1`` and so on, and ``mean_recall``.

    ``mean_recall`` is the mean of the six R@k. Each cosine is formed once for both directions.

    Raises:
        ValueError: as ``ranks``, for either direction; or when both names are the same.
    """
    if x_name == y_name:
        raise ValueError(f"the two modalities need two names, both are '{x_name}'")
    of_x, of_y = _ranks(x, y, x_group, y_group, block_size, both=True)
    named = {f"{x_name}_to_{y_name}": of_x, f"{y_name}_to_{x_name}": of_y}
    result = {f"{way}/{key}": value for way, r in named.items() for key, value in retrieval_metrics(r).items()}
    recalls = [value for key, value in result.items() if "/R@" in key]
    return {**result, "mean_recall": sum(recalls) / len(recalls)}


@torch.no_grad()
def nearest(queries: Tensor, gallery: Tensor, k: int, block_size: int) -> tuple[Tensor, Tensor]:
    """Cosines (q, k) float32 and indices (q, k) int64 of each query's k nearest gallery items, best first.

    Equal scores stand in the gallery's order, whatever the block size; k above g gives all g.

    Raises:
        ValueError: for NaN or infinity, widths that differ, or k below 1.
    """
    check_embeddings(queries, gallery)
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    keys = []
    for q_part in blocks(len(queries), block_size):
        unit = unit_rows(queries[q_part])
        kept = torch.empty(len(unit), 0, dtype=torch.int64, device=queries.device)
        for g_part in blocks(len(gallery), block_size):
            scores = (cosines(unit, unit_rows(gallery[g_part])) * _GRID).long()
            index = torch.arange(g_part.start, g_part.stop, device=queries.device)
            key = (scores << 32) - index  # one integer a pair, all different: the score, then the earlier item
            key = torch.cat([kept, key.topk(min(k, key.shape[1]), dim=1).values], dim=1)
            kept = key.topk(min(k, key.shape[1]), dim=1).values
        keys.append(kept)
    key = torch.cat(keys)
    index = -key & 0xFFFFFFFF
    return ((key + index) >> 32).float() / _GRID, index


def top_matches(queries: Tensor, gallery: Tensor, k: int, block_size: int) -> Tensor:
    """Indices (q, min(k, g)) of the items of highest cosine, best first; see ``nearest``."""
    return nearest(queries, gallery, k, block_size)[1]


@torch.no_grad()
def class_accuracy(
    x: Tensor, y: Tensor, x_label: Tensor, y_label: Tensor, x_name: str, y_name: str, block_size: int
) -> dict[str, float]:
    """Share of queries, in percent, whose nearest item of the other modality has their class; and the mean of both.

    ``x`` (n_x, r) and ``y`` (n_y, r) are embeddings, ``x_label`` (n_x,) and ``y_label`` (n_y,) their classes. Keys:
    ``image_to_text/class_accuracy``, ``text_to_image/class_accuracy``, ``class_accuracy``.

    Raises:
        ValueError: for NaN or infinity, or shapes that do not fit.
    """
    check_embeddings(x, y)
    check_groups(x, x_label)
    check_groups(y, y_label)
    ways = ((f"{x_name}_to_{y_name}", x, y, x_label, y_label), (f"{y_name}_to_{x_name}", y, x, y_label, x_label))
    metrics = {}
    for way, queries, gallery, of_query, of_gallery in ways:
        best = top_matches(queries, gallery, 1, block_size)[:, 0].cpu()
        metrics[f"{way}/class_accuracy"] = 100 * float((of_gallery[best] == of_query).double().mean())
    return metrics | {"class_accuracy": sum(metrics.values()) / 2}
