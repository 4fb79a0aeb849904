r"""Densities of unit rows on the sphere, smoothed by von Mises-Fisher kernels, and the entropies that follow.

.. math:: \rho_Y(z) = \frac{1}{n V} \sum_j e^{\kappa z \cdot y_j}, \qquad
          V = \int_{S^{d-1}} e^{\kappa z \cdot m} dz = (2 \pi)^{d/2} \kappa^{1 - d/2} I_{d/2 - 1}(\kappa)

The softmax of a contrastive loss at temperature ``1 / kappa`` is an average of this kernel (Cai et al. 2026,
arXiv 2601.19597), so that the loss of one-to-one pairs is

.. math:: CLIP = \overline{U} / \tau - (H_X + H_Y) / 2 - D + \log(n V)

with U minus the mean cosine of partners. Everything in float64; zero rows stay zero, at cosine 0 with all.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from evaluation.scoring import blocks, check_embeddings, unit_rows
from evaluation.vmf import log_normaliser

LARGEST_KAPPA = 300
"""``exp(-2 kappa)``, the kernel at the far end of the sphere, is a normal float64 number below it."""
TILE = 256
"""Rows and columns at once at most: larger blocks do not stay in a core's cache, and take up to 1.6 times as long."""


class Densities(NamedTuple):
    """What the densities of x and y say of each other at one kappa, in nats.

    Attributes:
        entropies: ``H_X = -mean log rho_X(x_i)`` and ``H_Y``.
        divergences: ``KL(X||Y) = mean(log rho_X(x_i) - log rho_Y(x_i))`` and ``KL(Y||X)``.
        conditional: mean entropies of the rows and of the columns of softmax(kappa cosines).

    Example:
        >>> Densities(10.0, (1.0, 2.0), (0.5, 0.7), (0.1, 0.1)).divergence
        0.6
    """

    kappa: float
    entropies: tuple[float, float]
    divergences: tuple[float, float]
    conditional: tuple[float, float]

    @property
    def divergence(self) -> float:
        """D, the mean of both KL."""
        return sum(self.divergences) / 2


@torch.no_grad()
def log_density(queries: Tensor, rows: Tensor, kappa: float, block_size: int) -> Tensor:
    """``log rho(z)`` (q,) at the unit rows of ``queries`` (q, d), of the density of ``rows`` (n, d).

    Raises:
        ValueError: NaN or infinity, widths that differ, or a kappa that is not in (0, 300].

    Example:
        >>> log_density(torch.eye(2)[:1], torch.eye(2)[:1], 1.0, block_size=8)  # exp(1) / (2 pi I_0(1))
        tensor([-1.0738], dtype=torch.float64)
    """
    check_embeddings(queries, rows)
    sums = _Sums(unit_rows(queries), unit_rows(rows), [kappa])
    sums.add_all(block_size)
    return sums.rows[0].log() + kappa - math.log(len(rows)) - log_normaliser(rows.shape[1], kappa)


@torch.no_grad()
def densities(x: Tensor, y: Tensor, kappas: list[float], block_size: int, leave_one_out: bool) -> list[Densities]:
    """Entropies and divergences of the unit rows of ``x`` (n_x, d) and ``y`` (n_y, d), at each kappa.

    With ``leave_one_out`` an item is not in its own modality's density where that is read at the item, so that an
    entropy is not that of the kernel alone; without, the identity of the loss above is exact. Cosines are formed
    ``block_size`` x ``block_size`` at a time, once each.

    Raises:
        ValueError: NaN or infinity, widths that differ, a kappa that is not in (0, 300], or a single row to leave out.

    Example:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> near, far = densities(x, x + 1, [5.0, 20.0], block_size=32, leave_one_out=True)
        >>> near.divergence < far.divergence
        True
    """
    check_embeddings(x, y)
    if leave_one_out and min(len(x), len(y)) < 2:
        raise ValueError("a density without the item itself needs at least two rows")
    u, v = unit_rows(x), unit_rows(y)
    cross, of_x, of_y = _Sums(u, v, kappas, weighted=True), _Sums(u, u, kappas), _Sums(v, v, kappas)
    cross.add_all(block_size)
    of_x.add_own(block_size, leave_one_out)
    of_y.add_own(block_size, leave_one_out)
    left = int(leave_one_out)
    found = []
    for k, kappa in enumerate(kappas):
        scale = log_normaliser(x.shape[1], kappa) - kappa
        own = [float(s.rows[k].log().mean()) - math.log(len(s.rows[k]) - left) - scale for s in (of_x, of_y)]
        other = [
            float(total.log().mean()) - math.log(n) - scale
            for total, n in ((cross.rows[k], len(v)), (cross.columns[k], len(u)))
        ]
        conditional = [
            float((total.log() - kappa * weighted / total).mean())
            for total, weighted in ((cross.rows[k], cross.weighted_rows[k]),
                                    (cross.columns[k], cross.weighted_columns[k]))
        ]  # fmt: skip
        found.append(
            Densities(
                kappa,
                (-own[0], -own[1]),
                (own[0] - other[0], own[1] - other[1]),
                (conditional[0], conditional[1]),
            )
        )
    return found


