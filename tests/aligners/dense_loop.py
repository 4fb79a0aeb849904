"""The iteration as printed, as a dense loop in float64 that shares nothing with the solver, and what it is run on."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.base.aligner import Aligner
from tests.problems import random_features

PASSES = 5


def eq_2_weights(s: Tensor, P: Tensor, tau: float) -> Tensor:
    """Minus the gradient of Eq. (2) as printed, sum by sum: each positive against itself and the negatives."""

    def one_way(s: Tensor, P: Tensor) -> Tensor:
        loss = s.new_zeros(())
        for row, positives in zip(s / tau, P, strict=True):
            negatives = row[~positives].exp().sum()
            loss = (
                loss + torch.stack([torch.log(1 + negatives / row[k].exp()) for k in positives.nonzero()[:, 0]]).mean()
            )
        return tau * loss / len(s)

    leaf = s.clone().requires_grad_()
    loss = (one_way(leaf, P) + one_way(leaf.T, P.T)) / 2
    return -torch.autograd.grad(loss, leaf)[0]


def weights(s: Tensor, P: Tensor, tau: float) -> Tensor:
    """As the paper prints them where each item has one positive."""
    if not (P.sum(0) == 1).all() or not (P.sum(1) == 1).all():
        return eq_2_weights(s, P, tau)
    return (2 * P.double() - (s / tau).softmax(1) - (s / tau).softmax(0)) / (2 * len(s))


def printed(
    x: Tensor, y: Tensor, P: Tensor, rank: int, tau: float, eta: float = 1.0
) -> tuple[list[Tensor], list[float]]:
    """Cosines of all pairs and s_r / s_{r+1}, after the start and after each pass."""
    p = P.double()
    S = (p / p.sum(1, keepdim=True) - 1 / len(y)) / len(x) / 2 + (p / p.sum(0) - 1 / len(x)) / len(y) / 2
    cosines: list[Tensor] = []
    gaps: list[float] = []
    for number in range(PASSES + 1):
        C = x.T @ S @ y / (x.T @ S @ y).norm()
        U, s, Vt = torch.linalg.svd((1 - eta) * Z + eta * C if number else C)  # noqa: F821 # from the pass before
        Z = U[:, :rank] * s[:rank] @ Vt[:rank]  # noqa: F841
        root = s[:rank].sqrt()
        cosines.append(normalize(x @ U[:, :rank] * root) @ normalize(y @ Vt[:rank].T * root).T)
        gaps.append(float(s[rank - 1] / s[rank]))
        S = weights(cosines[-1], P, tau)
    return cosines, gaps


def problem(many: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, y, x_of_y = random_features(40, 3 if many else 1, 12, 10, seed=0)
    return x.double() + 0.3, y.double() - 0.2, x_of_y, torch.arange(40)[:, None] == x_of_y


def similarity(aligner: Aligner, x: Tensor, y: Tensor) -> Tensor:
    """In float64, which ``encode_x`` rounds."""
    with torch.no_grad():
        return normalize(aligner.embed_x(aligner.prepare_x(x))) @ normalize(aligner.embed_y(aligner.prepare_y(y))).T
