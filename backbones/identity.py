"""Items that are features already."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbones.backbone import Backbone
from ground.ranges import Count


class Identity(Backbone):
    """Stacks ready feature vectors (arrays, tensors or lists of d numbers) as float32 (n, d).

    Args:
        modality: 'image', 'text', ...: what the features stand for.
        dim: their width d.

    Raises:
        ValueError: by ``encode``, for an item that is no vector of width d.

    Example:
        >>> Identity("image", dim=2, batch_size=16, device="cpu").encode([[1, 2], [3, 4]])
        tensor([[1., 2.],
                [3., 4.]])
    """

    def __init__(self, modality: str, dim: Count, batch_size: Count, device: str) -> None:
        super().__init__(batch_size, device)
        self.modality = modality
        self._dim = dim

    @property
    def dim(self) -> int:
        return self._dim

    def _content(self) -> tuple[str, Iterable[Path]]:
        return f"{self.modality} {self.dim}", []

    def _load(self) -> nn.Module:
        return nn.Identity()

    def _forward(self, network: nn.Module, items: list[Any]) -> Tensor:
        vectors = [torch.as_tensor(item, dtype=torch.float32).cpu() for item in items]
        for vector in vectors:
            if vector.shape != (self.dim,):
                raise ValueError(f"expected feature vectors of shape ({self.dim},), got {tuple(vector.shape)}")
        return torch.stack(vectors)
