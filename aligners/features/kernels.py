"""Kernels between feature rows, each a formula: (n, d) and (m, d) to (n, m).

A kernel here is a function of the inner products and of the rows' lengths. The products are one matrix product;
the formula then overwrites them block by block while a block is in the processor's cache, because a pass over
(n, m) through memory costs as much as the formula itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ground.errors import UserError
from ground.ranges import one_of

MEDIAN_ROWS = 1024
"""Rows whose distances tell the scale of a kernel."""

BLOCK = 2**17
"""Entries of the kernel matrix that a formula works on at once on a CPU."""


@dataclass(frozen=True)
class Kernel:
    """``kernel(x, z, bandwidth)``, (n, d) and (m, d) to (n, m) in their dtype; kernels without a scale ignore it.

    ``formula(products, x_lengths, z_lengths, bandwidth)`` overwrites the products (n, m), with lengths that
    broadcast to them, by the kernel's values.
    """

    formula: Callable[[Tensor, Tensor, Tensor, float], object]

    def __call__(self, x: Tensor, z: Tensor, bandwidth: float, z_lengths: Tensor | None = None) -> Tensor:
        """k(x, z); ``z_lengths`` (m,) where they are known."""
        lengths = x.norm(dim=1, keepdim=True)
        if z_lengths is None:
            z_lengths = z.norm(dim=1)
        values: Tensor = x @ z.T
        rows = max(1, BLOCK // max(1, len(z))) if values.device.type == "cpu" else max(1, len(x))
        for block, of_block in zip(values.split(rows), lengths.split(rows), strict=True):
            self.formula(block, of_block, z_lengths, bandwidth)
        return values

    def diagonal(self, x: Tensor, bandwidth: float) -> Tensor:
        """k(x_i, x_i), (n, d) to (n,)."""
        lengths = x.norm(dim=1)
        values: Tensor = lengths.square()
        self.formula(values, lengths, lengths, bandwidth)
        return values


def _linear(products: Tensor, x_lengths: Tensor, z_lengths: Tensor, bandwidth: float) -> None:
    r""":math:`\langle x, z \rangle`."""


def _cosine(products: Tensor, x_lengths: Tensor, z_lengths: Tensor, bandwidth: float) -> Tensor:
    r""":math:`\cos\theta`, theta the angle between x and z; 0 with a zero row."""
    tiny = torch.finfo(products.dtype).tiny
    for lengths in (x_lengths, z_lengths):
        products.mul_(lengths.clamp_min(tiny).reciprocal())
    return products.clamp_(-1, 1)


def _exp_cosine(products: Tensor, x_lengths: Tensor, z_lengths: Tensor, bandwidth: float) -> None:
    r""":math:`\exp((\cos\theta - 1) / b)`, b the temperature: a Gaussian of length sqrt(b) between unit rows."""
    _cosine(products, x_lengths, z_lengths, bandwidth).sub_(1).div_(bandwidth).exp_()


def _arc_cosine_0(products: Tensor, x_lengths: Tensor, z_lengths: Tensor, bandwidth: float) -> None:
    r""":math:`1 - \theta / \pi` (Cho and Saul 2009, order 0); "angular" in other papers."""
    _cosine(products, x_lengths, z_lengths, bandwidth).acos_().div_(-math.pi).add_(1)


def _arc_cosine_1(products: Tensor, x_lengths: Tensor, z_lengths: Tensor, bandwidth: float) -> None:
    r""":math:`|x||z| (\sin\theta + (\pi - \theta) \cos\theta) / \pi` (Cho and Saul 2009, order 1)."""
    cosine = _cosine(products, x_lengths, z_lengths, bandwidth)
    angle = torch.acos(cosine)
    sine = torch.addcmul(cosine.new_ones(()), cosine, cosine, value=-1).sqrt_()
    cosine.mul_(angle.neg_().add_(math.pi)).add_(sine).mul_(x_lengths / math.pi).mul_(z_lengths)


def _rbf(products: Tensor, x_lengths: Tensor, z_lengths: Tensor, bandwidth: float) -> None:
    r""":math:`\exp(-|x - z|^2 / (2 b^2))`."""
    _squared_distance(products, x_lengths, z_lengths).div_(-2 * bandwidth**2).exp_()


def _matern_12(products: Tensor, x_lengths: Tensor, z_lengths: Tensor, bandwidth: float) -> None:
    r""":math:`\exp(-t), \; t = |x - z| / b` (Rasmussen and Williams 2006, Eq. 4.14, nu = 1/2)."""
    _squared_distance(products, x_lengths, z_lengths).sqrt_().div_(-bandwidth).exp_()


def _matern_32(products: Tensor, x_lengths: Tensor, z_lengths: Tensor, bandwidth: float) -> None:
    r""":math:`(1 + t) \exp(-t), \; t = \sqrt 3 |x - z| / b` (the same, nu = 3/2)."""
    t = _squared_distance(products, x_lengths, z_lengths).sqrt_().mul_(math.sqrt(3) / bandwidth)
    polynomial = t + 1
    t.neg_().exp_().mul_(polynomial)


def _matern_52(products: Tensor, x_lengths: Tensor, z_lengths: Tensor, bandwidth: float) -> None:
    r""":math:`(1 + t + t^2/3) \exp(-t), \; t = \sqrt 5 |x - z| / b` (the same, nu = 5/2)."""
    t = _squared_distance(products, x_lengths, z_lengths).sqrt_().mul_(math.sqrt(5) / bandwidth)
    polynomial = (t + 1).addcmul_(t, t, value=1 / 3)
    t.neg_().exp_().mul_(polynomial)


def _squared_distance(products: Tensor, x_lengths: Tensor, z_lengths: Tensor) -> Tensor:
    return products.mul_(-2).add_(x_lengths.square()).add_(z_lengths.square()).clamp_min_(0)


KERNELS: dict[str, Kernel] = {
    "linear": Kernel(_linear),
    "cosine": Kernel(_cosine),
    "exp_cosine": Kernel(_exp_cosine),
    "arc_cosine_0": Kernel(_arc_cosine_0),
    "arc_cosine_1": Kernel(_arc_cosine_1),
    "rbf": Kernel(_rbf),
    "matern_12": Kernel(_matern_12),
    "matern_32": Kernel(_matern_32),
    "matern_52": Kernel(_matern_52),
}

KernelName = Annotated[str, one_of(KERNELS)]

NEEDS_BANDWIDTH = frozenset({"exp_cosine", "rbf", "matern_12", "matern_32", "matern_52"})
"""The kernels with a scale: a length in the rows' units, of ``exp_cosine`` a temperature."""


def median_distance(rows: Tensor) -> float:
    """The median distance between distinct rows of (n, d): the usual scale of a kernel's length.

    Raises:
        UserError: rows that are all equal.
    """
    distinct = torch.unique(rows.double(), dim=0)
    if len(distinct) < 2:
        raise UserError("a kernel's bandwidth needs rows that differ, got the same row for every training item")
    return float(torch.pdist(distinct - distinct.mean(0)).median())


def fitted_bandwidth(kernel: str, sample: Tensor, multiple: float) -> float:
    """``multiple`` times the median distance of the first ``MEDIAN_ROWS`` of a sample (k, d) in random order.

    In the kernel's own measure: a temperature is a squared length between unit rows. Kernels without a scale
    get 1, which they ignore.

    Raises:
        UserError: rows that are all equal.
    """
    if kernel not in NEEDS_BANDWIDTH:
        return 1.0
    sample = sample[:MEDIAN_ROWS]
    if kernel == "exp_cosine":
        return (multiple * median_distance(torch.nn.functional.normalize(sample.double()))) ** 2
    return multiple * median_distance(sample)
