"""Kernels between feature rows, each a formula: (n, d) and (m, d) to (n, m)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def linear(x: Tensor, z: Tensor) -> Tensor:
    r""":math:`\langle x, z \rangle`."""
    return x @ z.T


def arc_cosine_0(x: Tensor, z: Tensor) -> Tensor:
    r""":math:`1 - \theta / \pi` (Cho and Saul 2009, order 0), with theta the angle; "angular" in other papers."""
    return 1 - torch.acos(_cosine(x, z)) / math.pi


def arc_cosine_1(x: Tensor, z: Tensor) -> Tensor:
    r""":math:`|x||z| (\sin\theta + (\pi - \theta) \cos\theta) / \pi` (Cho and Saul 2009, order 1)."""
    cosine = _cosine(x, z)
    theta = torch.acos(cosine)
    angular = torch.sqrt(1 - cosine.square()).addcmul_(math.pi - theta, cosine).div_(math.pi)
    return angular.mul_(x.norm(dim=1)[:, None]).mul_(z.norm(dim=1))


def _cosine(x: Tensor, z: Tensor) -> Tensor:
    """Cosines (n, m), clipped to [-1, 1]; 0 with a zero row."""
    return (torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(z).T).clamp_(-1, 1)


KERNELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "linear": linear,
    "arc_cosine_0": arc_cosine_0,
    "arc_cosine_1": arc_cosine_1,
}
