"""STRUCTURE's regulariser: the neighbourhoods of the features, kept in the embeddings."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def neighbourhoods(rows: Tensor, tau: float) -> Tensor:
    r"""Whom each of n items is near to, :math:`P_{ij} = \mathrm{softmax}_j(\langle u_i, u_j \rangle / \tau)`, (n, n).

    u are the ``rows`` (n, d), scaled to length 1 and then less their mean. Each row of P sums to 1, and an item is
    among its own neighbours.

    Example:
        >>> neighbourhoods(torch.tensor([[2.0, 0.0], [-1.0, 0.0]]), tau=1.0)
        tensor([[0.8808, 0.1192],
                [0.1192, 0.8808]])
    """
    unit = normalize(rows)
    centred = unit - unit.mean(0)
    return torch.softmax(centred @ centred.T / tau, dim=1)


def divergence(P: Tensor, Q: Tensor) -> Tensor:
    r"""The mean Jensen-Shannon divergence of rows that sum to 1, (n, n) each; at most :math:`\log 2`.

    .. math:: \frac{1}{2n} \sum_i KL(P_i \| M_i) + KL(Q_i \| M_i), \quad M = (P + Q)/2

    Example:
        >>> divergence(torch.eye(2), torch.eye(2)), divergence(torch.eye(2), torch.eye(2).flip(0))
        (tensor(0.), tensor(0.6931))
    """
    tiny = torch.finfo(P.dtype).tiny  # 0 log 0 is 0, and so is its gradient
    log_mean = ((P + Q) / 2).clamp_min(tiny).log()
    terms = P * (P.clamp_min(tiny).log() - log_mean) + Q * (Q.clamp_min(tiny).log() - log_mean)
    return terms.sum() / (2 * len(P))


def structure(features: Tensor, embeddings: Tensor, levels: int, tau: float) -> Tensor:
    r"""How far the embeddings of n items are from the neighbourhoods of their features, a scalar.

    .. math:: R = \frac{1}{L} \sum_{l=1}^L \frac{1}{l} JS(P^l, Q^l)

    with P the ``neighbourhoods`` of the features and Q those of the embeddings; their powers are those reached in l
    steps, near and then wider (Gröger et al., NeurIPS 2025, "With Limited Data for Multimodal Alignment, Let the
    STRUCTURE Guide You"). 0 where the embeddings are the features, up to their lengths and a rotation.

    Args:
        features: (n, d), what heads are given; no gradient goes there.
        embeddings: (n, r).
        levels: L, at least 1.
        tau: temperature of the neighbourhoods, above 0.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5]])
        >>> structure(x, 3 * x.flip(1), levels=2, tau=0.1).item()
        0.0
        >>> round(structure(x, x.flip(0)[[1, 0, 2]], levels=1, tau=0.1).item(), 4) > 0
        True
    """
    P, Q = neighbourhoods(features.detach().to(embeddings.dtype), tau), neighbourhoods(embeddings, tau)
    at_P, at_Q = P, Q
    total = divergence(P, Q)
    for level in range(2, levels + 1):
        at_P, at_Q = at_P @ P, at_Q @ Q
        total = total + divergence(at_P, at_Q) / level
    return total / levels