def named_densities(found: list[Densities], x_name: str, y_name: str) -> dict[str, float]:
    """The numbers by name: ``kappa10/divergence``, ``image/kappa10/entropy`` and, of a direction, ``kl`` as in
    ``image_to_text/kappa10/kl``, KL(image || text), and ``conditional_entropy``, of the texts for an image.

    Example:
        >>> list(named_densities([Densities(10.0, (1.0, 2.0), (0.5, 0.7), (0.1, 0.1))], "a", "b"))[:3]
        ['kappa10/divergence', 'a/kappa10/entropy', 'a_to_b/kappa10/kl']
    """
    named: dict[str, float] = {}
    for at in found:
        kappa = f"kappa{at.kappa:g}"
        named[f"{kappa}/divergence"] = at.divergence
        for name, way, *values in zip(
            (x_name, y_name), (f"{x_name}_to_{y_name}", f"{y_name}_to_{x_name}"), at.entropies, at.divergences,
            at.conditional, strict=True,
        ):  # fmt: skip
            keys = (f"{name}/{kappa}/entropy", f"{way}/{kappa}/kl", f"{way}/{kappa}/conditional_entropy")
            named |= dict(zip(keys, values, strict=True))
    return named


class _Sums:
    """Sums over rows (k, n_x) and columns (k, n_y) of ``E = exp(kappa (c - 1))``, and ``weighted`` of ``E (c - 1)``.

    No exponent is above 0 or below -2 kappa, so the sums of blocks add without a shift of their own.
    """

    def __init__(self, u: Tensor, v: Tensor, kappas: list[float], weighted: bool = False) -> None:
        if not all(0 < kappa <= LARGEST_KAPPA for kappa in kappas):
            raise ValueError(f"every kappa must be above 0 and at most {LARGEST_KAPPA:g}, got {kappas}")
        self.u, self.v, self.kappas, self.weighted = u, v, kappas, weighted
        self.rows, self.weighted_rows = u.new_zeros(2, len(kappas), len(u))
        self.columns, self.weighted_columns = v.new_zeros(2, len(kappas), len(v))

    def add_all(self, block_size: int) -> None:
        for part in blocks(len(self.u), min(block_size, TILE)):
            for other in blocks(len(self.v), min(block_size, TILE)):
                apart = self._apart(part, other)
                for k, kernel in enumerate(self._kernels(apart)):
                    self.rows[k, part] += kernel.sum(1)
                    self.columns[k, other] += kernel.sum(0)
                    if self.weighted:
                        weighted = kernel * apart
                        self.weighted_rows[k, part] += weighted.sum(1)
                        self.weighted_columns[k, other] += weighted.sum(0)

    def add_own(self, block_size: int, leave_one_out: bool) -> None:
        """``u`` with itself: each block once, for its rows and for its columns, which are rows too."""
        for part in blocks(len(self.u), min(block_size, TILE)):
            for other in blocks(part.stop, min(block_size, TILE)):
                apart = self._apart(part, other)
                for k, kernel in enumerate(self._kernels(apart)):
                    if other != part:
                        self.rows[k, other] += kernel.sum(0)
                    elif leave_one_out:
                        kernel.fill_diagonal_(0)
                    self.rows[k, part] += kernel.sum(1)

    def _apart(self, part: slice, other: slice) -> Tensor:
        return (self.u[part] @ self.v[other].T).sub_(1)

    def _kernels(self, apart: Tensor) -> Iterator[Tensor]:
        """``E`` at each kappa; of twice the kappa before it is a square, a fifth of the time of an exponential."""
        kernel, before = apart, math.nan
        for kappa in self.kappas:
            kernel = kernel.square() if kappa == 2 * before else (apart * kappa).exp_()
            before = kappa
            yield kernel
