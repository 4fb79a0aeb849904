"""UniConConvex: the exact convex problem as a training step without gradients."""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from aligners.base.rank_bound import RankBound
from aligners.base.solved import SolvedAligner
from aligners.base.yaml_defaults import defaults_from
from aligners.features.kernels import KernelName
from aligners.features.landmarks import Selection
from aligners.features.maps import FeatureMapName, RawFeatures, named_features
from aligners.features.metric import Metric
from aligners.features.steps import Step
from aligners.objectives.base import Objective
from aligners.objectives.pairwise import SigLIP
from aligners.objectives.softmax import CLIP, DCL, InfoNCE, UniCon
from aligners.spectral import convex
from aligners.spectral.coordinates import Projector
from aligners.spectral.factors import truncated_svd
from aligners.spectral.fitted_map import sampled
from aligners.spectral.passes import Pass, Solved
from aligners.spectral.whitening import spread, unwhitened, whitening
from aligners.spectral.width import check_width
from datamodules.pairs.pairs import PairBatch, Pairs
from ground.distributed import gather_rows, rank_and_world
from ground.ranges import Count, Finite, NonNegative, Positive

logger = logging.getLogger(__name__)


def convex_objective(name: str, tau: float, bias: float, nu: float) -> Objective:
    """The objective ``name`` at temperature ``tau``: one that is smooth and convex in the similarities."""
    softmax = {"clip": CLIP(tau), "info_nce": InfoNCE(tau), "dcl": DCL(tau), "unicon": UniCon(tau, nu)}
    return {**softmax, "siglip": SigLIP(tau, bias)}[name]


@defaults_from("unicon_convex")
class UniConConvex(SolvedAligner):
    r"""The global minimiser of a contrastive objective of the logits :math:`\psi(x)^T Z \psi(y)`, certified.

    Features are prepared, mapped (``feature_map``), centred and whitened if wished and scaled to mean square length 1:
    :math:`\psi(x) = (\phi(x) - \mu_x) W_x`; without ``centre`` the means are left in. ``spectral.convex`` solves for
    Z (m_x, m_y), of any rank, and its certificate, logged as ``fit/optimality_gap``, bounds how far the objective is
    above its minimum over these features. The embeddings are its best approximation of rank r,
    :math:`f(x) = \psi(x) U s^p` with :math:`Z \approx Z_r = U \mathrm{diag}(s) V^T`; ``fit/optimality_gap_rank`` bounds
    how far Z_r is above the same minimum, that over every Z of any rank.

    One pass gathers all training features in memory, in every process. The defaults and the meaning of each
    argument stand in ``configs/aligner/unicon_convex.yaml``.

    Raises:
        UserError: an argument out of range, features that do not vary, or a rank above the data's.

    Example:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = UniConConvex(rank=4, rho=0.1).fit(x, x.flip(1))
        >>> aligner.solution.Z.shape, aligner.solution.converged
        (torch.Size([8, 8]), True)
    """

    solution: convex.ConvexSolution
    """The whole Z and how it was found: of a fit in this process, no file has it."""

    def __init__(
        self,
        *,
        rank: Count,
        unit: bool,
        centre: bool,
        feature_map: FeatureMapName,
        kernel: KernelName,
        bandwidth: Positive,
        landmarks: Count,
        landmark_selection: Selection,
        landmark_ridge: NonNegative,
        whiten: bool,
        lam: NonNegative,
        objective: Literal["clip", "info_nce", "siglip", "unicon", "dcl"],
        tau: Positive,
        bias: Finite,
        nu: Finite,
        rho: Positive,
        tolerance: Positive,
        max_iterations: Count,
        weight_power: NonNegative,
        block_size: Count,
        **common: Any,
    ):
        super().__init__(rank, unit, shared=False, **common)
        self._features = partial(
            RawFeatures, feature_map, shared=False, centre=centre, kernel=kernel, bandwidth=bandwidth,
            landmarks=landmarks, landmark_selection=landmark_selection, landmark_ridge=landmark_ridge,
        )  # fmt: skip
        self._features(1, 1)  # mistakes show at once
        self.centre = centre
        self.whiten = whiten
        self.lam = lam
        self.objective = convex_objective(objective, tau, bias, nu)
        self.rho = rho
        self.tolerance = tolerance
        self.max_iterations = max_iterations
        self.weight_power = weight_power
        self.block_size = block_size

    def build(self, d_x: int, d_y: int) -> None:
        self.features = self._features(d_x, d_y)
        self.register_solution(*self.features.dims)

    def rank_bound(self, train: Pairs) -> RankBound:
        (m_x, m_y), kind = self._features(*train.dims).most_dims, self._features.args[0]
        # at the minimum Z is a sum over pairs of items, whatever their groups, and their means are taken off
        most = min(m_x, m_y, train.n_x - 1, train.n_y - 1)
        what = f"{named_features(kind)} of {m_x} and {m_y} dimensions of {train.n_x} and {train.n_y} items"
        return RankBound(most, what)

    def raw_x(self, x: Tensor) -> Tensor:
        return self.features.x(x)

    def raw_y(self, y: Tensor) -> Tensor:
        return self.features.y(y)

    def raw_steps(self, side: str) -> list[Step]:
        return self.features.steps(side)

    def first_pass(self) -> Pass:
        generator = torch.Generator().manual_seed(torch.initial_seed())  # the run's seed, in every process
        sizes = self.train_pairs.n_x, self.train_pairs.n_y
        x, y = sampled(self.train_pairs, self.features.sample_size(*sizes), generator, self.device)
        self.features.fit(self.prepare_x(x), self.prepare_y(y), generator, sizes)
        return ConvexPass(self)

    def hold(self, solved: Solved) -> None:
        super().hold(solved)
        assert isinstance(solved, ConvexSolved)
        self.solution = solved.solution


