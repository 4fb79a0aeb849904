"""UniConBatches: the solutions of single batches, aggregated in one shared feature space."""

import logging
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from aligners.base.yaml_defaults import defaults_from
from aligners.closed_form import MomentAligner
from aligners.spectral import aggregation
from aligners.spectral.aggregation import BatchSolution
from aligners.spectral.coordinates import Coordinates, Statistics
from aligners.spectral.factors import Factors, truncated_svd
from aligners.spectral.passes import Solved
from datamodules.pairs.pairs import PairBatch
from ground.distributed import add_over_processes, gather_objects, rank_and_world
from ground.errors import UserError
from ground.ranges import Count, NonNegative, Positive

logger = logging.getLogger(__name__)

Aggregate = Literal["sum", "accuracy", "softmax", "majority"]


@defaults_from("unicon_batches")
class UniConBatches(MomentAligner):
    r"""Every training batch solved alone, its solution aggregated with the others' (UniCon, Algorithm 2).

    .. math:: f(x) = (x - \mu_x) W_x U s^p, \quad U s V^T = P_r(\mathrm{aggregate}_b(Z_b))

    The pass over the data collects the moments that give all batches one mean and one whitening; then the batches
    are read once more and solved, each whole in one process. The batches are those of ``datamodule.batch_size``.
    ``aligners.spectral.aggregation`` has the mathematics, ``configs/aligner/unicon_batches.yaml`` the arguments.

    ``accuracy`` and ``softmax`` weigh a batch by the retrieval accuracy of its solution on the validation split;
    where the datamodule has none, by the mean accuracy within each of the other batches, which reads the data once
    more. All batch solutions are held until then: r (m_x + m_y) numbers each.

    An aggregate of fewer than r directions, as a strict majority gives, leaves the other dimensions 0.

    Raises:
        UserError: an argument out of range, features that do not vary, batches of one group each, or for ``sum``,
            ``accuracy`` and ``softmax`` a rank above the data's.

    Example:
        >>> x = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
        >>> UniConBatches(rank=4, aggregate="sum").fit(x, x.flip(1), batch_size=25).encode_x(x).shape
        torch.Size([100, 4])
    """

    def __init__(
        self,
        *,
        rank: Count,
        unit: bool,
        lam: NonNegative,
        aggregate: Aggregate,
        temperature: Positive,
        weight_power: NonNegative,
    ):
        super().__init__(rank, unit, False, lam, weight_power)
        self.aggregate = aggregate
        self.temperature = temperature

    @property
    def batches_in_run(self) -> int:
        return 1  # a batch is solved by one process

    def solution(self, statistics: Statistics) -> Solved:
        """The aggregate of the batches' solutions; singular values of 0 where it has fewer directions than r."""
        coordinates = statistics.coordinates(self.lam)
        passed: dict[str, float] = {}
        if self.aggregate == "sum":
            Z, rank = self._sum(coordinates), self.rank
        elif self.aggregate == "majority":
            Z, rank, passed = self._majority(self._solutions(coordinates))
        else:
            Z, rank, passed = self._weighted(self._solutions(coordinates), coordinates)
        if not Z.any():
            raise UserError("every batch holds a single group: take a larger datamodule.batch_size")
        factors = truncated_svd(Z, rank)
        U, s, V = (pad(part, (0, self.rank - rank)) for part in (factors.U, factors.s / Z.norm(), factors.V))
        return self.solved(coordinates, Factors(U, s, V, factors.gap), passed)

    def _whitened(self, batch: PairBatch, coordinates: Coordinates) -> PairBatch:
        """The batch with its rows in the shared feature space."""
        x = coordinates.W_x.T @ (self.prepare_x(batch.x) - coordinates.mean_x).T
        y = coordinates.W_y.T @ (self.prepare_y(batch.y) - coordinates.mean_y).T
        return batch._replace(x=x.T, y=y.T)

    def _batches(self, coordinates: Coordinates) -> Iterator[tuple[int, PairBatch]]:
        """The batches of this process once more, with their numbers, in the shared feature space."""
        for number, batch in enumerate(self.stream()):
            if len(batch.x_index):
                yield number, self._whitened(batch, coordinates)

    def _sum(self, coordinates: Coordinates) -> Tensor:
        pairs = self.train_pairs
        total = torch.zeros(pairs.dims, dtype=torch.float64, device=self.device)
        for _, batch in self._batches(coordinates):
            share = (len(batch.x) / pairs.n_x + len(batch.y) / pairs.n_y) / 2
            total += share * aggregation.batch_covariance(batch.x, batch.y, batch.positives)
        add_over_processes(total)
        return total

    def _solutions(self, coordinates: Coordinates) -> list[BatchSolution]:
        """The solutions of all batches, those of other processes too."""
        mine = []
        for number, batch in self._batches(coordinates):
            covariance = aggregation.batch_covariance(batch.x, batch.y, batch.positives)
            solution = aggregation.batch_solution(covariance, self.rank)
            mine.append((number, [part.cpu() for part in solution]))  # another process has another device
        in_order = sorted(gather_objects(mine), key=itemgetter(0))
        return [BatchSolution(*(part.to(self.device) for part in solution)) for _, solution in in_order]

    def _weighted(
        self, solutions: list[BatchSolution], coordinates: Coordinates
    ) -> tuple[Tensor, int, dict[str, float]]:
        accuracies = self._accuracies(solutions, coordinates)
        if self.aggregate == "accuracy":
            weights = aggregation.accuracy_weights(accuracies)
        else:
            weights = aggregation.softmax_weights(accuracies, self.temperature)
        passed = {"accuracy": float(accuracies.mean()), "largest_weight": float(weights.max())}
        return aggregation.weighted_mean(solutions, weights), self.rank, passed

    def _majority(self, solutions: list[BatchSolution]) -> tuple[Tensor, int, dict[str, float]]:
        Q_x, majority_x = aggregation.majority_directions([solution.U for solution in solutions], self.rank)
        Q_y, majority_y = aggregation.majority_directions([solution.V for solution in solutions], self.rank)
        for name, majority in (("x", majority_x), ("y", majority_y)):
            if not majority:
                logger.warning(
                    "no direction of %s is in more than half of the %d batch solutions: the %d most common are taken",
                    name, len(solutions), self.rank,
                )  # fmt: skip
        Z, rank = aggregation.restricted(solutions, Q_x, Q_y)
        return Z, min(self.rank, rank), {"majority_x": float(majority_x), "majority_y": float(majority_y)}

    def _accuracies(self, solutions: list[BatchSolution], coordinates: Coordinates) -> Tensor:
        """Retrieval accuracy (B,) of each batch's solution on data outside its batch; the processes share the work."""
        accuracies = torch.zeros(len(solutions), dtype=torch.float64, device=self.device)
        validation = self.trainer.datamodule.splits.get("val")  # type: ignore[attr-defined]
        if validation is not None:
            whole = PairBatch(*(part.to(self.device) for part in validation[torch.arange(validation.n_x)]))
            rank, world = rank_and_world()
            self._add_accuracies(
                accuracies, solutions, self._whitened(whole, coordinates), range(rank, len(solutions), world)
            )
        else:
            for number, batch in self._batches(coordinates):
                others = [other for other in range(len(solutions)) if other != number]
                self._add_accuracies(accuracies, solutions, batch, others)
            accuracies /= max(1, len(solutions) - 1)
        add_over_processes(accuracies)
        return accuracies

    def _add_accuracies(
        self, accuracies: Tensor, solutions: list[BatchSolution], data: PairBatch, numbers: Iterable[int]
    ) -> None:
        """Add the accuracies on ``data`` of the solutions of these numbers."""
        for number in numbers:
            accuracies[number] += aggregation.retrieval_accuracy(
                solutions[number], data.x, data.y, data.x_group, data.y_group, self.weight_power
            )
