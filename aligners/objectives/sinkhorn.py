r"""Sinkhorn's iteration in the log domain: the scaling of a kernel K to given marginals.

.. math:: P_{ij} = e^{f_i} K_{ij} e^{g_j}, \quad
          f \leftarrow d_x (\log\mu - LSE_j(\log K + g)), \quad g \leftarrow d_y (\log\nu - LSE_i(\log K + f))

from g = 0. With damping d = 1 the marginals are ``mu`` (n_x,) and ``nu`` (n_y,), the columns' exactly after every
iteration; with ``d = l / (l + eps)`` the plan is that of unbalanced transport (Chizat et al. 2018), which minimises
``<P, C> + eps sum P (log P - 1) + l_x KL(P 1 || mu) + l_y KL(P^T 1 || nu)`` for ``K = exp(-C / eps)``.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

Damping = tuple[float | Tensor, float | Tensor]
BALANCED: Damping = (1.0, 1.0)


class Kernel(Protocol):
    """What the iteration needs of a kernel K (n_x, n_y), formed at once or by tiles."""

    def rows(self, g: Tensor) -> Tensor:
        """``LSE_j(log K_ij + g_j)``, (n_y,) to (n_x,)."""

    def columns(self, f: Tensor) -> Tensor:
        """``LSE_i(log K_ij + f_i)``, (n_x,) to (n_y,)."""


class DenseKernel:
    """A kernel given by all its logarithms (n_x, n_y).

    Example:
        >>> DenseKernel(torch.zeros(2, 3)).rows(torch.zeros(3)).exp()
        tensor([3.0000, 3.0000])
    """

    def __init__(self, log_K: Tensor):
        self.log_K = log_K

    def rows(self, g: Tensor) -> Tensor:
        return torch.logsumexp(self.log_K + g, 1)

    def columns(self, f: Tensor) -> Tensor:
        return torch.logsumexp(self.log_K + f[:, None], 0)


def sinkhorn(
    kernel: Kernel, log_mu: Tensor, log_nu: Tensor, iterations: int, damping: Damping = BALANCED, tolerance: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The log-scalings f (n_x,) and g (n_y,) after ``iterations`` steps of rows and columns, differentiable.

    It stops before, once a step moves no f by more than ``tolerance``: where damping is 1, row sums then miss their
    marginals by no more than that share.

    Example:
        >>> kernel = DenseKernel(torch.eye(2))
        >>> plan(kernel, *sinkhorn(kernel, torch.zeros(2), torch.zeros(2), iterations=1)).sum(1)
        tensor([1., 1.])
    """
    f, g = torch.zeros_like(log_mu), torch.zeros_like(log_nu)
    for _ in range(iterations):
        before, f = f, damping[0] * (log_mu - kernel.rows(g))
        g = damping[1] * (log_nu - kernel.columns(f))
        if tolerance and moved(before, f) <= tolerance:
            break
    return f, g


def converged(
    kernel: DenseKernel, log_mu: Tensor, log_nu: Tensor, iterations: int, damping: Damping, tolerance: float
) -> tuple[Tensor, Tensor] | None:
    """As ``sinkhorn``, without a gradient; None where ``iterations`` do not reach the tolerance."""
    if not tolerance:
        return None
    with torch.no_grad():
        f, g = sinkhorn(kernel, log_mu, log_nu, iterations, damping, tolerance)
        again = damping[0] * (log_mu - kernel.rows(g))
        return (f, g) if moved(f, again) <= tolerance else None


def moved(before: Tensor, after: Tensor) -> float:
    """The largest difference of two log-scalings."""
    return float((after - before).detach().abs().max())


def plan(kernel: DenseKernel, f: Tensor, g: Tensor) -> Tensor:
    """``P_ij = e^f_i K_ij e^g_j``, (n_x, n_y)."""
    return (kernel.log_K + f[:, None] + g).exp()


def implicit(kernel: DenseKernel, f: Tensor, g: Tensor, damping: Damping) -> tuple[Tensor, Tensor]:
    """Converged log-scalings with the gradient of the fixed point in ``log K``, in the place of the loop's.

    What is made of them must not change with a constant that f gains and g loses, which the fixed point leaves open.
    """
    scaled: tuple[Tensor, Tensor] = _FixedPoint.apply(kernel.log_K, f, g, damping)
    return scaled


class _FixedPoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_K: Tensor, f: Tensor, g: Tensor, damping: Damping) -> tuple[Tensor, Tensor]:
        ctx.damping = damping
        ctx.save_for_backward(plan(DenseKernel(log_K), f, g))
        return f.clone(), g.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (P,) = ctx.saved_tensors
        a, b = potentials(P, *gradients, ctx.damping)
        return -P * (a[:, None] + b), None, None, None


def potentials(P: Tensor, of_f: Tensor, of_g: Tensor, damping: Damping = BALANCED) -> tuple[Tensor, Tensor]:
    r"""a (n_x,) and b (n_y,), by which a loss with derivatives ``of_f``, ``of_g`` in f and g has ``-P (a_i + b_j)``.

    .. math:: \begin{pmatrix} diag(P 1) & d_y P \\ d_x P^T & diag(P^T 1) \end{pmatrix}
              \begin{pmatrix} a / d_x \\ b / d_y \end{pmatrix} = \begin{pmatrix} of_f \\ of_g \end{pmatrix}

    That is the derivative in ``log K`` at the fixed point. Undamped the system is singular by a constant that a gains
    and b loses, and nearly so by more where the plan is nearly one of blocks: its least-squares solution of least
    length is taken, in float64, after b is eliminated.

    Example:
        >>> a, b = potentials(torch.eye(2) / 2 + 0.25, torch.ones(2), torch.ones(2))
        >>> a[:, None] + b
        tensor([[1.0000, 1.0000],
                [1.0000, 1.0000]])
    """
    d_x, d_y = (float(d) for d in damping)
    plan_, of_f_, of_g_ = P.double(), of_f.double(), of_g.double()
    r, c = plan_.sum(1), plan_.sum(0)
    B = plan_ / (r[:, None] * c).sqrt()  # its largest singular value is 1, of the constant
    U, s, _ = torch.linalg.svd(B, full_matrices=len(r) > len(c))
    eigenvalues = 1 - d_x * d_y * torch.nn.functional.pad(s, (0, U.shape[1] - len(s))) ** 2
    inverse = torch.where(eigenvalues > len(r) * torch.finfo(torch.float64).eps, 1 / eigenvalues, 0)
    right = (of_f_ - d_y * (plan_ @ (of_g_ / c))) / r.sqrt()
    a = (U @ (inverse * (U.T @ right))) / r.sqrt()
    b = (of_g_ - d_x * (plan_.T @ a)) / c
    return (d_x * a).to(P), (d_y * b).to(P)
