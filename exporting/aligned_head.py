"""A head of a fitted aligner: features of a frozen encoder to the shared space. Needs torch and safetensors alone.

``Head.load(folder, "x")(features)``, (n, d) to (n, r) float32; pairs of x and y are scored by the cosine. An export has
this file beside ``heads.json``, which lists the steps of each head, and ``heads.safetensors``, which has their tensors.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize


class Head(nn.Module):
    """Steps on rows, one after the other; ``steps`` are those of ``heads.json``, each with its tensors' names.

    Example:
        >>> steps = [{"op": "centre", "tensors": {"mean": "m"}, "values": {}}, {"op": "unit", "values": {"layers": 1}}]
        >>> Head(steps, {"m": torch.tensor([1.0, 1.0]).double()})(torch.tensor([[4.0, 5.0]]))
        tensor([[0.6000, 0.8000]])
    """

    def __init__(self, steps: list[dict[str, Any]], tensors: dict[str, Tensor]):
        super().__init__()
        self.steps = steps
        for number, step in enumerate(steps):
            for key, name in step.get("tensors", {}).items():
                self.register_buffer(f"step{number}_{key}", tensors[name])

    @classmethod
    def load(cls, folder: str | Path, side: str) -> "Head":
        """The head of x or y of the export in ``folder``."""
        head = json.loads((Path(folder) / "heads.json").read_text(encoding="utf-8"))[side]
        return cls(head["steps"], load_file(Path(folder) / "heads.safetensors")).eval()

    def forward(self, rows: Tensor) -> Tensor:
        features = rows = rows.float()
        for number, step in enumerate(self.steps):
            tensors = {key: getattr(self, f"step{number}_{key}") for key in step.get("tensors", {})}
            if step["op"] == "remember":
                tensors["features"] = features
            rows = OPERATIONS[step["op"]](rows, **tensors, **step.get("values", {}))
        return rows.float()


def _centre(rows: Tensor, mean: Tensor) -> Tensor:
    high = mean.to(rows.dtype)
    return rows - high - (mean - high).to(rows.dtype)


def _unit(rows: Tensor, layers: int) -> Tensor:
    if layers == 1:
        return normalize(rows)
    return normalize(rows.unflatten(1, (layers, -1)), dim=2).flatten(1) / math.sqrt(layers)


def _linear(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return rows @ weight.to(rows.dtype) + bias.to(rows.dtype)


def _adapter(rows: Tensor, A: Tensor, a: Tensor, B: Tensor, b: Tensor) -> Tensor:
    return rows + _linear(gelu(_linear(rows, A, a)), B, b)


def _gated(rows: Tensor, A: Tensor, a: Tensor, B: Tensor, b: Tensor) -> Tensor:
    return _linear(rows, A, a).clamp(0, 6) * _linear(rows, B, b)


def _kernel(rows: Tensor, landmarks: Tensor, kernel: str, bandwidth: float) -> Tensor:
    lengths, of_landmarks = rows.norm(dim=1, keepdim=True), landmarks.norm(dim=1).to(rows.dtype)
    products: Tensor = rows @ landmarks.T.to(rows.dtype)
    if kernel == "linear":
        return products
    if kernel in ("rbf", "matern_12", "matern_32", "matern_52"):
        squares = (lengths.square() + of_landmarks.square() - 2 * products).clamp_min(0)
        if kernel == "rbf":
            return torch.exp(squares / (-2 * bandwidth**2))
        root, polynomial = MATERN[kernel]
        t = squares.sqrt() * (root / bandwidth)
        return polynomial(t) * torch.exp(-t)
    tiny = torch.finfo(rows.dtype).tiny
    cosine: Tensor = (products * (1 / lengths.clamp_min(tiny)) * (1 / of_landmarks.clamp_min(tiny))).clamp(-1, 1)
    if kernel == "cosine":
        return cosine
    if kernel == "exp_cosine":
        return torch.exp((cosine - 1) / bandwidth)
    angle = torch.acos(cosine)
    if kernel == "arc_cosine_0":
        return angle / -math.pi + 1
    sine = (1 - cosine.square()).clamp_min(0).sqrt()
    values: Tensor = (sine + (math.pi - angle) * cosine) * lengths * of_landmarks / math.pi
    return values


MATERN: dict[str, tuple[float, Callable[[Tensor], Tensor]]] = {
    "matern_12": (1.0, torch.ones_like),
    "matern_32": (math.sqrt(3), lambda t: 1 + t),
    "matern_52": (math.sqrt(5), lambda t: 1 + t + t * t / 3),
}
"""What a distance is multiplied by, and the polynomial before the exponential."""


def _random(rows: Tensor, frequencies: Tensor, kernel: str, bandwidth: float) -> Tensor:
    if kernel == "exp_cosine":
        zero = (rows == 0).all(dim=1, keepdim=True)
        rows = normalize(rows)
    products = rows @ frequencies.to(rows.dtype)
    paired = kernel not in ("arc_cosine_0", "arc_cosine_1")
    scale = math.sqrt(2 / (products.shape[1] * (2 if paired else 1)))
    if kernel == "arc_cosine_0":
        return (products.sign() + 1) * (scale / 2)
    if kernel == "arc_cosine_1":
        return products.relu() * scale
    features = torch.cat([products.cos(), products.sin()], dim=1) * scale
    if kernel == "exp_cosine":
        features = torch.where(zero, features * math.exp(-0.5 / bandwidth), features)
    return features


def _remember(
    rows: Tensor, features: Tensor, mean: Tensor, anchors: Tensor, weight: float, temperature: float, per_item: int
) -> Tensor:
    cosines: Tensor = normalize(features - mean.float()) @ anchors.T
    best = cosines.unflatten(1, (-1, per_item)).amax(2)
    profile = torch.softmax(best / temperature, 1).sqrt()
    return torch.cat([normalize(rows.float()), profile * math.sqrt(weight)], 1)


OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "centre": _centre,
    "unit": _unit,
    "scale": lambda rows, by: rows * by,
    "double": lambda rows: rows.double(),
    "float": lambda rows: rows.float(),
    "kernel": _kernel,
    "random": _random,
    "less": lambda rows, origin: rows - origin.to(rows.dtype),
    "linear": _linear,
    "gelu": gelu,
    "gated": _gated,
    "adapter": _adapter,
    "remember": _remember,
}
"""What each step does to rows (n, d)."""
