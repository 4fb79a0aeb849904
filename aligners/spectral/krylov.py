r"""The step to the whole of C: block Krylov sweeps over ``C v`` and ``C^T u``, or C itself where that is cheaper.

UniCon as printed takes ``Z <- P_r(C / |C|)``, damped ``P_r((1 - eta) Z + eta C / |C|)``. From bases ``L = [U, G_x]``
and ``R = [V, G_y]``, some random directions G beside the solution's, a sweep gives ``C R`` and ``C^T L``, and what is
new in them goes into L and R. That holds the block Krylov space of :math:`(1 - \eta) Z + \eta C / |C|` at every eta
(words in C, C^T and the projections on U and V), so one plane does for all trials of the search. The tangent step is
one sweep from U and V, without what C does among the new directions.
"""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from aligners.spectral.factors import Factors
from aligners.spectral.step import Step, directions_beside, of_length_1

Products = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Directions D_x (m_x, k) and D_y (m_y, l) to ``C D_y`` (m_x, l) and ``C^T D_x`` (m_y, k), by one sweep."""

STRIP = 256
"""Columns of C that are formed in one sweep."""
SWEEPS = 8
"""Sweeps after which a step that need not be exact takes what it has."""
DENSE_SWEEPS = 12
"""C is formed at once where it costs no more than so many sweeps."""
ROUNDING = 1e-11


def full_step(factors: Factors, CV: Tensor, CtU: Tensor, products: Products, shared: bool, exact: bool) -> Step:
    """The plane of the best rank r of ``(1 - eta) Z + eta C / |C|`` at any eta, from C V (m_x, r) and C^T U (m_y, r).

    ``exact``: the sweeps go on until the r leading directions of C stand up to the rounding of ``products``, and C is
    formed in their place as soon as that is cheaper. Otherwise at most ``SWEEPS`` are made. With ``shared``, U = V and
    C stands for its symmetric part.

    Example:
        >>> C = torch.diag(torch.tensor([3.0, 2.0, 1.0])).double()
        >>> e_3 = torch.eye(3).double()[:, 2:]
        >>> here = Factors(e_3, torch.ones(1).double(), e_3, gap=1.0)
        >>> step = full_step(here, C @ e_3, C.T @ e_3, lambda u, v: (C @ v, C.T @ u), shared=False, exact=True)
        >>> u, s, v, gap = step.trial(here.s, eta=1.0)  # the first direction, which the tangent at e_3 does not see
        >>> round(gap, 4), (torch.cat([e_3, step.Q_x], 1) @ u).abs().flatten().round(decimals=4).tolist()
        (1.5, [1.0, 0.0, 0.0])
    """
    smaller, rank = min(len(factors.U), len(factors.V)), len(factors.s)
    # columns that a sweep carries: r for the similarities, and those of the products
    sweep, whole = 3 * rank, smaller + rank * math.ceil(smaller / STRIP)
    if whole <= DENSE_SWEEPS * sweep:
        return step_to(whole_of(products, len(factors.U), len(factors.V)), factors, shared)
    chain = _Chain(factors, CV, CtU, products, shared)
    for number in itertools.count(1):
        chain.sweep()  # at least one: U and V alone can be an invariant pair that is not the leading one
        if not chain.grows or chain.converged(rank) or (number == SWEEPS and not exact):
            break
        if number * sweep >= whole:
            return step_to(whole_of(products, len(factors.U), len(factors.V)), factors, shared)
    return chain.step(rank)


class _Chain:
    """Growing orthonormal bases L (m_x, k) and R (m_y, l), with C R (m_x, l) and C^T L (m_y, k)."""

    def __init__(self, factors: Factors, CV: Tensor, CtU: Tensor, products: Products, shared: bool):
        self.products, self.shared = products, shared
        self.L, self.R = factors.U, factors.V
        self.CR, self.CtL = self._symmetric(CV, CtU)
        self.scale = CV.norm()
        generator = torch.Generator().manual_seed(0)  # the same solution for every seed and process
        width = max(4, len(factors.s) // 8)
        random = (torch.randn(len(side), width, generator=generator).to(side) for side in (self.L, self.R))
        self._beside(*(torch.cat([C, G], 1) for C, G in zip((self.CR, self.CtL), random, strict=True)))

    @property
    def grows(self) -> bool:
        """Whether there are directions beside L or R to go on with."""
        return bool(self.new_x.shape[1] + self.new_y.shape[1])

    def sweep(self) -> None:
        C_new, Ct_new = self._symmetric(*self.products(self.new_x, self.new_y))
        self.L, self.R = torch.cat([self.L, self.new_x], 1), torch.cat([self.R, self.new_y], 1)
        self.CR, self.CtL = torch.cat([self.CR, C_new], 1), torch.cat([self.CtL, Ct_new], 1)
        self._beside(C_new, Ct_new)

    def converged(self, rank: int) -> bool:
        """Whether ``C v = s u`` and ``C^T u = s v`` for the r leading pairs that the bases hold."""
        core, again = self.L.T @ self.CR, (self.R.T @ self.CtL).T
        u, s, vt = torch.linalg.svd(core, full_matrices=False)
        u, s, v = u[:, :rank], s[:rank], vt[:rank].T
        left = (self.CR @ v - self.L @ (u * s)).norm(dim=0)
        right = (self.CtL @ u - self.R @ (v * s)).norm(dim=0)
        rounding = max(ROUNDING, float((core - again).norm() / core.norm()))  # both are L^T C R
        return bool(torch.maximum(left, right).max() <= rounding * s[0])

    def step(self, rank: int) -> Step:
        core = self.L.T @ self.CR
        return Step(self.L[:, rank:], self.R[:, rank:], of_length_1(core), self.shared)

    def _beside(self, C_new: Tensor, Ct_new: Tensor) -> None:
        self.new_x, _ = directions_beside(self.L, C_new, self.scale)
        self.new_y = self.new_x if self.shared else directions_beside(self.R, Ct_new, self.scale)[0]

    def _symmetric(self, C_new: Tensor, Ct_new: Tensor) -> tuple[Tensor, Tensor]:
        return ((C_new + Ct_new) / 2,) * 2 if self.shared else (C_new, Ct_new)


def whole_of(products: Products, m_x: int, m_y: int) -> Tensor:
    """C (m_x, m_y), by strips of columns, or of rows where these are fewer."""
    wide = m_x < m_y
    smaller = torch.eye(min(m_x, m_y), dtype=torch.float64)
    none = torch.zeros(max(m_x, m_y), 0, dtype=torch.float64)
    strips = [products(strip, none)[1] if wide else products(none, strip)[0] for strip in smaller.split(STRIP, dim=1)]
    C = torch.cat(strips, 1)
    return C.T if wide else C


def step_to(C: Tensor, factors: Factors, shared: bool) -> Step:
    """The plane that holds all of C (m_x, m_y)."""
    if shared:
        C = (C + C.T) / 2
    Q_y = _complement(factors.V)
    Q_x = Q_y if shared else _complement(factors.U)
    if not shared and Q_x.shape[1] > C.shape[1]:
        Q_x, _ = directions_beside(factors.U, C, C.norm())
    if not shared and Q_y.shape[1] > C.shape[0]:
        Q_y, _ = directions_beside(factors.V, C.T, C.norm())
    core = torch.cat([factors.U, Q_x], 1).T @ C @ torch.cat([factors.V, Q_y], 1)
    return Step(Q_x, Q_y, of_length_1(core), shared)


def _complement(basis: Tensor) -> Tensor:
    """(m, m - r) orthonormal, orthogonal to a basis (m, r)."""
    Q: Tensor = torch.linalg.qr(basis, mode="complete")[0]
    return Q[:, basis.shape[1] :]
