"""Target plans T (n_x, n_y) of transport objectives: how much of each x should be matched with each y."""

import torch
from torch import Tensor

NORMALISED = 1e-12
"""By how much row sums may miss their marginals, as a share."""
MOST_ITERATIONS = 200
"""Domains that hardly anything couples need many more, each for less: what is compared with a plan has its sums."""


def positive_plan(positives: Tensor, like: Tensor) -> Tensor:
    r"""The mean of the positives divided by their row sums and by their column sums, in the dtype of ``like``.

    .. math:: T_{ij} = \frac{P_{ij}}{2} \Big(\frac{1}{|P(i)|} + \frac{1}{|P(j)|}\Big)

    Half of the mass is dealt evenly over the x, half evenly over the y. One-to-one it is the permutation; a class of b
    x and b y is a block of 1/b. Its own row and column sums are the marginals of what is compared with it, so it can be
    reached whatever the groups; with several y an x it has no other scale, as objectives divide by its sum.

    Args:
        positives: (n_x, n_y) bool.
        like: any tensor.

    Example:
        >>> positive_plan(torch.tensor([[True, True, False], [False, False, True]]), torch.zeros(1))
        tensor([[0.7500, 0.7500, 0.0000],
                [0.0000, 0.0000, 1.0000]])
    """
    P = positives.to(like.dtype)
    return (P / P.sum(1, keepdim=True) + P / P.sum(0, keepdim=True)) / 2


def domain_plan(positives: Tensor, same_domain: Tensor, a: float, b: float) -> Tensor:
    r"""The plan that keeps domains apart, or brings them together (Chen et al., NeurIPS 2024).

    .. math:: T_{ij} \propto [i = j] + a [\text{same domain}, i \neq j] + b [\text{other domain}]

    Sinkhorn-normalised: each x has mass 1, each y ``n_x / n_y``, where zeros leave room for it; else the columns have
    theirs, and the rows what ``MOST_ITERATIONS`` bring them to. ``[i = j]`` stands for the positives.

    Args:
        positives: (n_x, n_y) bool, at least one in every row and column.
        same_domain: (n_x, n_y) bool.
        a: mass of a pair of one domain beside a positive's 1, at least 0.
        b: mass of a pair of two domains, at least 0.

    Returns:
        (n_x, n_y) float64.

    Example:
        >>> domain_plan(torch.eye(2).bool(), torch.eye(2).bool(), a=1.0, b=0.5)
        tensor([[0.6667, 0.3333],
                [0.3333, 0.6667]], dtype=torch.float64)
    """
    weights = torch.full_like(positives, b, dtype=torch.float64).masked_fill(same_domain, a).masked_fill(positives, 1.0)
    # three numbers at most, and so no need of logarithms: products alone cost a thirtieth
    (n_x, n_y), u, v = weights.shape, weights[:, 0].new_ones(len(weights)), torch.ones_like(weights[0])
    for _ in range(MOST_ITERATIONS):
        before, u = u, 1 / (weights @ v)
        v = n_x / n_y / (u @ weights)
        if float((u / before - 1).abs().max()) <= NORMALISED:
            break
    return u[:, None] * weights * v


def uniform_marginals(mu: Tensor, nu: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of 1 for each row (n_x,) and ``n_x / n_y`` for each column (n_y,), beside vectors of these lengths."""
    return torch.zeros_like(mu), torch.full_like(nu, len(mu) / len(nu)).log()
