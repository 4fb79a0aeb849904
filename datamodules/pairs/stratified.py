"""Draws a share of every class."""

import numpy as np
import torch
from torch import Tensor


def drawn(label: Tensor, share: float, seed: int) -> Tensor:
    """(n,) bool: ``share`` of the n items of ``label`` (n,) int64, of each class alike.

    Counts are rounded so that they add up to ``round(share * n)``, the classes with the largest remainders upwards;
    but every class keeps an item that is not drawn.
    """
    classes, inverse, counts = torch.unique(label, return_inverse=True, return_counts=True)
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
    exact = counts.double() * share
    number = exact.floor().long()
    missing = round(share * len(label)) - int(number.sum())
    number[(number - exact).argsort(stable=True)[: max(0, missing)]] += 1
    number = torch.minimum(number, counts - 1)
    chosen = torch.zeros(len(label), dtype=torch.bool)
    for c in range(len(classes)):
        members = (inverse == c).nonzero()[:, 0]
        chosen[members[torch.randperm(len(members), generator=generator)[: number[c]]]] = True
    return chosen
