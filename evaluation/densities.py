r"""Densities of unit rows on the sphere, smoothed by von Mises-Fisher kernels, and the entropies that follow.

.. math:: \rho_Y(z) = \frac{1}{n V} \sum_j e^{\kappa z \cdot y_j}, \qquad
          V = \int_{S^{d-1}} e^{\kappa z \cdot m} dz = (2 \pi)^{d/2} \kappa^{1 - d/2} I_{d/2 - 1}(\kappa)

The softmax of a contrastive loss at temperature ``1 / kappa`` is an average of this kernel (Cai et al. 2026,
arXiv 2601.19597), so that the loss of one-to-one pairs is

.. math:: CLIP = \overline{U} / \tau - (H_X + H_Y) / 2 - D + \log(n V)

with U minus the mean cosine of partners. Everything in float64; zero rows stay zero, at cosine 0 with all.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from evaluation.scoring import blocks, check_embeddings, unit_rows
from evaluation.vmf import log_normaliser

Groups = tuple[Tensor, Tensor]
"""Those of x (n_x,) and of y (n_y,): items are partners exactly when they are equal."""
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
    sums.add_all(block_size, [])
    log: Tensor = sums.rows[0].log() + kappa - math.log(len(rows)) - log_normaliser(rows.shape[1], kappa)
    return log


def densities(
    x: Tensor, y: Tensor, kappas: list[float], block_size: int, leave_one_out: bool, partners: Groups | None = None
) -> list[Densities]:
    """Entropies and divergences of the unit rows of ``x`` (n_x, d) and ``y`` (n_y, d), at each kappa.

    With ``leave_one_out`` an item is not in its own modality's density where that is read at the item, so that an
    entropy is not that of the kernel alone; without, the identity of the loss above is exact. Of ``partners``, the
    groups of both, the items of i's own group are left out of the other modality's density at i: as near as an
    aligner puts them, they would otherwise make a divergence negative where items are few. Conditional entropies are
    of all. Cosines are formed ``block_size`` x ``block_size`` at a time, once each.

    Raises:
        ValueError: NaN or infinity, widths that differ, a kappa that is not in (0, 300], a single row to leave out, or
            an item of which all others are partners.

    Example:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> near, far = densities(x, x + 1, [5.0, 20.0], block_size=32, leave_one_out=True)
        >>> near.divergence < far.divergence
        True
    """
    return densities_without(x, y, kappas, block_size, leave_one_out, [partners])[0]


@torch.no_grad()
def densities_without(
    x: Tensor, y: Tensor, kappas: list[float], block_size: int, leave_one_out: bool, pairings: Sequence[Groups | None]
) -> list[list[Densities]]:
    """``densities`` without the partners of each of several pairings of the same rows, for little more than one's cost.

    Raises:
        ValueError: as ``densities``.
    """
    check_embeddings(x, y)
    if leave_one_out and min(len(x), len(y)) < 2:
        raise ValueError("a density without the item itself needs at least two rows")
    u, v = unit_rows(x), unit_rows(y)
    cross = _Sums(u, v, kappas)
    cross.add_all(block_size, pairings)
    scales = [log_normaliser(x.shape[1], kappa) - kappa for kappa in kappas]
    own = []
    for unit in (u, v):
        sums = _Sums(unit, unit, kappas)
        sums.add_own(block_size, leave_one_out)
        own.append(sums.rows.log().mean(1) - math.log(len(unit) - int(leave_one_out)))
    conditional = [
        (total.log() - u.new_tensor(kappas)[:, None] * weighted / total).mean(1)
        for total, weighted in ((cross.rows, cross.weighted_rows), (cross.columns, cross.weighted_columns))
    ]
    found = []
    for number, groups in enumerate(pairings):
        others = [
            (total[number].log() - left.log()).mean(1)
            for total, left in zip((cross.other_rows, cross.other_columns), _counts(u, v, groups), strict=True)
        ]
        found.append([
            Densities(
                kappa,
                (float(scales[k] - own[0][k]), float(scales[k] - own[1][k])),
                (float(own[0][k] - others[0][k]), float(own[1][k] - others[1][k])),
                (float(conditional[0][k]), float(conditional[1][k])),
            )
            for k, kappa in enumerate(kappas)
        ])  # fmt: skip
    return found


def _shared(x_group: Tensor, y_group: Tensor) -> Tensor | None:
    """Which are partners (b, c); None where none are, as in most blocks."""
    equal = x_group[:, None] == y_group
    return equal if equal.any() else None


def _counts(u: Tensor, v: Tensor, groups: Groups | None) -> tuple[Tensor, Tensor]:
    """How many of the other modality are in the density at each x (n_x,) and at each y (n_y,)."""
    counts = u.new_full((len(u),), len(v)), v.new_full((len(v),), len(u))
    if groups is not None:
        group, inverse = torch.unique(torch.cat(groups), return_inverse=True)
        of = inverse.split([len(u), len(v)])
        for count, own, other in zip(counts, of, of[::-1], strict=True):
            count -= torch.bincount(other, minlength=len(group))[own]
            if not count.all():
                raise ValueError("all of the other modality are partners of an item: its density is of none")
    return counts


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

    ``other`` ones (p, k, n) are without the partners of a pairing. No exponent is above 0 or below -2 kappa, so the
    sums of blocks add without a shift of their own.
    """

    def __init__(self, u: Tensor, v: Tensor, kappas: list[float]) -> None:
        if not all(0 < kappa <= LARGEST_KAPPA for kappa in kappas):
            raise ValueError(f"every kappa must be above 0 and at most {LARGEST_KAPPA:g}, got {kappas}")
        self.u, self.v, self.kappas = u, v, kappas
        self.rows, self.weighted_rows = u.new_zeros(2, len(kappas), len(u))
        self.columns, self.weighted_columns = v.new_zeros(2, len(kappas), len(v))

    def add_all(self, block_size: int, pairings: Sequence[Groups | None]) -> None:
        self.other_rows = self.rows.new_zeros(len(pairings), *self.rows.shape)
        self.other_columns = self.columns.new_zeros(len(pairings), *self.columns.shape)
        for part in blocks(len(self.u), min(block_size, TILE)):
            for other in blocks(len(self.v), min(block_size, TILE)):
                apart = self._apart(part, other)
                masks = [groups and _shared(groups[0][part], groups[1][other]) for groups in pairings]
                for k, kernel in enumerate(self._kernels(apart)):
                    self.rows[k, part] += kernel.sum(1)
                    self.columns[k, other] += kernel.sum(0)
                    weighted = kernel * apart
                    self.weighted_rows[k, part] += weighted.sum(1)
                    self.weighted_columns[k, other] += weighted.sum(0)
                    for number, mask in enumerate(masks):
                        left = kernel if mask is None else kernel.masked_fill(mask, 0)
                        self.other_rows[number, k, part] += left.sum(1)
                        self.other_columns[number, k, other] += left.sum(0)

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
