"""Closed-form aligners, solved from one pass of moments, and the one that learns nothing."""

from dataclasses import replace
from typing import Any, Literal

import torch

from aligners.base.on_features import OnSolvedFeatures
from aligners.base.rank_bound import RankBound, groups_bound
from aligners.base.solved import SolvedAligner
from aligners.base.yaml_defaults import defaults_from
from aligners.features.maps import named_features
from aligners.spectral.coordinates import Coordinates, Projector, Statistics, statistics, uniform_solution
from aligners.spectral.factors import Factors, positive_part, truncated_svd
from aligners.spectral.moment_pass import MomentPass
from aligners.spectral.moments import Moments
from aligners.spectral.passes import KnownPasses, Pass, Solved
from datamodules.pairs.pairs import Pairs
from ground.errors import UserError
from ground.ranges import NonNegative

Features = Literal["raw", "kernel"]


class MomentAligner(OnSolvedFeatures, SolvedAligner):
    r"""The truncated SVD of the (whitened) cross-covariance of the positives.

    .. math:: f(x) = (x - \mu_x) W_x U s^p, \quad U s V^T = W_x^T \Sigma_{xy} W_y

    ``lam`` is the ridge of the whitening relative to the mean variance, None to whiten nothing; ``weight_power``
    p weighs the directions by their singular values. A child with another solution overrides ``solution``. x is the
    prepared row, or with ``features=kernel`` its Nystrom features (see ``OnFeatures``).

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

    def __init__(self, *, lam: NonNegative | None, weight_power: NonNegative, features: Features, **common: Any):
        super().__init__(features=features, **common)
        self.lam = lam
        self.weight_power = weight_power

    def rank_bound(self, train: Pairs) -> RankBound | None:
        kind = "identity" if self.features_kind == "raw" else self.features_kind
        return groups_bound(self.most_widths(train), train, int(self.centre), named_features(kind))

    def first_pass(self) -> Pass:
        self.fit_features()
        pairs = self.train_pairs
        block = self.stream.sampler.whole_runs
        moments = Moments(*(self.widths or pairs.dims), pairs.n_x, pairs.n_y, self.device, batches_in_block=block)
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


@defaults_from("csa")
class CSA(MomentAligner):
    r"""Canonical similarity analysis (Li et al., ICLR 2025): a cosine of canonical variates, weighted by correlation.

    .. math:: \sum_k \rho_k^{2p}\, \frac{u_k(x)}{|u(x)|} \frac{v_k(y)}{|v(y)|}

    with the canonical variates u, v of regularised CCA and their correlations; CSA has p = 1/2. Variates are scaled to
    length 1 before they are weighted, where CCA weighs them first. It is the cosine of embeddings (n, 2 r)

    .. math:: f(x) = (u \cos \theta/2,\ u \sin \theta/2), \quad g(y) = (v \cos \theta/2,\ -v \sin \theta/2),
        \quad \cos \theta_k = \rho_k^{2p}

    (:math:`\theta` are the principal angles, at p = 1/2).

    Example:
        >>> import torch
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> CSA(rank=3).fit(x, x[:, :6]).encode_x(x).shape
        torch.Size([50, 6])
    """

    def __init__(self, *, lam: NonNegative, **common: Any):
        super().__init__(lam=lam, shared=False, **common)

    def solution(self, statistics: Statistics) -> Solved:
        coordinates = statistics.coordinates(self.lam)
        factors = self.uniform(statistics, coordinates)
        variates = coordinates.embedding(factors, 0.0)
        correlations = ((variates.P_x.T @ statistics.cross).T * variates.P_y).sum(0)
        # many-to-many and with no ridge they may be above 1 a little: the weights of pairs are not those of items
        cosines = (correlations / correlations.max().clamp_min(1)) ** (2 * self.weight_power)
        near, far = ((1 + cosines) / 2).sqrt(), ((1 - cosines) / 2).clamp_min(0).sqrt()
        U, V = (torch.cat([D * near, D * turned], 1) for D, turned in ((factors.U, far), (factors.V, -far)))
        return Solved(coordinates.projector(U, V), replace(factors, s=correlations))


@defaults_from("procrustes")
class Procrustes(MomentAligner):
    r"""Orthogonal Procrustes (Schönemann 1966) after PCA of both modalities to r dimensions.

    .. math:: f(x) = (x - \mu_x) E_x U, \quad g(y) = (y - \mu_y) E_y V, \quad
        U s V^T = E_x^T \Sigma_{xy} E_y

    with the r leading eigenvectors E of each covariance: :math:`U V^T` is the rotation that brings the scores of x
    nearest to those of y. The factor of a scaling changes no cosine.

    Raises:
        UserError: features that do not vary, or a rank above the data's.

    Example:
        >>> import torch
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> turned = x @ torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1))).Q
        >>> aligner = Procrustes(rank=8, unit=False).fit(x, turned)
        >>> torch.allclose(aligner.encode_x(x), aligner.encode_y(turned), atol=1e-4)
        True
    """

    def __init__(self, **common: Any):
        super().__init__(lam=None, weight_power=0.0, shared=False, **common)

    def solution(self, statistics: Statistics) -> Solved:
        E_x, E_y = (torch.linalg.eigh(side.covariance).eigenvectors[:, -self.rank :] for side in statistics[:2])
        scores = truncated_svd(E_x.T @ statistics.cross @ E_y, self.rank)
        factors = Factors(E_x @ scores.U, scores.s / statistics.cross.norm(), E_y @ scores.V, scores.gap)
        return self.solved(statistics.coordinates(None), factors)


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
