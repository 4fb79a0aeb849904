"""Cosines and positives, and the weights of objectives on them by autograd."""

import torch
from hypothesis import strategies as st
from torch import Tensor

from aligners.objectives.base import Objective


def problem(n_groups: int, n_x: int, n_y: int, seed: int) -> tuple[Tensor, Tensor]:
    """Cosines and positives where every row and column has a positive."""
    generator = torch.Generator().manual_seed(seed)
    similarity = 2 * torch.rand(n_x, n_y, generator=generator, dtype=torch.float64) - 1
    x_group = torch.arange(n_x) % n_groups
    y_group = torch.arange(n_y) % n_groups
    return similarity, x_group[:, None] == y_group[None]


def asymmetric(n_x: int, n_y: int, density: float, seed: int) -> tuple[Tensor, Tensor]:
    """Cosines and random positives, at least one in every row and column; at density 1 there are no negatives."""
    generator = torch.Generator().manual_seed(seed)
    similarity = 2 * torch.rand(n_x, n_y, generator=generator, dtype=torch.float64) - 1
    positives = torch.rand(n_x, n_y, generator=generator) < density
    longer = torch.arange(max(n_x, n_y))
    positives[longer % n_x, longer % n_y] = True
    return similarity, positives


def autograd_weights(objective: Objective, similarity: Tensor, positives: Tensor) -> Tensor:
    s = similarity.clone().requires_grad_()
    return -torch.autograd.grad(objective(s, positives), s)[0]


def assert_weights_are_minus_the_gradient(objective: Objective, similarity: Tensor, positives: Tensor) -> None:
    expected = autograd_weights(objective, similarity, positives)
    torch.testing.assert_close(objective.weights(similarity, positives), expected, rtol=0, atol=1e-10)


sizes = {"n_x": st.integers(1, 9), "n_y": st.integers(1, 12), "seed": st.integers(0, 2**31)}
