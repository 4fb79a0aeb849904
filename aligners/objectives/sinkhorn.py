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
        tensor([3., 3.])
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
    kernel: Kernel, log_mu: Tensor, log_nu: Tensor, iterations: int, damping: Damping, tolerance: float
) -> tuple[Tensor, Tensor] | None:
    """As ``sinkhorn``, without a gradient; None where ``iterations`` do not reach the tolerance, or there is none."""
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


def implicit(
    kernel: DenseKernel, log_mu: Tensor, log_nu: Tensor, fixed: tuple[Tensor, Tensor], damping: Damping
) -> tuple[Tensor, Tensor]:
    """Converged log-scalings, with the gradient of the fixed point in the place of the loop's.

    What is made of them must not change with a constant that f gains and g loses, which an undamped fixed point
    leaves open.
    """
    f, g = (each.detach() for each in fixed)
    once = damping[0] * (log_mu - kernel.rows(g)), damping[1] * (log_nu - kernel.columns(f))
    with torch.no_grad():
        P = plan(kernel, f, g)
        d_x, d_y = (float(d.detach() if isinstance(d, Tensor) else d) for d in damping)
    both: tuple[Tensor, Tensor] = _FixedPoint.apply(*once, f, g, P, (d_x, d_y))
    return both


class _FixedPoint(torch.autograd.Function):
    """f and g, with the gradient of one more step as if it were repeated for ever."""

    @staticmethod
    def forward(
        ctx: Any, f_once: Tensor, g_once: Tensor, f: Tensor, g: Tensor, P: Tensor, damping: Damping
    ) -> tuple[Tensor, Tensor]:
        ctx.damping = damping
        ctx.save_for_backward(P)
        return f.clone(), g.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (P,) = ctx.saved_tensors
        of_f, of_g = gradients
        a, b = potentials(P, of_f, of_g, ctx.damping)
        return P.sum(1) * a, P.sum(0) * b, None, None, None, None


def potentials(P: Tensor, of_f: Tensor, of_g: Tensor, damping: Damping = BALANCED) -> tuple[Tensor, Tensor]:
    r"""a (n_x,) and b (n_y,): a loss with derivatives ``of_f``, ``of_g`` in f and g has ``-P (d_x a_i + d_y b_j)``.

    .. math:: \begin{pmatrix} diag(P 1) & d_y P \\ d_x P^T & diag(P^T 1) \end{pmatrix}
              \begin{pmatrix} a \\ b \end{pmatrix} = \begin{pmatrix} of_f \\ of_g \end{pmatrix}

    That is its derivative in ``log K`` at the fixed point. Undamped the system is singular by a constant that a gains
    and b loses, and nearly so by more where the plan is nearly one of blocks: after b is eliminated, the least-squares
    solution of least length is taken, in float64.

    Example:
        >>> P = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
        >>> a, b = potentials(P, torch.ones(2), torch.ones(2))
        >>> a[:, None] + b
        tensor([[1., 1.],
                [1., 1.]])
    """
    d_x, d_y = damping
    P_, of_f_, of_g_ = P.double(), of_f.double(), of_g.double()
    r, c = P_.sum(1), P_.sum(0)
    B = P_ / (r[:, None] * c).sqrt()  # its largest singular value is 1, that of the constant
    U, s, _ = torch.linalg.svd(B, full_matrices=len(r) > len(c))
    eigenvalues = 1 - d_x * d_y * torch.nn.functional.pad(s, (0, U.shape[1] - len(s))) ** 2
    inverse = torch.where(eigenvalues > len(r) * torch.finfo(torch.float64).eps, 1 / eigenvalues, 0)
    right = (of_f_ - d_y * (P_ @ (of_g_ / c))) / r.sqrt()
    a = (U @ (inverse * (U.T @ right))) / r.sqrt()
    b = (of_g_ - d_x * (P_.T @ a)) / c
    return a.to(P), b.to(P)
