"""FuseMix: both modalities of a batch are mixed alike (Vouitsis et al., CVPR 2024)."""

import numpy as np
import torch
from torch import Tensor

from datamodules.pairs.pairs import PairBatch


def draws_of(seed: int, epoch: int, batch: int) -> np.random.Generator:
    """The random numbers of one batch: the same in every process, and in a fit that was cut off and goes on."""
    # the order of the batches and the partners of views are drawn from the same seed, and in another way
    return np.random.default_rng(np.random.SeedSequence((seed, epoch, batch), spawn_key=(2,)))


def mixed(batch: PairBatch, alpha: float, draws: np.random.Generator) -> PairBatch:
    r"""A batch whose groups are mixed, each with another: what takes the place of the batch in a step.

    .. math:: \tilde x_i = \lambda x_i + (1 - \lambda) x_{p(i)}, \quad
        \tilde y_k = \lambda y_k + (1 - \lambda) y_{p(k)}, \quad \lambda \sim \mathrm{Beta}(\alpha, \alpha)

    with one :math:`\lambda` for the batch. What is permuted are the groups, which positives are defined by: they stand
    in a random circle, and the group g is mixed with the next, p(g). The t-th x of g has as its partner the t-th x of
    p(g), the t-th y of g the t-th y of p(g), counted round where p(g) has fewer. So whatever has the group g on either
    side is a mixture of g and p(g) in the same shares, groups stay as they are, and so does who is whose positive. No
    group is its own partner, unless it is the only one.

    Args:
        batch: the prepared rows of all processes. What is drawn is over the groups in their order, so that the mixed
            items are the same however the groups are dealt to processes.
        alpha: concentration, above 0; at 1 lambda is uniform, near 0 it is near 0 or 1.
        draws: where random numbers come from.

    Returns:
        rows in the order of the batch; groups and indices are those of the item with the share lambda.

    Example:
        >>> group, row = torch.arange(2), torch.arange(2)
        >>> batch = PairBatch(torch.eye(2), 3 * torch.eye(2), group, group, row, row)
        >>> x, y = mixed(batch, 1.0, draws_of(0, 0, 0))[:2]
        >>> torch.allclose(x.sum(1), torch.ones(2)), torch.allclose(y, 3 * x)
        (True, True)
    """
    groups = torch.unique(batch.x_group)
    circle = torch.from_numpy(draws.permutation(len(groups))).to(groups.device)
    following = torch.empty_like(circle)
    following[circle] = circle.roll(-1)
    share = float(draws.beta(alpha, alpha))
    sides = []
    for rows, group in ((batch.x, batch.x_group), (batch.y, batch.y_group)):
        partner = _partners(torch.searchsorted(groups, group), following)
        sides.append(share * rows + (1 - share) * rows[partner])
    return batch._replace(x=sides[0], y=sides[1])


def _partners(place: Tensor, following: Tensor) -> Tensor:
    """(n,) the row that each row is mixed with; ``place`` (n,) its group's, ``following`` (G,) that of its partner."""
    order = torch.argsort(place, stable=True)
    counts = torch.bincount(place, minlength=len(following))
    starts = counts.cumsum(0) - counts
    number = torch.empty_like(order)  # of a row within its group
    number[order] = torch.arange(len(order), device=order.device) - starts[place[order]]
    other = following[place]
    return order[starts[other] + number % counts[other]]
