r"""Corrections of scores for hubs: what is taken off each gallery item's scores, from a bank of queries.

A gallery item that is near to most queries, a hub, is found too often. Each function maps the scores ``bank`` (b, g) of
b queries with g gallery items to a bias (g,): queries are then ranked by :math:`s_{ij} - h_j`.
"""

import math

import torch
from torch import Tensor


def inverted_softmax(bank: Tensor, temperature: float) -> Tensor:
    r""":math:`h_j = T \log \frac{1}{b} \sum_b \exp(s_{bj} / T)` (Smith et al. 2017, inverted softmax).

    Where T is large it is the mean score, where it is small the highest.

    Example:
        >>> inverted_softmax(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), 0.1)
        tensor([1., 0.])
    """
    return temperature * (torch.logsumexp(bank / temperature, 0) - math.log(len(bank)))


def nearest_mean(bank: Tensor, neighbours: int) -> Tensor:
    r""":math:`h_j`: the mean of the ``neighbours`` highest scores of item j.

    Half of it is CSLS's correction (Conneau et al. 2018): :math:`2 s_{ij} - r_i - r_j` has the order of
    :math:`s_{ij} - r_j / 2` for a query. A multiple of it is nearest neighbour normalisation (Chowdhury et al. 2024).

    Example:
        >>> nearest_mean(torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.0, 0.0]]), 2)
        tensor([0.7500, 0.0000])
    """
    return bank.topk(min(neighbours, len(bank)), 0).values.mean(0)


def sinkhorn(bank: Tensor, temperature: float, iterations: int) -> Tensor:
    r""":math:`h_j = -T g_j` with the potentials that make ``exp(s / T + f + g)`` a plan of equal marginals.

    Every query of the bank gives mass 1 / b, every item takes 1 / g (Cuturi 2013, in the log domain); one half step, of
    the items alone, is the inverted softmax.

    Example:
        >>> bank = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> torch.allclose(sinkhorn(bank, 0.1, iterations=5), torch.tensor([1.0, 0.0]), atol=1e-6)
        True
    """
    scaled = bank / temperature
    b, g = bank.shape
    of_queries = scaled.new_full((b,), -math.log(b))
    of_items = -math.log(g) - torch.logsumexp(scaled + of_queries[:, None], 0)
    for _ in range(iterations - 1):
        of_queries = -math.log(b) - torch.logsumexp(scaled + of_items, 1)
        of_items = -math.log(g) - torch.logsumexp(scaled + of_queries[:, None], 0)
    return -temperature * (of_items + math.log(g))
