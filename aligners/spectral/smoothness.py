r"""How much raw features differ between neighbours: what a whitening may be asked to keep small."""

import torch
from torch import Tensor

NEIGHBOURS = 10
BLOCK_ROWS = 2048
"""Rows whose cosines to all others are in memory at once."""


def nearest(rows: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """The k nearest other rows (n, k) of each row (n, d) by cosine, or all others where there are fewer.

    Example:
        >>> nearest(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]]), k=1).flatten()
        tensor([2, 2, 0])
    """
    rows = torch.nn.functional.normalize(rows)
    found = []
    for start in range(0, len(rows), BLOCK_ROWS):
        cosines = rows[start : start + BLOCK_ROWS] @ rows.T
        cosines.diagonal(start).fill_(-torch.inf)
        found.append(cosines.topk(min(k, len(rows) - 1)).indices)
    return torch.cat(found)


def roughness(raw: Tensor, neighbours: Tensor) -> Tensor:
    r"""The mean over all pairs (i, j) of a row and a neighbour of :math:`(p_i - p_j)(p_i - p_j)^T / 2`, (m, m).

    It is :math:`P^T L P` over the number of pairs, L the Laplacian of the graph of the ``neighbours`` (n, k), directed
    edges counted on their own (Belkin, Niyogi and Sindhwani 2006), of the ``raw`` rows P (n, m).

    Example:
        >>> roughness(torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.tensor([[1], [0]]))
        tensor([[2., 0.],
                [0., 0.]])
    """
    n, k = neighbours.shape
    if not k:
        return raw.new_zeros(raw.shape[1], raw.shape[1])
    flat = neighbours.flatten()
    degrees = k + torch.bincount(flat, minlength=n)
    summed = torch.zeros_like(raw)
    for column in neighbours.unbind(1):  # all at once they would be k times the rows
        summed += raw[column]
    product = raw.T @ (degrees[:, None].to(raw) * raw - 2 * summed)
    return (product + product.T) / (4 * n * k)
