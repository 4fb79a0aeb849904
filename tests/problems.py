"""Small problems that every package's tests use, and the real features beside the project."""

from pathlib import Path

import torch
from torch import Tensor

CLIPART_FEATURES = Path(__file__).parents[2] / "shared" / "data" / "clipart" / "features.safetensors"


def random_features(
    n_x: int, captions: int, d_x: int, d_y: int, seed: int, noise: float = 0.5
) -> tuple[Tensor, Tensor, Tensor]:
    """x (n_x, d_x), y (n_x * captions, d_y) of a common factor, and x_of_y."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    z = normal(n_x, 8)
    x_of_y = torch.arange(n_x).repeat_interleave(captions)
    x = z @ normal(8, d_x) + noise * normal(n_x, d_x)
    y = z[x_of_y] @ normal(8, d_y) + noise * normal(len(x_of_y), d_y)
    return x, y, x_of_y
