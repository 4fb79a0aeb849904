"""The contrastive objectives by name, as pure functions of the similarities and the positives.

Called with ``similarity`` (n_x, n_y) and ``positives`` (n_x, n_y) bool, rectangular and many-to-many, an
objective is a scalar loss; ``weights`` is the contrastive similarity weight matrix S = -dL/ds (n_x, n_y) of
UniCon (Sui, Wang, Do, ICLR 2026, Eq. 3-6). ``aligners.objectives_base`` says what an objective is,
``aligners.objectives_unicon`` has the losses of UniCon and DCL.
"""

import inspect
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from aligners.objectives_base import FromLoss, FromRows, Objective
from aligners.objectives_unicon import DCL, GeneralContrastive, UniCon
from errors import UserError, nearest

__all__ = [
    "CLIP",
    "DCL",
    "OBJECTIVES",
    "FromLoss",
    "FromRows",
    "GeneralContrastive",
    "InfoNCE",
    "Objective",
    "SigLIP",
    "Triplet",
    "UniCon",
    "named_objective",
]


class InfoNCE(Objective):
    r"""tau times the cross-entropy from x to y (van den Oord et al. 2018), mean over the positives.

    .. math:: \ell_i = -\tau \frac{1}{|P(i)|} \sum_{k \in P(i)} \log \frac{\exp(s_{ik}/\tau)}{\sum_j \exp(s_{ij}/\tau)}

    With one positive a row it is InfoNCE; with several the positives stand in the denominator as well,
    SupCon-out of Khosla et al. 2020, Eq. 2. ``S = (Pr - Qr) / n_x`` in the scale of UniCon.
    """

    symmetric = False

    def __init__(self, tau: float):
        self.tau = tau

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        log_softmax = torch.log_softmax(similarity / self.tau, dim=1)
        total = torch.where(positives, log_softmax, 0).sum(dim=1)
        return -self.tau * total / positives.sum(dim=1)

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        softmax = torch.softmax(similarity / self.tau, dim=1)
        positives = positives.to(similarity)  # in its dtype: bool by int would divide in float32
        return positives / positives.sum(dim=1, keepdim=True) - softmax


class CLIP(InfoNCE):
    """InfoNCE in both directions (Radford et al. 2021); many-to-many it is SupCon-out.

    ``S = (Pr - Qr) / (2 n_x) + (Pc - Qc) / (2 n_y)``; one-to-one ``(2 I - Qr - Qc) / (2 n)``.
    """

    symmetric = True


class SigLIP(Objective):
    r"""Sigmoid loss of every pair (Zhai et al. 2023).

    .. math:: \ell_i = -\sum_j \log \sigma(z_{ij} (s_{ij}/\tau + b)), \quad z = \pm 1

    ``S = (P - sigmoid(s / tau + b)) / (tau n_x)``.
    """

    symmetric = False

    def __init__(self, tau: float, bias: float):
        self.tau = tau
        self.bias = bias

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        logits = similarity / self.tau + self.bias
        return -logsigmoid(torch.where(positives, logits, -logits)).sum(dim=1)

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        return (positives.to(similarity) - torch.sigmoid(similarity / self.tau + self.bias)) / self.tau


class Triplet(Objective):
    r"""Hinge of every negative against the positives, both directions, margin m.

    .. math:: \ell_i = \frac{1}{|P(i)|} \sum_{k \in P(i)} \sum_{j \notin P(i)} [m + s_{ij} - s_{ik}]_+

    One-to-one, S off the diagonal is ``-(T + U) / (2n)`` with the active triplets T of the rows and U of the
    columns, and on it their sums (the Clarke subgradient). Memory is (number of positives, n), not cubic.
    """

    def __init__(self, margin: float):
        self.margin = margin

    def _hinges(self, similarity: Tensor, positives: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        row, column = positives.nonzero(as_tuple=True)
        hinges = self.margin + similarity[row] - similarity[row, column, None]
        return row, column, hinges, (hinges > 0) & ~positives[row]

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        row, _, hinges, active = self._hinges(similarity, positives)
        of_pair = torch.where(active, hinges, 0).sum(dim=1)
        total = of_pair.new_zeros(len(similarity)).index_add(0, row, of_pair)
        return total / positives.sum(dim=1)

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        row, column, _, active = self._hinges(similarity, positives)
        share = active.to(similarity) / positives.sum(dim=1)[row, None]
        weights = torch.zeros_like(similarity).index_add_(0, row, -share)
        return weights.index_put_((row, column), share.sum(dim=1), accumulate=True)


def _triplet(tau: float, margin: float) -> Triplet:
    """The hinge has no temperature: ``tau`` is not used."""
    return Triplet(margin)


OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "info_nce": InfoNCE,
    "clip": CLIP,
    "supcon": CLIP,  # SupCon-out between two modalities is CLIP with several positives
    "siglip": SigLIP,
    "dcl": DCL,
    "unicon": UniCon,
    "triplet": _triplet,  # by its Clarke subgradient
}
"""The objectives of the solver by the name that a config gives."""


def named_objective(name: str, tau: float, **options: float) -> Objective:
    """The objective ``name`` of ``OBJECTIVES`` at temperature ``tau`` > 0, with its further arguments.

    Raises:
        UserError: an unknown name, a temperature that is not positive, or an option that the objective does
            not know, that is missing, or that is no finite number.
    """
    if name not in OBJECTIVES:
        raise UserError(f"unknown objective '{name}': {nearest(name, OBJECTIVES)}")
    if not tau > 0:
        raise UserError(f"tau must be above 0, got {tau}")
    known = [option for option in inspect.signature(OBJECTIVES[name]).parameters if option != "tau"]
    for option, value in options.items():
        if option not in known:
            raise UserError(f"unknown option '{option}' of objective '{name}': {nearest(option, known)}")
        if not (isinstance(value, int | float) and math.isfinite(value)):
            raise UserError(f"option '{option}' of objective '{name}' must be a finite number, got {value!r}")
    if missing := [option for option in known if option not in options]:
        raise UserError(f"objective '{name}' needs a value for: {', '.join(missing)}")
    return OBJECTIVES[name](tau, **options)
