"""Closed-form aligners, solved from one pass of moments."""

from aligners.base.projected import ProjectedAligner
from aligners.base.yaml_defaults import defaults_from
from aligners.spectral import factors as spectral
from aligners.spectral.coordinates import Coordinates, Statistics, statistics
from aligners.spectral.factors import Factors
from aligners.spectral.moments import Moments
from aligners.spectral.rows import Rows
from datamodules.pairs.pairs import PairBatch
from ground.distributed import add_over_processes


class MomentAligner(ProjectedAligner):
    r"""The truncated SVD of the (whitened) cross-covariance of the positives.

    .. math:: f(x) = (x - \mu_x) W_x U s^p, \quad U s V^T = W_x^T \Sigma_{xy} W_y

    ``lam`` is the ridge of the whitening relative to the mean variance, None to whiten nothing; ``weight_power``
    p weighs the directions by their singular values.

    Raises:
        UserError: features that do not vary, or a rank above the data's.
    """

    def __init__(self, rank: int, unit: bool, shared: bool | None, lam: float | None, weight_power: float):
        super().__init__(rank, unit, shared)
        self.lam = lam
        self.weight_power = weight_power

    def on_train_start(self) -> None:
        super().on_train_start()
        pairs = self.train_pairs
        self.moments = Moments(*pairs.dims, pairs.n_x, pairs.n_y, self.device)

    def collect(self, batch: PairBatch) -> None:
        self.moments.add(Rows(self.prepare_x(batch.x), self.prepare_y(batch.y), *batch[2:]))

    def solve(self) -> bool:
        add_over_processes(*self.moments.tensors())
        found = statistics(self.moments, shared=bool(self.shared))
        del self.moments
        frame = found.coordinates(self.lam)
        factors = self.factors(found, frame)
        self.take(frame.embedding(factors, self.weight_power), factors.s)
        return True

    def factors(self, found: Statistics, frame: Coordinates) -> Factors:
        """The solution in the whitened coordinates ``frame``, from the moments of all processes."""
        factorise = spectral.positive_part if self.shared else spectral.truncated_svd
        return spectral.uniform_solution(found.cross, frame.W_x, frame.W_y, self.rank, factorise)


@defaults_from("cca")
class CCA(MomentAligner):
    """Regularised canonical correlation analysis (Hotelling 1936; Vinod 1976): both modalities whitened.

    ``lam`` is the ridge relative to the mean variance of the features.
    """

    def __init__(self, *, rank: int, unit: bool, shared: bool | None, lam: float, weight_power: float):
        super().__init__(rank, unit, shared, lam, weight_power)


@defaults_from("pls")
class PLS(MomentAligner):
    """PLS-SVD (Tucker 1958): the directions of largest covariance, nothing whitened."""

    def __init__(self, *, rank: int, unit: bool, shared: bool | None, weight_power: float):
        super().__init__(rank, unit, shared, None, weight_power)
