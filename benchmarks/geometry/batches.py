"""How far the objective of a batch, and its gradient, are from those of all pairs, at fixed encoders."""

import math
from typing import Annotated, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.objectives import CLIP
from evaluation.scoring import blocks
from ground.ranges import Count, NonNegative, Positive, Seed, at_least, not_empty
from ground.values import checked

BLOCK = 1024
"""Rows of the similarity matrix at once."""


class Errors(NamedTuple):
    """Root mean squares over batches, at one temperature.

    Attributes:
        value: of the objective less that of all pairs, by the batch's size.
        gradient: the norm of the same difference of gradients in the heads, relative to that of all pairs.

    Example:
        >>> [round(each, 6) for each in Errors(0.1, {32: 0.4, 128: 0.2}, {32: 0.1, 128: 0.05}).slopes]
        [-0.5, -0.5]
    """

    tau: float
    value: dict[int, float]
    gradient: dict[int, float]

    @property
    def slopes(self) -> tuple[float, float]:
        """The slopes of both in logarithms: -1/2 where errors fall as the root of the size."""
        return slope(self.value), slope(self.gradient)


def slope(errors: dict[int, float]) -> float:
    """The slope of the least-squares line through the logarithms."""
    sizes, values = np.log(list(errors)), np.log(list(errors.values()))
    return float(np.polyfit(sizes, values, 1)[0])


def value_and_gradient(x: Tensor, y: Tensor, heads: tuple[Tensor, Tensor], tau: float) -> tuple[float, Tensor]:
    r"""CLIP's objective of the pairs (n, d), less ``log n``, and its gradient in both heads (d, r) as one vector.

    In the scale of the mean of logarithms. It tends to :math:`\overline{U} / \tau` plus the mean logarithms of
    :math:`E_y e^{x \cdot y / \tau}` and of its like over x, of all pairs, as a batch of them grows. Rows of the
    similarities are formed and differentiated a block at a time.
    """
    objective, n = CLIP(tau), len(x)
    weights = [head.clone().requires_grad_() for head in heads]
    embedded = [normalize(rows @ weight) for rows, weight in zip((x, y), weights, strict=True)]
    leaves = [each.detach().requires_grad_() for each in embedded]
    value = 0.0
    for part in blocks(n, BLOCK):
        positives = torch.arange(part.start, part.stop)[:, None] == torch.arange(n)
        for queries, gallery in (leaves, leaves[::-1]):
            loss = objective.rows(queries[part] @ gallery.T, positives).sum() / (2 * n * tau)
            loss.backward()
            value += float(loss.detach())
    gradient = torch.autograd.grad(embedded, weights, [leaf.grad for leaf in leaves])
    return value - math.log(n), torch.cat([each.flatten() for each in gradient])


@checked("batches.")
def batch_errors(
    pairs: Annotated[int, at_least(2)],
    dimensions: Count,
    rank: Count,
    noise: NonNegative,
    taus: Annotated[list[Positive], not_empty],
    sizes: Annotated[list[Annotated[int, at_least(2)]], not_empty],
    repeats: Count,
    seed: Seed,
) -> list[Errors]:
    """The errors at each temperature, of batches drawn with replacement, so that all pairs are their law.

    The features are a Gaussian factor under noise, the heads Gaussian.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    factor = normal(pairs, dimensions)
    x, y = (factor + noise * normal(pairs, dimensions) for _ in range(2))
    head = normal(dimensions, rank)
    heads = head, head + normal(dimensions, rank) / 2
    found = []
    for tau in taus:
        limit, slant = value_and_gradient(x, y, heads, tau)
        errors = Errors(tau, {}, {})
        for size in sizes:
            squares = np.zeros(2)
            for _ in range(repeats):
                batch = torch.randint(pairs, (size,), generator=generator)
                value, gradient = value_and_gradient(x[batch], y[batch], heads, tau)
                squares += (value - limit) ** 2, float(((gradient - slant).norm() / slant.norm()) ** 2)
            errors.value[size], errors.gradient[size] = ((squares / repeats) ** 0.5).tolist()
        found.append(errors)
    return found
