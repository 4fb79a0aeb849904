"""UniConBatches: the solutions of single batches, aggregated in one shared feature space."""

import logging
from collections.abc import Iterator

import torch
from torch import Tensor

from aligners import aggregation
from aligners.aligner import GradientFreeAligner
from aligners.coordinates import statistics
from aligners.defaults import defaults_from
from aligners.moments import Moments
from aligners.rows import Rows
from aligners.spectral import truncated_svd
from datamodules.pairs import PairBatch
from distributed import add_over_processes, concatenate, rank_and_world
from errors import UserError, nearest

logger = logging.getLogger(__name__)

AGGREGATES = ("sum", "accuracy", "softmax", "majority")


@defaults_from("unicon_batches")
class UniConBatches(GradientFreeAligner):
    r"""Every training batch solved alone, its solution aggregated with the others' (UniCon, Algorithm 2).

    .. math:: f(x) = (x - \mu_x) W_x U s^p, \quad U s V^T = P_r(\mathrm{aggregate}_b(Z_b))

    The pass over the data collects the moments that give all batches one mean and one whitening; then the batches
    are read once more and solved, each joined over all processes. The batches are those of ``datamodule.batch_size``.
    ``aligners.aggregation`` has the mathematics, ``configs/aligner/unicon_batches.yaml`` the arguments.

    ``accuracy`` and ``softmax`` weigh a batch by the retrieval accuracy of its solution on the validation split;
    where the datamodule has none, by the mean accuracy within each of the other batches, which reads the data once
    more. All batch solutions are held until then: r (m_x + m_y) numbers each.

    An aggregate of fewer than r directions, as a strict majority gives, leaves the other dimensions 0.

    Raises:
        UserError: an argument out of range, features that do not vary, batches of one group each, or for ``sum``,
            ``accuracy`` and ``softmax`` a rank above the data's.
    """

    projection_x: Tensor
    projection_y: Tensor
    centre_x: Tensor
    centre_y: Tensor
    singular_values: Tensor

    def __init__(self, *, rank: int, unit: bool, lam: float, aggregate: str, temperature: float, weight_power: float):
        super().__init__(rank, unit)
        if aggregate not in AGGREGATES:
            raise UserError(f"unknown aligner.aggregate '{aggregate}': {nearest(aggregate, AGGREGATES)}")
        if not lam >= 0:
            raise UserError(f"aligner.lam must be at least 0, got {lam}")
        if not temperature > 0:
            raise UserError(f"aligner.temperature must be above 0, got {temperature}")
        self.lam = lam
        self.aggregate = aggregate
        self.temperature = temperature
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
        self.shared = statistics(self.moments).coordinates(self.lam)
        self.centre_x.copy_(self.shared.mean_x)
        self.centre_y.copy_(self.shared.mean_y)
        Z, rank = self._sum() if self.aggregate == "sum" else self._of_solutions()
        if not Z.any():
            raise UserError("every batch holds a single group: take a larger datamodule.batch_size")
        factors = truncated_svd(Z, rank)
        s = factors.s / Z.norm()
        weights = s**self.weight_power
        for whole, part in (
            (self.projection_x, self.shared.W_x @ (factors.U * weights)),
            (self.projection_y, self.shared.W_y @ (factors.V * weights)),
            (self.singular_values, s),
        ):
            whole.zero_()
            whole[..., :rank] = part
        del self.moments, self.shared
        return True

    def _whitened(self, batch: PairBatch) -> PairBatch:
        """The batch with its rows in the shared feature space."""
        x = self.shared.W_x.T @ (self.prepare_x(batch.x) - self.centre_x).T
        y = self.shared.W_y.T @ (self.prepare_y(batch.y) - self.centre_y).T
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
