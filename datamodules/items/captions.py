"""Which of the captions of an item are its y: all of them, one, or the mean of their features."""

from typing import Literal

import torch
from torch import Tensor

from datamodules.items.raw_pairs import RawPairs
from datamodules.pairs.pairs import Members, Pairs

Captions = Literal["all", "first", "random", "mean"]
"""``all`` captions are y of their x; the ``first`` is, or a ``random`` one; or one y has the ``mean`` features."""


def chosen(raw: RawPairs, captions: Captions, seed: int) -> RawPairs:
    """The y that are put through the backbone: all for ``all`` and ``mean``, else one of each x.

    An x without any y stays without. The y that are left are in the order of their x, each x's own in the order
    in which they were. The same ``seed`` draws the same of the same data.
    """
    if captions in ("all", "mean"):
        return raw
    y_of_x = Members(raw.x_of_y, raw.n_x)
    offset = torch.zeros(raw.n_x, dtype=torch.int64)
    if captions == "random":
        uniform = torch.rand(raw.n_x, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        offset = (uniform * y_of_x.counts).long()
    return raw.take_y(y_of_x.order[(y_of_x.starts + offset)[y_of_x.counts > 0]])


def mean_of_captions(pairs: Pairs, block_size: int = 16384) -> Pairs:
    """One y for each x that has any: the mean of their feature rows, float32, in the order of the x.

    The means are in memory; of the rows, those of ``block_size`` x at once.
    """
    y_of_x = Members(pairs.x_of_y, pairs.n_x)
    x_of_mean = (y_of_x.counts > 0).nonzero()[:, 0]
    means = torch.zeros(len(x_of_mean), pairs.dims[1])
    for mean, x in zip(means.split(block_size), x_of_mean.split(block_size), strict=True):
        counts = y_of_x.counts[x]
        mean.index_add_(0, torch.repeat_interleave(torch.arange(len(x)), counts), pairs.y[y_of_x.of(x)].float())
        mean /= counts[:, None]
    return Pairs(pairs.x, means, x_of_mean, pairs.group, pairs.label, pairs.domain)


def captions_per_item(x_of_y: Tensor, n_x: int) -> str:
    """How many y an x has: ``5``, or ``4 to 6`` where they differ."""
    counts = torch.bincount(x_of_y, minlength=n_x)
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"
