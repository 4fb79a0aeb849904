"""Closed-form aligners, solved from one pass of moments."""

from abc import abstractmethod

import torch
from torch import Tensor

from aligners import spectral
from aligners.aligner import GradientFreeAligner
from aligners.defaults import defaults_from
from datamodules.pairs import PairBatch
from distributed import add_over_processes


class MomentAligner(GradientFreeAligner):
    r"""The truncated SVD of the (whitened) cross-covariance of the positives.

    .. math:: f(x) = (x - \mu_x) W_x U s^p, \quad U s V^T = W_x^T \Sigma_{xy} W_y

    ``weight_power`` p weighs the directions by their singular values.

    Raises:
        UserError: features that do not vary, or a rank above the data's.
    """

    projection_x: Tensor
    projection_y: Tensor
    offset_x: Tensor
    offset_y: Tensor
    singular_values: Tensor

    def __init__(self, rank: int, unit: bool, weight_power: float):
        super().__init__(rank, unit)
        self.weight_power = weight_power

    @abstractmethod
    def whitenings(self, moments: spectral.Moments) -> tuple[Tensor, Tensor]:
        """W_x (d_x, d_x) and W_y (d_y, d_y)."""

    def build(self, d_x: int, d_y: int) -> None:
        for name, d in (("x", d_x), ("y", d_y)):
            self.register_buffer(f"projection_{name}", torch.zeros(d, self.rank, dtype=torch.float64))
            self.register_buffer(f"offset_{name}", torch.zeros(d, dtype=torch.float64))
        self.register_buffer("singular_values", torch.zeros(self.rank, dtype=torch.float64))

    def embed_x(self, x: Tensor) -> Tensor:
        return (x - self.offset_x) @ self.projection_x

    def embed_y(self, y: Tensor) -> Tensor:
        return (y - self.offset_y) @ self.projection_y

    def on_train_start(self) -> None:
        super().on_train_start()
        pairs = self.train_pairs
        self.moments = spectral.Moments(*pairs.dims, pairs.n_x, pairs.n_y, self.device)

    def collect(self, batch: PairBatch) -> None:
        self.moments.add(self.prepare_x(batch.x), self.prepare_y(batch.y), batch.positives)

    def solve(self) -> bool:
        moments = self.moments
        add_over_processes(*moments.tensors())
        W_x, W_y = self.whitenings(moments)
        factors = spectral.uniform_solution(moments, W_x, W_y, self.rank)
        weights = factors.s**self.weight_power
        self.projection_x.copy_(W_x @ factors.U * weights)
        self.projection_y.copy_(W_y @ factors.V * weights)
        self.offset_x.copy_(moments.mean_x)
        self.offset_y.copy_(moments.mean_y)
        self.singular_values.copy_(factors.s)
        return True


@defaults_from("cca")
class CCA(MomentAligner):
    """Regularised canonical correlation analysis (Hotelling 1936; Vinod 1976): both modalities whitened.

    ``lam`` is the ridge relative to the mean variance of the features.
    """

    def __init__(self, *, rank: int, unit: bool, lam: float, weight_power: float):
        super().__init__(rank, unit, weight_power)
        self.lam = lam

    def whitenings(self, moments: spectral.Moments) -> tuple[Tensor, Tensor]:
        return spectral.whitenings(moments, self.lam)


@defaults_from("pls")
class PLS(MomentAligner):
    """PLS-SVD (Tucker 1958): the directions of largest covariance, nothing whitened."""

    def __init__(self, *, rank: int, unit: bool, weight_power: float):
        super().__init__(rank, unit, weight_power)

    def whitenings(self, moments: spectral.Moments) -> tuple[Tensor, Tensor]:
        return spectral.identities(moments)