@dataclass(frozen=True, kw_only=True)
class ConvexSolved(Solved):
    """A solution that keeps the whole Z, of any rank, and how it was found."""

    solution: convex.ConvexSolution


class ConvexPass:
    """All prepared training features, gathered in every process; then the solution and its certificate."""

    reads = True

    def __init__(self, aligner: UniConConvex):
        self.aligner = aligner
        self.batches: list[PairBatch] = []
        check_width(*aligner.features.dims)

    def add(self, batch: PairBatch) -> None:
        rows = self.aligner.mapped(batch)
        self.batches.append(rows._replace(x=rows.x.double(), y=rows.y.double()))

    def end(self) -> tuple[Solved, Pass | None]:
        aligner, pairs = self.aligner, self.aligner.train_pairs
        parts = PairBatch(*(torch.cat(part) for part in zip(*self.batches, strict=True)))
        # every process needs all rows: each sweeps its blocks of the logits against the whole other modality
        metric_x, metric_y = aligner.features.metrics
        A, W_x, mean_x = self._coordinates(gather_rows(pairs.n_x, parts.x_index, parts.x), metric_x)
        B, W_y, mean_y = self._coordinates(gather_rows(pairs.n_y, parts.y_index, parts.y), metric_y)
        groups = pairs.group.to(aligner.device), pairs.y_group.to(aligner.device)
        problem = convex.ConvexProblem(aligner.objective, A, B, *groups, aligner.rho, aligner.block_size)
        solution = convex.solve(problem, aligner.tolerance, aligner.max_iterations)
        factors = truncated_svd(solution.Z, aligner.rank)
        rank_gap = convex.gap_of_another(problem, solution, factors.U * factors.s @ factors.V.T)
        weights = factors.s**aligner.weight_power
        P_x, P_y = W_x @ factors.U * weights, W_y @ factors.V * weights
        projector = Projector(P_x, P_y, mean_x @ P_x, mean_y @ P_y)
        return ConvexSolved(projector, factors, _told(solution, rank_gap), solution=solution), None

    def _coordinates(self, rows: Tensor, metric: Metric | None) -> tuple[Tensor, Tensor, Tensor]:
        """``(rows - mean) W`` (n, m) of mean square length 1, W (m, m), and the mean (m,) of the rows, or 0."""
        mean = rows.mean(0) if self.aligner.centre else torch.zeros_like(rows[0])
        centred = rows - mean
        of = spread(centred.T @ centred / len(rows), mean, float(rows.square().mean()), metric)
        identity = torch.eye(len(mean), dtype=rows.dtype, device=rows.device)
        W = (whitening(of, self.aligner.lam) if self.aligner.whiten else unwhitened(of)) @ identity
        features = centred @ W
        scale = features.square().sum(1).mean().rsqrt()
        return features * scale, W * scale, mean


def _told(solution: convex.ConvexSolution, rank_gap: float) -> dict[str, float]:
    """What the pass reports; the certificate is a line in the log too."""
    line = "optimality gap <= %.1e at objective %.6g, of the embeddings' rank <= %.1e: %d iterations, %d evaluations"
    facts = (solution.gap, solution.objective, rank_gap, len(solution.iterates) - 1, solution.evaluations)
    if not solution.converged:
        line += "; not converged: raise aligner.max_iterations, aligner.tolerance or aligner.rho"
    if rank_and_world()[0] == 0:  # for all processes
        logger.log(logging.INFO if solution.converged else logging.WARNING, line, *facts)
    return {
        "objective": solution.objective,
        "optimality_gap": solution.gap,
        "optimality_gap_rank": rank_gap,
        "iterations": float(len(solution.iterates) - 1),
        "evaluations": float(solution.evaluations),
        "converged": float(solution.converged),
    }
