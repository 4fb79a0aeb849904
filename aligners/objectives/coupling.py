"""A kernel beside the target plan that its scaling is compared with: what losses of transport are made of."""

from typing import Protocol

import torch
from torch import Tensor

from aligners.objectives.sinkhorn import Damping, DenseKernel, Kernel, implicit


class Coupling(Kernel, Protocol):
    """A kernel K and a target T, both (n_x, n_y)."""

    mu: Tensor
    """(n_x,) row sums of T."""
    nu: Tensor
    """(n_y,) column sums of T."""
    mass: Tensor
    """The sum of T."""
    entropy: Tensor
    """``sum T log T``."""

    def matched(self) -> Tensor:
        """``sum T log K``."""

    def energy(self, f: Tensor, g: Tensor) -> Tensor:
        """``sum P log K`` of the plan P that f and g scale K to."""

    def powers(self, g: Tensor, q: float) -> Tensor:
        """``sum_k T_ik (K_ik e^g_k)^q / mu_i``, (n_x,)."""


class DenseCoupling(DenseKernel):
    """A kernel and a target given by all their entries.

    Example:
        >>> coupling = DenseCoupling(torch.zeros(2, 2), torch.eye(2))
        >>> coupling.mu, coupling.energy(torch.zeros(2), torch.zeros(2))
        (tensor([1., 1.]), tensor(0.))
    """

    def __init__(self, log_K: Tensor, target: Tensor):
        super().__init__(log_K)
        self.target = target
        self.mu, self.nu, self.mass = target.sum(1), target.sum(0), target.sum()
        self.entropy = torch.special.xlogy(target, target).sum()

    def matched(self) -> Tensor:
        return (self.target * self.log_K).sum()

    def energy(self, f: Tensor, g: Tensor) -> Tensor:
        return ((self.log_K + f[:, None] + g).exp() * self.log_K).sum()

    def powers(self, g: Tensor, q: float) -> Tensor:
        return (self.target * (q * (self.log_K + g)).exp()).sum(1) / self.mu

    def implicit(
        self, log_mu: Tensor, log_nu: Tensor, fixed: tuple[Tensor, Tensor], damping: Damping
    ) -> tuple[Tensor, Tensor]:
        """The log-scalings ``fixed`` with the gradient of the fixed point."""
        return implicit(self, log_mu, log_nu, fixed, damping)
