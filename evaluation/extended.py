"""Retrieval on the COCO test split with the positives that its captions' pairing leaves out: ECCV Caption and CxC.

A caption of COCO describes other images than its own too. Two sets of judgements name such positives of
Karpathy's 5,000 test images and the five captions of each: CxC (Parekh et al. 2021) and ECCV Caption (Chun
et al. 2022), the latter for 1,261 images and 1,332 captions as queries, and so many of them that mAP@R means
something. Both are read from the data files of the package ``eccv-caption`` (MIT); its code is not imported.
"""

import importlib.util
import json
import logging
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from evaluation.nearest import top_matches
from evaluation.retrieval import CUTOFFS
from evaluation.scoring import COSINE, Scorer, check_groups

logger = logging.getLogger(__name__)

Positives = dict[int, set[int]]
"""The ids of the positives of each query, by the query's id."""


def judged_positives(name: str) -> Positives | None:
    """``data/NAME.json`` of the package ``eccv-caption``, or None where it is not installed."""
    spec = importlib.util.find_spec("eccv_caption")
    if spec is None or spec.origin is None:
        return None
    content = json.loads((Path(spec.origin).parent / "data" / f"{name}.json").read_text())
    return {int(query): {int(item) for item in positives} for query, positives in content.items()}


def ranked_rates(hits: Tensor, n_positives: Tensor) -> dict[str, float]:
    """``mAP@R``, ``R-Precision`` and ``R@k`` for k = 1, 5, 10, in percent, of ranked lists.

    With R the number of a query's positives, and ``P(i)`` the share of positives among its first i items,
    ``R-Precision = mean P(R)`` and ``mAP@R = mean 1/R sum over i <= R of P(i) [item i is a positive]``
    (Musgrave, Belongie and Lim 2020). R@k is the hit rate, as in ``retrieval_metrics``.

    Args:
        hits: (q, k) bool, whether the i-th best item of a query is a positive.
        n_positives: (q,) int64, R of each query; an item beyond the k-th counts as no hit.
    """
    n = n_positives.double()
    place = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    within = hits & (place <= n_positives[:, None])
    precision = within.cumsum(1) / place.double()
    return {
        "mAP@R": 100.0 * float(((precision * within).sum(1) / n).mean()),
        "R-Precision": 100.0 * float((within.sum(1) / n).mean()),
        **{f"R@{k}": 100.0 * float(hits[:, :k].any(1).double().mean()) for k in CUTOFFS},
    }


def judged_retrieval(
    queries: Tensor,
    gallery: Tensor,
    query_ids: Tensor,
    gallery_ids: Tensor,
    judged: Positives,
    block_size: int,
    scorer: Scorer = COSINE,
) -> dict[str, float]:
    """``ranked_rates`` of the queries that ``judged`` names; equal scores stand in the gallery's order.

    ``queries`` (q, r) and ``gallery`` (g, r) are embeddings, the ids int64 (q,) and (g,), each once. A positive
    that is not in the gallery stays one of the R.

    Raises:
        KeyError: when a judged query is not among ``query_ids``.
    """
    query_row, gallery_row = _row_of(query_ids), _row_of(gallery_ids)
    rows = torch.tensor([query_row[query] for query in judged], device=queries.device)
    n_positives = torch.tensor([len(positives) for positives in judged.values()], device=queries.device)
    ranked = top_matches(queries[rows], gallery, max(int(n_positives.max()), *CUTOFFS), block_size, scorer)
    # a pair of a query and an item as one integer
    pairs = [
        number * len(gallery) + gallery_row[item]
        for number, positives in enumerate(judged.values())
        for item in positives & gallery_row.keys()
    ]
    of_query = torch.arange(len(ranked), device=ranked.device)[:, None] * len(gallery)
    hits = torch.isin(ranked + of_query, torch.tensor(pairs, dtype=torch.int64, device=ranked.device))
    return ranked_rates(hits, n_positives)


def extended_retrieval(
    x: Tensor, y: Tensor, image_ids: Tensor, caption_ids: Tensor, block_size: int, scorer: Scorer = COSINE
) -> dict[str, float]:
    """ECCV Caption's and CxC's rates of a COCO test split, in percent, where ``eccv-caption`` is installed.

    The gallery is that of the published numbers: the 5,000 images of Karpathy's test split and 25,000 captions,
    five of each; other items of the split (the sixth and seventh captions of some images) are left out.

    Args:
        x: (n_x, r) embeddings of images.
        y: (n_y, r) of captions.
        image_ids: (n_x,) int64, COCO's ids of the images, each once.
        caption_ids: (n_y,) int64, COCO's ids of the captions (of their annotations), each once.
        block_size: rows of queries and of gallery scored at a time; speed and memory only.
        scorer: the rule of scoring x with y.

    Returns:
        ``eccv/image_to_text/mAP@R``, ``/R-Precision``, ``/R@1``, ``cxc/image_to_text/R@1``, ``/R@5``, ``/R@10``,
        and the same of ``text_to_image``. Nothing without the package, or unless all images and captions
        are there: with a part of them the numbers would not compare.

    Raises:
        ValueError: for NaN or infinity, or shapes that do not fit.
    """
    check_groups(x, image_ids)
    check_groups(y, caption_ids)
    captions_of = judged_positives("original_image_to_caption")
    if captions_of is None:
        logger.debug("eccv-caption is not installed: no ECCV Caption, no CxC")
        return {}
    images, captions = captions_of.keys(), set().union(*captions_of.values())
    image_rows, caption_rows = _rows(image_ids, images), _rows(caption_ids, captions)
    n_images, n_captions = len(image_rows), len(caption_rows)
    if n_images < len(images) or n_captions < len(captions):
        line = "no ECCV Caption, no CxC: the test split has %d of the %d images and %d of the %d captions they judge"
        logger.info(line, n_images, len(images), n_captions, len(captions))
        return {}
    image = x[image_rows], image_ids[image_rows]
    caption = y[caption_rows], caption_ids[caption_rows]
    metrics: dict[str, float] = {}
    for way, file, (queries, query_ids), (gallery, gallery_ids), rule in (
        ("image_to_text", "image_to_caption", image, caption, scorer),
        ("text_to_image", "caption_to_image", caption, image, scorer.back()),
    ):
        for name, kept in (("eccv", ("mAP@R", "R-Precision", "R@1")), ("cxc", [f"R@{k}" for k in CUTOFFS])):
            judged = judged_positives(f"{name}_{file}")
            assert judged is not None
            rates = judged_retrieval(queries, gallery, query_ids, gallery_ids, judged, block_size, rule)
            metrics |= {f"{name}/{way}/{key}": rates[key] for key in kept}
    return metrics


def _row_of(ids: Tensor) -> dict[int, int]:
    return {each: row for row, each in enumerate(ids.tolist())}


def _rows(ids: Tensor, wanted: Iterable[int]) -> Tensor:
    """The rows of ``ids`` (n,) that are wanted, in order."""
    return torch.isin(ids.cpu(), torch.tensor(list(wanted), dtype=torch.int64)).nonzero()[:, 0]
