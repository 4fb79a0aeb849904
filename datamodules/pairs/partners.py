"""Pairs of two different items, drawn."""

import numpy as np
import torch
from torch import Tensor

from ground.errors import UserError


def partners(label: Tensor, number: int, seed: int) -> Tensor:
    """(n,) int64, another item of the class of each of n items, ``label`` (n,); each is the partner of one item.

    The members of a class stand in a random circle, and a partner is ``1 + number`` places further: the numbers
    0, 1, ... give different partners until the circle is closed. With one label for all, a partner is of any class,
    drawn by the classes' shares.

    Raises:
        UserError: a class of a single item.

    Example:
        >>> partners(torch.tensor([0, 0, 1, 1]), number=0, seed=0)
        tensor([1, 0, 3, 2])
    """
    inverse, counts = torch.unique(label, return_inverse=True, return_counts=True)[1:]
    if (single := int((counts < 2).sum())) > 0:
        raise UserError(
            f"datamodule.pairs=images: {single} of {len(counts)} classes to draw from have a single training image; "
            "take more images, or set datamodule.pairs=views"
        )
    # the batches of an epoch are drawn from the same seed, and in another way
    drawn = np.random.SeedSequence(seed, spawn_key=(1,)).generate_state(1)
    shuffled = torch.randperm(len(label), generator=torch.Generator().manual_seed(int(drawn[0])))
    circles = shuffled[inverse[shuffled].argsort(stable=True)]  # one class after another
    count = counts.repeat_interleave(counts)
    start = (counts.cumsum(0) - counts).repeat_interleave(counts)
    place = torch.arange(len(label)) - start
    partner = torch.empty_like(circles)
    partner[circles] = circles[start + (place + 1 + number % (count - 1)) % count]
    return partner


def x_of_partners(label: Tensor, each: int, seed: int) -> Tensor:
    """(n each,) int64: row i each + k of y belongs to the x whose ``partners`` of number k is item i.

    Example:
        >>> x_of_partners(torch.tensor([0, 0, 1, 1]), each=1, seed=0)
        tensor([1, 0, 3, 2])
    """
    rows = torch.arange(len(label) * each).reshape(-1, each)
    x_of_y = torch.empty_like(rows)
    for number in range(each):
        x_of_y[partners(label, number, seed), number] = rows[:, number]
    return x_of_y.flatten()
