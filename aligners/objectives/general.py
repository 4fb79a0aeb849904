"""The general contrastive loss of UniCon (Sui, Wang, Do, ICLR 2026), whose special cases the named objectives are."""

from collections.abc import Callable

import torch
from torch import Tensor

from aligners.objectives.base import Objective

Elementwise = Callable[[Tensor], Tensor]


class GeneralContrastive(Objective):
    r"""The general loss of UniCon and of Nakada et al. 2023, one-to-one, both directions; i+ is the positive of i.

    .. math:: \ell_i = \phi\Big(\sum_j \epsilon_{ij} \psi(s_{ij} - \nu s_{ii^+})\Big)

    With ``a_ij = eps_ij phi'(.) psi'(.)`` minus the derivative is ``-a_ij``, and at the positive ``nu`` times the
    row's sum of a beside it. ``phi = tau log``, ``psi = exp(. / tau)``, nu = 1 is CLIP with eps (1, 1) and DCL with
    (0, 1); ``phi`` the identity and ``psi(t) = [m + t]_+`` with (0, 1) is the triplet loss.

    ``phi``, ``psi`` work element by element; their derivatives are taken by autograd where they are not given.
    ``eps`` is a pair, at the positive and at the negatives, or a matrix (n, n): row i of it is that of the
    anchor i in both directions, and the similarities then come whole, not by blocks. The functions are
    evaluated as they are: ``exp`` overflows where ``UniCon``, ``CLIP``, and ``DCL`` do not.

    Raises:
        ValueError: from every call, positives that are not one-to-one, or a shape that is not that of ``eps``.

    Example:
        >>> clip = GeneralContrastive(torch.log, torch.exp, nu=1.0, eps=(1.0, 1.0))
        >>> clip(torch.eye(3), torch.eye(3).bool())
        tensor(0.5514)
    """

    def __init__(
        self,
        phi: Elementwise,
        psi: Elementwise,
        nu: float,
        eps: tuple[float, float] | Tensor,
        d_phi: Elementwise | None = None,
        d_psi: Elementwise | None = None,
    ):
        self.phi = phi
        self.psi = psi
        self.nu = nu
        self.eps = eps
        self.d_phi = d_phi or _derivative(phi)
        self.d_psi = d_psi or _derivative(psi)

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        difference, eps = self._terms(similarity, positives)
        return self.phi((eps * self.psi(difference)).sum(dim=1))

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        difference, eps = self._terms(similarity, positives)
        total = (eps * self.psi(difference)).sum(dim=1, keepdim=True)
        a = eps * self.d_phi(total) * self.d_psi(difference)
        return torch.where(positives, self.nu * a.sum(dim=1, keepdim=True), 0) - a

    def _terms(self, similarity: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
        """``s_ij - nu s_ii+`` and ``eps_ij``, both (b, n)."""
        if not (positives.sum(dim=1) == 1).all():
            raise ValueError("the general loss is one-to-one: every row and every column needs exactly one positive")
        if isinstance(self.eps, Tensor):
            if self.eps.shape != similarity.shape:
                raise ValueError(
                    f"eps is {tuple(self.eps.shape)}, the similarities {tuple(similarity.shape)}: "
                    "with a matrix eps they must be whole; give a pair for blocks of rows"
                )
            eps = self.eps.to(similarity)
        else:
            at_positive, at_negatives = self.eps
            eps = torch.full_like(similarity, at_negatives).masked_fill(positives, at_positive)
        positive = torch.where(positives, similarity, 0).sum(dim=1, keepdim=True)
        return similarity - self.nu * positive, eps


def _derivative(function: Elementwise) -> Elementwise:
    def derivative(x: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(function(leaf).sum(), leaf)
        return gradient

    return derivative
