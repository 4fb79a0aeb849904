"""Particles on the circle and on the sphere under the unimodal loss in a potential, against its Gibbs density."""

import math
from typing import Annotated, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from ground.ranges import Count, Positive, Seed, at_least, at_most, between, not_empty
from ground.values import checked

STARTS = ("uniform", "one point", "the highest point")
"""Where particles begin: all over, around the first axis, and where the potential is highest."""
GRID = 64
"""Points along each side of a bin by which the Gibbs density is integrated."""


class Equilibrium(NamedTuple):
    """Where the particles ended from one start.

    Attributes:
        histogram: shares (b,) of the particles in each bin.
        gibbs: those of the Gibbs density.
        loss: at the start and at the end.
        sampling: the mean total variation of as many independent draws of the Gibbs density.

    Example:
        >>> half = np.array([0.5, 0.5])
        >>> Equilibrium(2, 10.0, "uniform", np.array([0.7, 0.3]), half, (1.0, 0.5), 0.1).total_variation
        0.2
    """

    dimension: int
    kappa: float
    start: str
    histogram: NDArray[np.float64]
    gibbs: NDArray[np.float64]
    loss: tuple[float, float]
    sampling: float

    @property
    def total_variation(self) -> float:
        """Half the sum of the differences."""
        return round(total_variation(self.histogram, self.gibbs), 6)


def total_variation(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Half the sum of ``|p - q|`` of two histograms (b,) of shares."""
    return float(np.abs(p - q).sum() / 2)


def potential(z: Tensor, depth: float) -> Tensor:
    """``U / tau`` (n,) at unit vectors (n, d): two unequal wells along the first axis, tilted along the second."""
    return -depth * (z[:, 0] ** 2 + 0.25 * z[:, 0] + 0.25 * z[:, 1])


def unimodal_loss(z: Tensor, kappa: float, depth: float) -> Tensor:
    """Minus each particle's alignment over tau, and the mean logarithm of the kernel's mean, of unit vectors (n, d)."""
    return potential(z, depth).mean() + (kappa * (z @ z.T - 1)).exp().mean(1).log().mean()


def pull(z: Tensor, kappa: float, depth: float) -> Tensor:
    """The gradient (n, d) of the loss in each particle, times their number, along the sphere."""
    kernel = (kappa * (z @ z.T - 1)).exp_()
    share = 1 / kernel.sum(1)
    leaf = z.clone().requires_grad_()
    (outer,) = torch.autograd.grad(potential(leaf, depth).sum(), leaf)
    # each particle is in its own density and in that of every other
    slant: Tensor = outer + kappa * (share[:, None] * (kernel @ z) + kernel @ (share[:, None] * z))
    return slant - (slant * z).sum(1, keepdim=True) * z


def settled(z: Tensor, kappa: float, depth: float, steps: int, step: float) -> Tensor:
    """Particles after ``steps`` of gradient descent along the sphere, each by ``step / kappa`` of its own gradient.

    The step falls to nothing along a cosine.
    """
    for number in range(steps):
        z = normalize(z - step / kappa * (1 + math.cos(math.pi * number / steps)) / 2 * pull(z, kappa, depth))
    return z


def bins_of(z: Tensor, bins: int) -> Tensor:
    """The bin (n,) of each unit vector: of equal angle on the circle; on the sphere of equal area, bands of cells."""
    angle = torch.remainder(torch.atan2(z[:, 1], z[:, 0]) / (2 * math.pi), 1)
    if z.shape[1] == 2:
        return (angle * bins).long().clamp_max(bins - 1)
    bands = max(1, round((bins / 2) ** 0.5))
    cells = bins // bands
    band = ((z[:, 2] + 1) / 2 * bands).long().clamp(0, bands - 1)  # the area between two heights is their distance
    number: Tensor = band * cells + (angle * cells).long().clamp_max(cells - 1)
    return number


def grid(dimension: int, bins: int) -> Tensor:
    """Unit vectors of equal measure all over the circle or the sphere, ``GRID`` a bin and side."""
    if dimension == 2:
        angle = 2 * math.pi * (torch.arange(bins * GRID, dtype=torch.float64) + 0.5) / (bins * GRID)
        return torch.stack([angle.cos(), angle.sin()], 1)
    n = GRID * math.ceil(bins**0.5)
    middle = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    height, angle = (each.flatten() for each in torch.meshgrid(2 * middle - 1, 2 * math.pi * middle, indexing="ij"))
    across = (1 - height**2).sqrt()
    return torch.stack([across * angle.cos(), across * angle.sin(), height], 1)


def started(start: str, n: int, dimension: int, depth: float, generator: torch.Generator) -> Tensor:
    """Unit vectors (n, d) of one of ``STARTS``."""
    z = torch.randn(n, dimension, generator=generator, dtype=torch.float64)
    if start == STARTS[0]:
        return normalize(z)
    at = torch.eye(dimension, dtype=torch.float64)[0]
    if start == STARTS[2]:
        all_over = grid(dimension, 16)
        at = all_over[potential(all_over, depth).argmax()]
    return normalize(at + 0.1 * z)


@checked("equilibrium.")
def equilibria(
    dimensions: Annotated[list[Annotated[int, between(2, 3)]], not_empty],
    particles: Annotated[int, at_least(2)],
    kappas: Annotated[list[Annotated[float, at_least(0.1), at_most(300)]], not_empty],
    depth: Positive,
    steps: Count,
    step: Positive,
    bins: Annotated[int, at_least(2)],
    draws: Count,
    seed: Seed,
) -> list[Equilibrium]:
    """Where the particles end, of each dimension, kappa and start."""
    found = []
    for dimension in dimensions:
        generator = torch.Generator().manual_seed(seed)
        points = grid(dimension, bins)
        of_point = bins_of(points, bins)
        weight = torch.softmax(-potential(points, depth), 0)
        n_bins = int(of_point.max()) + 1
        gibbs = torch.zeros(n_bins, dtype=torch.float64).index_add_(0, of_point, weight)

        def histogram(of: Tensor, n_bins: int = n_bins) -> NDArray[np.float64]:
            return (torch.bincount(of, minlength=n_bins).double() / len(of)).numpy()

        samples = [torch.multinomial(gibbs, particles, True, generator=generator) for _ in range(draws)]
        sampling = float(np.mean([total_variation(histogram(each), gibbs.numpy()) for each in samples]))
        for kappa in kappas:
            for start in STARTS:
                z = started(start, particles, dimension, depth, generator)
                end = settled(z, kappa, depth, steps, step)
                loss = float(unimodal_loss(z, kappa, depth)), float(unimodal_loss(end, kappa, depth))
                of = histogram(bins_of(end, bins))
                found.append(Equilibrium(dimension, kappa, start, of, gibbs.numpy(), loss, sampling))
    return found
