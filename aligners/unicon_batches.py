"""UniConBatches: the solutions of single batches, aggregated in one shared feature space."""

import logging
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from aligners.base.yaml_defaults import defaults_from
from aligners.closed_form import MomentAligner
from aligners.spectral import aggregation
from aligners.spectral.coordinates import Coordinates, Statistics
from aligners.spectral.factors import Factors, truncated_svd
from datamodules.pairs.pairs import PairBatch
from ground.distributed import add_over_processes, concatenate, rank_and_world
from ground.errors import UserError, nearest

logger = logging.getLogger(__name__)

AGGREGATES = ("sum", "accuracy", "softmax", "majority")


@defaults_from("unicon_batches")
class UniConBatches(MomentAligner):
    r"""Every training batch solved alone, its solution aggregated with the others' (UniCon, Algorithm 2).

    .. math:: f(x) = (x - \mu_x) W_x U s^p, \quad U s V^T = P_r(\mathrm{aggregate}_b(Z_b))

    The pass over the data collects the moments that give all batches one mean and one whitening; then the batches
    are read once more and solved, each joined over all processes. The batches are those of ``datamodule.batch_size``.
    ``aligners.spectral.aggregation`` has the mathematics, ``configs/aligner/unicon_batches.yaml`` the arguments.

    ``accuracy`` and ``softmax`` weigh a batch by the retrieval accuracy of its solution on the validation split;
    where the datamodule has none, by the mean accuracy within each of the other batches, which reads the data once
    more. All batch solutions are held until then: r (m_x + m_y) numbers each.

    An aggregate of fewer than r directions, as a strict majority gives, leaves the other dimensions 0.

    Raises:
        UserError: an argument out of range, features that do not vary, batches of one group each, or for ``sum``,
            ``accuracy`` and ``softmax`` a rank above the data's.
    """

    def __init__(self, *, rank: int, unit: bool, lam: float, aggregate: str, temperature: float, weight_power: float):
        super().__init__(rank, unit, False, lam, weight_power)
        if aggregate not in AGGREGATES:
            raise UserError(f"unknown aligner.aggregate '{aggregate}': {nearest(aggregate, AGGREGATES)}")
        if not lam >= 0:
            raise UserError(f"aligner.lam must be at least 0, got {lam}")
        if not temperature > 0:
            raise UserError(f"aligner.temperature must be above 0, got {temperature}")
        self.aggregate = aggregate
        self.temperature = temperature

    def factors(self, found: Statistics, frame: Coordinates) -> Factors:
        """The aggregate of the batches' solutions; singular values of 0 where it has fewer directions than r."""
        self.frame = frame
        Z, rank = self._sum() if self.aggregate == "sum" else self._of_solutions()
        del self.frame
        if not Z.any():
            raise UserError("every batch holds a single group: take a larger datamodule.batch_size")
        factors = truncated_svd(Z, rank)
        U, s, V = (pad(part, (0, self.rank - rank)) for part in (factors.U, factors.s / Z.norm(), factors.V))
        return Factors(U, s, V, factors.gap)

    def _whitened(self, batch: PairBatch) -> PairBatch:
        """The batch with its rows in the shared feature space."""
        x = self.frame.W_x.T @ (self.prepare_x(batch.x) - self.frame.mean_x).T
        y = self.frame.W_y.T @ (self.prepare_y(batch.y) - self.frame.mean_y).T
        return batch._replace(x=x.T, y=y.T)

    def _batches(self) -> Iterator[PairBatch]:
        """The epoch's batches once more, joined over processes, in the shared feature space."""
        for batch in self.stream():
            yield PairBatch(*(concatenate(part) for part in self._whitened(batch)))

    def _sum(self) -> tuple[Tensor, int]:
        pairs = self.train_pairs
        total = torch.zeros(pairs.dims, dtype=torch.float64, device=self.device)
        for batch in self._batches():
            share = (len(batch.x) / pairs.n_x + len(batch.y) / pairs.n_y) / 2
            total += share * aggregation.batch_covariance(batch.x, batch.y, batch.positives)
        return total, self.rank

    def _of_solutions(self) -> tuple[Tensor, int]:
        solutions = []
        for batch in self._batches():
            C = aggregation.batch_covariance(batch.x, batch.y, batch.positives)
            solutions.append(aggregation.batch_solution(C, self.rank))
        if self.aggregate == "majority":
            return self._majority(solutions)
        accuracies = self._accuracies(solutions)
        if self.aggregate == "accuracy":
            weights = aggregation.accuracy_weights(accuracies)
        else:
            weights = aggregation.softmax_weights(accuracies, self.temperature)
        self._log({"accuracy": float(accuracies.mean()), "largest_weight": float(weights.max())})
        return aggregation.weighted_mean(solutions, weights), self.rank

    def _majority(self, solutions: list[aggregation.Solution]) -> tuple[Tensor, int]:
        Q_x, found_x = aggregation.majority_directions([solution.U for solution in solutions], self.rank)
        Q_y, found_y = aggregation.majority_directions([solution.V for solution in solutions], self.rank)
        for name, found in (("x", found_x), ("y", found_y)):
            if not found:
                logger.warning(
                    "no direction of %s is in more than half of the %d batch solutions: the %d most common are taken",
                    name, len(solutions), self.rank,
                )  # fmt: skip
        self._log({"majority_x": found_x, "majority_y": found_y})
        Z, rank = aggregation.restricted(solutions, Q_x, Q_y)
        return Z, min(self.rank, rank)

    def _accuracies(self, solutions: list[aggregation.Solution]) -> Tensor:
        """Retrieval accuracy (B,) of each batch's solution on data outside its batch."""
        accuracies = torch.zeros(len(solutions), dtype=torch.float64, device=self.device)
        validation = self.trainer.datamodule.splits.get("val")  # type: ignore[attr-defined]
        if validation is not None:
            whole = validation[torch.arange(validation.n_x)]
            self._add_accuracies(accuracies, solutions, self._whitened(PairBatch(*(p.to(self.device) for p in whole))))
        else:
            for number, batch in enumerate(self._batches()):
                self._add_accuracies(accuracies, solutions, batch, leave_out=number)
            accuracies /= max(1, len(solutions) - 1)
        add_over_processes(accuracies)
        return accuracies

    def _add_accuracies(
        self,
        accuracies: Tensor,
        solutions: list[aggregation.Solution],
        data: PairBatch,
        leave_out: int | None = None,
    ) -> None:
        """Add the accuracies on ``data`` of this process's share of the solutions."""
        rank, world = rank_and_world()
        for number in range(rank, len(solutions), world):
            if number != leave_out:
                accuracies[number] += aggregation.retrieval_accuracy(
                    solutions[number], data.x, data.y, data.x_group, data.y_group, self.weight_power
                )

    def _log(self, record: dict[str, float]) -> None:
        self.log_dict({f"fit/{key}": value for key, value in record.items()}, rank_zero_only=True)
