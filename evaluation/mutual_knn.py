"""How much two features of the same items agree on who is near to whom."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

BLOCK = 2048
"""Items whose similarities are in memory at once."""


@torch.no_grad()
def neighbours(rows: Tensor, k: int) -> Tensor:
    """(n, k) int64: the k items nearest to each of n, itself left out, by the cosine of their ``rows`` (n, d).

    Raises:
        ValueError: k below 1, or not below n.
    """
    n = len(rows)
    if not 1 <= k < n:
        raise ValueError(f"k must be at least 1 and below the number of items, {n}, got {k}")
    unit = normalize(rows.float())
    found = []
    for start in range(0, n, BLOCK):
        part = torch.arange(start, min(start + BLOCK, n))
        cosines = unit[part] @ unit.T
        cosines[part - start, part] = -torch.inf
        found.append(cosines.topk(k, dim=1).indices)
    return torch.cat(found)


def shared(one: Tensor, other: Tensor) -> float:
    """The mean share of an item's k neighbours in ``one`` (n, k) that are its neighbours in ``other`` (n, k) too."""
    return (
        float(torch.stack([(one == column[:, None]).sum(1) for column in other.T]).sum(0).double().mean())
        / one.shape[1]
    )


def mutual_knn(x: Tensor, y: Tensor, k: int) -> float:
    r"""Mutual nearest-neighbour alignment of x (n, d_x) and y (n, d_y), row i of both being one item; from 0 to 1.

    .. math:: \frac{1}{n k} \sum_i | N_k(x_i) \cap N_k(y_i) |

    with :math:`N_k` the k nearest other items by cosine (Huh et al. 2024, "The Platonic Representation Hypothesis"). Of
    independent features it is k / (n - 1) in the mean.

    Raises:
        ValueError: k below 1, or not below n.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
        >>> mutual_knn(x, x.flip(1), k=1), mutual_knn(x, x[[0, 2, 1, 3]], k=1)
        (1.0, 0.0)
    """
    return shared(neighbours(x, k), neighbours(y, k))
