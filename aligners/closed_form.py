"""Closed-form aligners, solved from one pass of moments, and the one that learns nothing."""

from typing import Any

import torch

from aligners.base.solved import SolvedAligner
from aligners.base.yaml_defaults import defaults_from
from aligners.spectral.coordinates import Coordinates, Projector, Statistics, statistics, uniform_solution
from aligners.spectral.factors import Factors, positive_part, truncated_svd
from aligners.spectral.moment_pass import MomentPass
from aligners.spectral.moments import Moments
from aligners.spectral.passes import KnownPasses, Pass, Solved
from datamodules.pairs.pairs import Pairs
from ground.errors import UserError
from ground.ranges import Count, NonNegative


class MomentAligner(SolvedAligner):
    r"""The truncated SVD of the (whitened) cross-covariance of the positives.

    .. math:: f(x) = (x - \mu_x) W_x U s^p, \quad U s V^T = W_x^T \Sigma_{xy} W_y

    ``lam`` is the ridge of the whitening relative to the mean variance, None to whiten nothing; ``weight_power``
    p weighs the directions by their singular values. A child with another solution overrides ``solution``.

    Raises:
        UserError: features that do not vary, or a rank above the data's.

    Example:
        >>> from dataclasses import replace
        >>> import torch
        >>> @defaults_from("cca")
        ... class Halved(MomentAligner):
        ...     def solution(self, statistics):
        ...         coordinates = statistics.coordinates(self.lam)
        ...         factors = self.uniform(statistics, coordinates)
        ...         return self.solved(coordinates, replace(factors, s=factors.s / 2))
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> halved, whole = Halved(rank=2).fit(x, x), CCA(rank=2).fit(x, x)
        >>> torch.allclose(2 * halved.singular_values, whole.singular_values)
        True
    """

    def __init__(
        self,
        rank: Count,
        unit: bool,
        shared: bool | None,
        lam: NonNegative | None,
        weight_power: NonNegative,
        **common: Any,
    ):
        super().__init__(rank, unit, shared, **common)
        self.lam = lam
        self.weight_power = weight_power

    def first_pass(self) -> Pass:
        pairs = self.train_pairs
        block = self.stream.sampler.whole_runs
        moments = Moments(*pairs.dims, pairs.n_x, pairs.n_y, self.device, batches_in_block=block)
        return MomentPass(
            moments, self.mapped, lambda moments: (self.solution(statistics(moments, shared=bool(self.shared))), None)
        )

    def solution(self, statistics: Statistics) -> Solved:
        """The solution from the statistics of all training rows.

        Raises:
            UserError: a covariance that is singular at ``lam``, or a rank above the data's.
        """
        coordinates = statistics.coordinates(self.lam)
        return self.solved(coordinates, self.uniform(statistics, coordinates))

    def uniform(self, statistics: Statistics, coordinates: Coordinates) -> Factors:
        """The factors, U (d_x, r) and V (d_y, r), for the uniform weights."""
        factorise = positive_part if self.shared else truncated_svd
        return uniform_solution(statistics.cross, coordinates.W_x, coordinates.W_y, self.rank, factorise)

    def solved(self, coordinates: Coordinates, factors: Factors, passed: dict[str, float] | None = None) -> Solved:
        """Embeddings ``Psi U s^p`` of ``factors``, and what the pass reports."""
        return Solved(coordinates.embedding(factors, self.weight_power), factors, passed or {})


@defaults_from("cca")
class CCA(MomentAligner):
    """Regularised canonical correlation analysis (Hotelling 1936; Vinod 1976): both modalities whitened.

    ``lam`` is the ridge relative to the mean variance of the features.

    Example:
        >>> import torch
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> CCA(rank=4).fit(x, x[:, :6]).encode_x(x).shape
        torch.Size([50, 4])
    """

    def __init__(self, *, lam: NonNegative, **common: Any):
        super().__init__(lam=lam, **common)


@defaults_from("pls")
class PLS(MomentAligner):
    """PLS-SVD (Tucker 1958): the directions of largest covariance, nothing whitened.

    Example:
        >>> import torch
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> PLS(rank=4).fit(x, x[:, :6]).encode_y(x[:, :6]).shape
        torch.Size([50, 4])
    """

    def __init__(self, **common: Any):
        super().__init__(lam=None, **common)


@defaults_from("identity")
class Identity(SolvedAligner):
    """The features as they are, for two encoders into one space already: the row that every other has to beat.

    ``centre`` removes the training means, the gap between the modalities among them. The rank is the features'
    dimension.

    Raises:
        UserError: features of two dimensions.

    Example:
        >>> import torch
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> identity = Identity(centre=False).fit(x, x + 1)
        >>> identity.rank, torch.allclose(identity.encode_y(x), x)
        (8, True)
    """

    def __init__(self, *, centre: bool, **common: Any):
        super().__init__(rank=1, unit=False, shared=False, **common)  # the rank is the data's, and a cosine scales
        self.centre = centre

    def build(self, d_x: int, d_y: int) -> None:
        if d_x != d_y:
            raise UserError(f"aligner=identity needs features of one dimension on both sides, got {d_x} and {d_y}")
        self.rank = d_x
        self.register_solution(d_x, d_y)

    def rank_bound(self, train: Pairs) -> None:
        """None: the rank is the data's."""

    def first_pass(self) -> Pass:
        d_x, d_y = self.train_pairs.dims
        eye = torch.eye(d_x, d_y, dtype=torch.float64, device=self.device)
        ones = torch.ones(d_x, dtype=torch.float64, device=self.device)
        projector = Projector(eye, eye, torch.zeros_like(ones), torch.zeros_like(ones))
        return KnownPasses([Solved(projector, Factors(eye, ones, eye, gap=1.0))])
