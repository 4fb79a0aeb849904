"""The metric of a map's raw features."""

from typing import NamedTuple

import torch
from torch import Tensor


class Metric(NamedTuple):
    """M (m, m) symmetric and positive, in which raw features have the inner product ``raw(x)^T M^-1 raw(z)``.

    Example:
        >>> metric = metric_of(torch.tensor([[4.0, 2.0], [2.0, 5.0]]))
        >>> metric.factor, metric.to(torch.float64).matrix.dtype
        (tensor([[2., 0.],
                [1., 2.]]), torch.float64)
    """

    matrix: Tensor
    factor: Tensor
    """K (m, m) lower triangular, ``M = K K^T``."""

    def to(self, dtype: torch.dtype) -> "Metric":
        """The same in another precision."""
        return self if self.matrix.dtype == dtype else metric_of(self.matrix.to(dtype))


def metric_of(matrix: Tensor) -> Metric:
    """The metric of a positive matrix (m, m)."""
    return Metric(matrix, torch.linalg.cholesky(matrix))
