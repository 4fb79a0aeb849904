"""Drawn matrices and groups."""

import torch
from torch import Tensor


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grouped(n_groups: int, n_x: int, n_y: int) -> tuple[Tensor, Tensor]:
    return torch.arange(n_x) % n_groups, torch.arange(n_y) % n_groups
