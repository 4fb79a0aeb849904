r"""The exact kernel solution at the uniform weights, from full Gram matrices: an oracle for the feature maps.

Everything is written in the eigenvectors of the centred Gram matrices (kernel PCA), without any feature map.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

Gram = Callable[[Tensor, Tensor], Tensor]


def exact_kernel_similarity(
    kernel: Gram,
    x: Tensor,
    y: Tensor,
    positives: Tensor,
    new_x: Tensor,
    new_y: Tensor,
    lam: float,
    rank: int,
    weight_power: float,
) -> Tensor:
    r"""Cosines (k, l) float64 of ``new_x`` (k, d_x) and ``new_y`` (l, d_y) under whitened kernel CCA of rank r.

    ``x`` (n_x, d_x), ``y`` (n_y, d_y) are the prepared training rows, ``positives`` (n_x, n_y) bool. With the
    centred Gram matrix :math:`H K H = Q \Lambda Q^T`, rows have the coordinates :math:`Q \Lambda^{1/2}`, their
    covariance is :math:`\Lambda / n`, its ridge :math:`\lambda \, \mathrm{tr}(\Lambda / n) / n` (as many features
    as rows), and a new row has the coordinates :math:`k_c(x) Q \Lambda^{-1/2}`, up to a part that no training row
    has.
    """
    x, y, new_x, new_y = (rows.double() for rows in (x, y, new_x, new_y))
    weights = positives.double()
    weights = weights / weights.sum(1, keepdim=True) / len(x) + weights / weights.sum(0, keepdim=True) / len(y)
    train_x, embedded_x = _whitened(kernel, x, new_x, lam)
    train_y, embedded_y = _whitened(kernel, y, new_y, lam)
    U, s, Vh = torch.linalg.svd(train_x.T @ weights @ train_y)
    power = s[:rank] ** weight_power
    return normalize(embedded_x @ (U[:, :rank] * power)) @ normalize(embedded_y @ (Vh[:rank].T * power)).T


def _whitened(kernel: Gram, rows: Tensor, new: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """Whitened coordinates of the training rows (n, k) and of new rows (m, k), both centred."""
    n = len(rows)
    gram = kernel(rows, rows)
    against = kernel(new, rows)
    against = against - against.mean(1, keepdim=True) - gram.mean(0) + gram.mean()
    gram = gram - gram.mean(0) - gram.mean(1, keepdim=True) + gram.mean()
    values, Q = torch.linalg.eigh(gram)
    kept = values > 1e-10 * values[-1]
    values, Q = values[kept], Q[:, kept]
    scale = (values / n + lam * values.sum() / n**2).rsqrt()
    return Q * values.sqrt() * scale, against @ Q / values.sqrt() * scale
