"""Two modalities whose pairs are turned against each other by angles of some spread, aligned by CLIP's loss.

The data are those of the released code of Cai et al. 2026: angles of two von Mises laws around 0 and pi, an x at the
angle and its y at the angle plus a normal one, both with a little noise; the encoders are linear, 2 to 2. The spread
smooths the law of y, not that of x, so that no turn of the circle makes both one.
"""

import math
from typing import Annotated, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.objectives import CLIP
from evaluation.densities import densities
from evaluation.geometry import centroids, potential, shuffled
from ground.ranges import Count, NonNegative, Positive, Seed, Share, at_least, not_empty
from ground.values import checked


class Coupled(NamedTuple):
    """What was measured of one spread and seed, of the embeddings and of the raw features.

    Attributes:
        cosine: the mean of partners.
        shuffled: the mean of others' partners.
        gap: the distance of both means.
        divergence: D by kappa.

    Example:
        >>> Coupled(0.0, 0, "embeddings", 0.99, 0.1, 0.0, {10.0: 0.0}).cosine
        0.99
    """

    spread: float
    seed: int
    of: str
    cosine: float
    shuffled: float
    gap: float
    divergence: dict[float, float]


class Circle:
    """Pairs (n, 2) and (n, 2) of one spread, drawn by ``seed``."""

    def __init__(self, spread: float, share: float, concentration: float, noise: float, seed: int) -> None:
        self.spread, self.share, self.concentration, self.noise = spread, share, concentration, noise
        self.random = np.random.default_rng(seed)

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        centre = np.where(self.random.random(n) < self.share, 0.0, math.pi)
        angle = centre + self.random.vonmises(0.0, self.concentration, n)
        x, y = (self._features(each) for each in (angle, angle + self.spread * self.random.standard_normal(n)))
        return x, y

    def _features(self, angle: np.ndarray) -> Tensor:
        clean = np.stack([np.cos(angle), np.sin(angle)], 1)
        return torch.from_numpy(clean + self.noise * self.random.standard_normal(clean.shape))


def trained(circle: Circle, tau: float, batch_size: int, steps: int, lr: float, seed: int) -> tuple[Tensor, Tensor]:
    """The heads (2, 2) of both modalities after ``steps`` of Adam on CLIP's loss of fresh batches.

    Both begin near the identity: heads of which one turns the circle over and the other does not cannot meet.
    """
    generator = torch.Generator().manual_seed(seed)
    eye = torch.eye(2, dtype=torch.float64)
    heads = [
        (eye + 0.2 * torch.randn(2, 2, generator=generator, dtype=torch.float64)).requires_grad_() for _ in range(2)
    ]
    optimizer = torch.optim.Adam(heads, lr=lr)
    clip, positives = CLIP(tau), torch.eye(batch_size, dtype=torch.bool)
    for _ in range(steps):
        u, v = (normalize(rows @ head) for rows, head in zip(circle.draw(batch_size), heads, strict=True))
        optimizer.zero_grad()
        (clip(u @ v.T, positives) / tau).backward()
        optimizer.step()
    return heads[0].detach(), heads[1].detach()


def measured(x: Tensor, y: Tensor, kappas: list[float]) -> tuple[float, float, float, dict[float, float]]:
    """The mean cosine of partners and of others', the gap, and D by kappa, of pairs (n, 2)."""
    group = torch.arange(len(x))
    other = shuffled(group, seed=0)
    assert other is not None
    gap, _ = centroids(x, y)
    apart = {
        each.kappa: each.divergence
        for each in densities(x, y, kappas, 1024, leave_one_out=True, partners=(group, group))
    }
    return -potential(x, y, group, group), -potential(x, y, group, other), gap, apart


@checked("mismatch.")
def mismatches(
    spreads: Annotated[list[NonNegative], not_empty],
    share: Share,
    concentration: Positive,
    noise: NonNegative,
    tau: Positive,
    batch_size: Annotated[int, at_least(2)],
    steps: Count,
    lr: Positive,
    kappas: Annotated[list[Positive], not_empty],
    items: Annotated[int, at_least(2)],
    seeds: Annotated[list[Seed], not_empty],
) -> list[Coupled]:
    """What comes of each spread and seed, of fresh pairs."""
    found = []
    for spread in spreads:
        for seed in seeds:
            circle = Circle(spread, share, concentration, noise, seed)
            heads = trained(circle, tau, batch_size, steps, lr, seed)
            pairs = circle.draw(items)
            embedded = [rows @ head for rows, head in zip(pairs, heads, strict=True)]
            for of, (x, y) in (("embeddings", embedded), ("raw features", pairs)):
                found.append(Coupled(spread, seed, of, *measured(x, y, kappas)))
    return found
