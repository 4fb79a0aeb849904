"""The difference of two aligners on the same queries."""

import math
import statistics

import torch
from scipy.stats import norm
from torch import Tensor

from datamodules.pairs.pairs import Pairs
from evaluation.retrieval import CUTOFFS, ranks

BLOCK = 1024
LEVEL = 0.95


def credits(x: Tensor, y: Tensor, pairs: Pairs) -> Tensor:
    """What each group's queries, of both directions, add to the mean recall: (g,), whose sum it is, in percent.

    ``x`` (n_x, r) and ``y`` (n_y, r) are the embeddings of ``pairs``. Groups are in the order of their numbers.
    """
    groups, x_group = torch.unique(pairs.group, return_inverse=True)
    total = torch.zeros(len(groups), dtype=torch.float64)
    y_group = x_group[pairs.x_of_y]
    for queries, gallery, of_query, of_gallery in ((x, y, x_group, y_group), (y, x, y_group, x_group)):
        rank = ranks(queries, gallery, of_query, of_gallery, BLOCK)
        hits = torch.stack([rank <= k for k in CUTOFFS]).double().mean(0)
        total.index_add_(0, of_query, 100 * hits / (2 * len(hits)))
    return total


def paired_difference(one: list[Tensor], other: list[Tensor]) -> tuple[float, float]:
    r"""The difference of two mean recalls, and half its 95 % interval over the queries.

    Takes the ``credits`` of each seed. The credits d of the groups, seeds averaged, are independent: queries of a
    group are not. With g groups the variance of their sum is g times the variance of d.

    Raises:
        ValueError: fewer than two groups.
    """
    difference = torch.stack(one).mean(0) - torch.stack(other).mean(0)
    if len(difference) < 2:
        raise ValueError("an interval over queries needs at least two groups")
    deviation = statistics.stdev(difference.tolist())
    half = float(norm.ppf((1 + LEVEL) / 2)) * deviation * math.sqrt(len(difference))
    return float(difference.sum()), half
