r"""One solution from the solutions of many batches: the mathematics, without Lightning.

UniCon (Sui, Wang, Do, ICLR 2026, section 3.4 and Algorithm 2) solves every batch alone and averages the batches'
coefficients. Coefficients of different reference points have no mean, so all batches share one feature space here:
:math:`\Psi = (\Phi - \mu) W` with the feature map, the mean and the whitening of the whole training split. Batch b
has b items of x and c of y in rows :math:`\Psi_{b,x}` (b, m_x), :math:`\Psi_{b,y}` (c, m_y), and

.. math:: C_b = \Psi_{b,x}^T S_b \Psi_{b,y}, \quad Z_b = P_r(C_b / |C_b|) = U_b \mathrm{diag}(s_b) V_b^T,

with CLIP's weights :math:`S_b` within the batch and :math:`P_r` the best approximation of rank r: in the first round
those of equal similarities, in the next those of the cosines of the aggregate's embeddings. The aggregates are

- sum: :math:`\sum_b w_b C_b`, :math:`w_b` the batch's share of the data. No batch is truncated;
- accuracy: :math:`\sum_b a_b Z_b / \sum_b a_b`, :math:`a_b` the retrieval accuracy of :math:`Z_b` outside its batch;
- softmax: :math:`\sum_b \mathrm{softmax}(a / T)_b Z_b`;
- subspaces: :math:`Q_x Q_x^T \bar Z Q_y Q_y^T`, :math:`\bar Z` the mean of the :math:`Z_b` and Q the directions that
  more than half of the batch solutions contain. A vote on single singular vectors is not defined, because they come in
  no fixed order and turn among close singular values. Subspaces have neither fault.

The paper's majority is none of these: it is a vote of the batch models' predictions, see ``aligners.spectral.vote``.

What the sum lacks of the whole split's :math:`\Psi_x^T S \Psi_y` is the covariance between batches: :math:`S_b`
centres with the batch's own means :math:`m_{b,x}, m_{b,y}`. By the law of total covariance

.. math:: \Psi_x^T S \Psi_y = \sum_b w_b C_b + \sum_b w_b m_{b,x} m_{b,y}^T

where all batches have equally many y for an x; where they do not, the weights of the positives differ as well.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from aligners.objectives.softmax import CLIP
from aligners.objectives.sweep import Contrast
from datamodules.pairs.pairs import PairBatch
from evaluation.retrieval import evaluate_retrieval

_BLOCK = 1024  # rows and columns of the cosines in memory at once
_SIMILARITIES = 2**22  # in memory at once
_ROUNDING = 1e-6  # singular values below this share of the largest are taken as rounding
_HALF = 0.5 + 1e-9  # above it is more than half, beyond rounding


class BatchSolution(NamedTuple):
    """``Z = U diag(s) V^T``: U (m_x, k) and V (m_y, k) orthonormal, s (k,) falling; k = 0 where Z is zero."""

    U: Tensor
    s: Tensor
    V: Tensor


def batch_covariance(psi_x: Tensor, psi_y: Tensor, positives: Tensor) -> Tensor:
    r"""``C_b`` (m_x, m_y) of rows (b, m_x), (c, m_y) and ``positives`` (b, c) bool, whole groups.

    .. math:: S_b = P / |P(i)| / (2b) + P / |P(j)| / (2c) - 1 / (bc)

    All zero where nothing is left but rounding, as in a batch of one group.
    """
    P = positives.to(psi_x)
    weights = (P / P.sum(1, keepdim=True) / P.shape[0] + P / P.sum(0, keepdim=True) / P.shape[1]) / 2
    C = psi_x.T @ (weights @ psi_y) - torch.outer(psi_x.mean(0), psi_y.mean(0))
    largest = psi_x.norm(dim=1).max() * psi_y.norm(dim=1).max()
    return C if C.norm() > 1e-12 * largest else torch.zeros_like(C)


def contrasted_covariance(rows: PairBatch, x: Tensor, y: Tensor, tau: float) -> Tensor:
    """``C_b`` (m_x, m_y) of a batch's rows in the shared space, with CLIP's weights at embeddings (b, r), (c, r)."""
    contrast = Contrast(CLIP(tau), rows.x_group, rows.y_group, _SIMILARITIES)
    x, y = x.to(rows.x), y.to(rows.y)
    weighted, _ = contrast.products(x, y, rows.x, rows.y, contrast.value(x, y))
    C = rows.x.T @ weighted
    largest = rows.x.norm(dim=1).max() * rows.y.norm(dim=1).max()
    return C if C.norm() > 1e-12 * largest else torch.zeros_like(C)


def batch_solution(C: Tensor, rank: int) -> BatchSolution:
    """``P_r(C / |C|)`` of C (m_x, m_y), with the rank of C where that is below r: small batches have little."""
    U, s, Vt = torch.linalg.svd(C, full_matrices=False)
    k = min(rank, int((s > _ROUNDING * s[0]).sum()))
    return BatchSolution(U[:, :k], s[:k] / C.norm(), Vt[:k].T)


def embedded(solution: BatchSolution, rows: PairBatch, weight_power: float) -> tuple[Tensor, Tensor]:
    """Embeddings ``psi U s^p`` (b, k) and ``psi V s^p`` (c, k) of rows in the shared space."""
    weights = solution.s**weight_power
    return rows.x @ (solution.U * weights), rows.y @ (solution.V * weights)


def retrieval_accuracy(solution: BatchSolution, rows: PairBatch, weight_power: float) -> float:
    """Mean of R@1 in both directions, in [0, 1], of rows (n, m_x), (k, m_y).

    An item counts when the best-ranked item of the other modality is of its group. A zero solution scores 0.
    """
    if not len(solution.s):
        return 0.0
    x, y = embedded(solution, rows, weight_power)
    rates = evaluate_retrieval(x, y, rows.x_group, rows.y_group, "x", "y", _BLOCK)
    return (rates["x_to_y/R@1"] + rates["y_to_x/R@1"]) / 200


def accuracy_weights(accuracies: Tensor) -> Tensor:
    """``a / sum(a)`` (B,), equal weights where all are 0."""
    total = accuracies.sum()
    return accuracies / total if total > 0 else torch.full_like(accuracies, 1 / len(accuracies))


def softmax_weights(accuracies: Tensor, temperature: float) -> Tensor:
    """``softmax(a / T)`` (B,): equal weights for large T, the best batch alone for small T."""
    return torch.softmax(accuracies / temperature, 0)


def weighted_mean(solutions: list[BatchSolution], weights: Tensor) -> Tensor:
    """``sum_b w_b Z_b`` (m_x, m_y)."""
    Z = solutions[0].U.new_zeros(len(solutions[0].U), len(solutions[0].V))
    for (U, s, V), weight in zip(solutions, weights, strict=True):
        Z.addmm_(U * (weight * s), V.T)
    return Z


def majority_directions(bases: list[Tensor], rank: int) -> tuple[Tensor, int]:
    """The directions that more than half of the subspaces contain: Q (m, k), and how many there are.

    Eigenvectors of the mean projector ``mean_b U_b U_b^T`` with an eigenvalue above 1/2, at most r: the
    eigenvalue is the mean over the batches of how much of the direction (its squared length) lies in the batch's
    subspace, 1 where all contain it. Subspaces drawn at random reach r/m on average, so that the vote tells
    little where r is above half of m. Where no direction has a majority, Q holds the top r, and the number is 0.

    Args:
        bases: U_b (m, k_b), orthonormal, one of each batch; a batch without directions (k_b = 0) has no vote.
        rank: r.
    """
    voting = [U for U in bases if U.shape[1]]
    mean_projector = bases[0].new_zeros(len(bases[0]), len(bases[0]))
    for U in voting:
        mean_projector.addmm_(U, U.T, alpha=1 / len(voting))
    values, vectors = torch.linalg.eigh(mean_projector)
    majority = min(rank, int((values > _HALF).sum()))
    return vectors.flip(1)[:, : majority or rank], majority


def restricted(solutions: list[BatchSolution], Q_x: Tensor, Q_y: Tensor) -> tuple[Tensor, int]:
    """``Q_x Q_x^T mean(Z_b) Q_y Q_y^T`` (m_x, m_y), and its rank: the mean solution in two subspaces."""
    core = Q_x.new_zeros(Q_x.shape[1], Q_y.shape[1])
    for U, s, V in solutions:
        core.addmm_((Q_x.T @ U) * s, (Q_y.T @ V).T, alpha=1 / len(solutions))
    s = torch.linalg.svdvals(core)
    return Q_x @ core @ Q_y.T, int((s > _ROUNDING * s[0]).sum())
