"""The items that stand first: the nearest of each query, and whether the very nearest has its class."""

import torch
from torch import Tensor

from evaluation.scoring import COSINE, Scorer, blocks, check_embeddings, check_groups


@torch.no_grad()
def nearest(
    queries: Tensor, gallery: Tensor, k: int, block_size: int, scorer: Scorer = COSINE
) -> tuple[Tensor, Tensor]:
    """Scores (q, k) float32 and indices (q, k) int64 of each query's k nearest gallery items, best first.

    Equal scores stand in the gallery's order, whatever the block size; k above g gives all g.

    Raises:
        ValueError: for NaN or infinity, widths that differ, or k below 1.
    """
    check_embeddings(queries, gallery)
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    keys = []
    for q_part in blocks(len(queries), block_size):
        rows = scorer.prepare(queries[q_part])
        kept = torch.empty(len(rows), 0, dtype=torch.int64, device=queries.device)
        for g_part in blocks(len(gallery), block_size):
            scores = _in_order(scorer.score(rows, scorer.prepare(gallery[g_part]))).long()
            index = torch.arange(g_part.start, g_part.stop, device=queries.device)
            key = (scores << 32) - index  # one integer a pair, all different: the score, then the earlier item
            key = torch.cat([kept, key.topk(min(k, key.shape[1]), dim=1).values], dim=1)
            kept = key.topk(min(k, key.shape[1]), dim=1).values
        keys.append(kept)
    key = torch.cat(keys)
    index = -key & 0xFFFFFFFF
    return _flipped(((key + index) >> 32).int()).view(torch.float32), index


def _in_order(scores: Tensor) -> Tensor:
    """Integers (int32) that stand in the order of float32 scores, and are equal where those are."""
    return _flipped((scores + 0.0).contiguous().view(torch.int32))  # + 0.0: there is one zero


def _flipped(bits: Tensor) -> Tensor:
    """The digits of negative numbers reversed in order: their bits say how far they are from 0. Its own inverse."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def top_matches(queries: Tensor, gallery: Tensor, k: int, block_size: int, scorer: Scorer = COSINE) -> Tensor:
    """Indices (q, min(k, g)) of the items of highest score, best first; see ``nearest``."""
    return nearest(queries, gallery, k, block_size, scorer)[1]


@torch.no_grad()
def class_accuracy(
    x: Tensor,
    y: Tensor,
    x_label: Tensor,
    y_label: Tensor,
    x_name: str,
    y_name: str,
    block_size: int,
    scorer: Scorer = COSINE,
) -> dict[str, float]:
    """Share of queries, in percent, whose nearest item of the other modality has their class; and the mean of both.

    ``x`` (n_x, r) and ``y`` (n_y, r) are embeddings, ``x_label`` (n_x,) and ``y_label`` (n_y,) their classes. Keys:
    ``image_to_text/class_accuracy``, ``text_to_image/class_accuracy``, ``class_accuracy``.

    Raises:
        ValueError: for NaN or infinity, or shapes that do not fit.
    """  # fmt: skip
    check_embeddings(x, y)
    check_groups(x, x_label)
    check_groups(y, y_label)
    ways = (
        (f"{x_name}_to_{y_name}", x, y, x_label, y_label, scorer),
        (f"{y_name}_to_{x_name}", y, x, y_label, x_label, scorer.back()),
    )
    metrics = {}
    for way, queries, gallery, of_query, of_gallery, rule in ways:
        best = top_matches(queries, gallery, 1, block_size, rule)[:, 0].cpu()
        metrics[f"{way}/class_accuracy"] = 100 * float((of_gallery[best] == of_query).double().mean())
    return metrics | {"class_accuracy": sum(metrics.values()) / 2}
