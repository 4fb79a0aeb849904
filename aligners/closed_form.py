"""Closed-form aligners, solved from one pass of moments."""

import torch
from torch import Tensor

from aligners import spectral
from aligners.aligner import GradientFreeAligner
from aligners.coordinates import statistics
from aligners.defaults import defaults_from
from aligners.moments import Moments
from aligners.rows import Rows
from datamodules.pairs import PairBatch
from distributed import add_over_processes


class MomentAligner(GradientFreeAligner):
    r"""The truncated SVD of the (whitened) cross-covariance of the positives.

    .. math:: f(x) = (x - \mu_x) W_x U s^p, \quad U s V^T = W_x^T \Sigma_{xy} W_y

    ``lam`` is the ridge of the whitening relative to the mean variance, None to whiten nothing; ``weight_power``
    p weighs the directions by their singular values.

    Raises:
        UserError: features that do not vary, or a rank above the data's.
    """

    projection_x: Tensor
    projection_y: Tensor
    centre_x: Tensor
    centre_y: Tensor
    singular_values: Tensor

    def __init__(self, rank: int, unit: bool, lam: float | None, weight_power: float):
        super().__init__(rank, unit)
        self.lam = lam
        self.weight_power = weight_power

    def build(self, d_x: int, d_y: int) -> None:
        for name, d in (("x", d_x), ("y", d_y)):
            self.register_buffer(f"projection_{name}", torch.zeros(d, self.rank, dtype=torch.float64))
            self.register_buffer(f"centre_{name}", torch.zeros(d, dtype=torch.float64))
        self.register_buffer("singular_values", torch.zeros(self.rank, dtype=torch.float64))

    def embed_x(self, x: Tensor) -> Tensor:
        return (x - self.centre_x.to(x)) @ self.projection_x.to(x)

    def embed_y(self, y: Tensor) -> Tensor:
        return (y - self.centre_y.to(y)) @ self.projection_y.to(y)

    def on_train_start(self) -> None:
        super().on_train_start()
        pairs = self.train_pairs
        self.moments = Moments(*pairs.dims, pairs.n_x, pairs.n_y, self.device)

    def collect(self, batch: PairBatch) -> None:
        self.moments.add(Rows(self.prepare_x(batch.x), self.prepare_y(batch.y), *batch[2:]))

    def solve(self) -> bool:
        add_over_processes(*self.moments.tensors())
        found = statistics(self.moments)
        frame = found.coordinates(self.lam)
        factors = spectral.uniform_solution(found.cross, frame.W_x, frame.W_y, self.rank)
        weights = factors.s**self.weight_power
        self.projection_x.copy_(frame.W_x @ factors.U * weights)
        self.projection_y.copy_(frame.W_y @ factors.V * weights)
        self.centre_x.copy_(frame.mean_x)
        self.centre_y.copy_(frame.mean_y)
        self.singular_values.copy_(factors.s)
        return True


@defaults_from("cca")
class CCA(MomentAligner):
    """Regularised canonical correlation analysis (Hotelling 1936; Vinod 1976): both modalities whitened.

    ``lam`` is the ridge relative to the mean variance of the features.
    """

    def __init__(self, *, rank: int, unit: bool, lam: float, weight_power: float):
        super().__init__(rank, unit, lam, weight_power)


@defaults_from("pls")
class PLS(MomentAligner):
    """PLS-SVD (Tucker 1958): the directions of largest covariance, nothing whitened."""

    def __init__(self, *, rank: int, unit: bool, weight_power: float):
        super().__init__(rank, unit, None, weight_power)
