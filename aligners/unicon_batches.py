"""UniConBatches: the solutions of single batches, aggregated in one shared feature space, round by round."""

import logging
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from aligners.base.rank_bound import RankBound, groups_bound
from aligners.base.yaml_defaults import defaults_from
from aligners.closed_form import MomentAligner
from aligners.spectral import aggregation, vote
from aligners.spectral.aggregation import BatchSolution
from aligners.spectral.coordinates import Coordinates, Projector, statistics
from aligners.spectral.factors import Factors, truncated_svd
from aligners.spectral.moment_pass import MomentPass
from aligners.spectral.moments import Moments
from aligners.spectral.movement import movement
from aligners.spectral.passes import KnownPasses, Pass, Solved
from aligners.spectral.record import Record
from aligners.spectral.rounds import Round
from datamodules.pairs.pairs import PairBatch, Pairs
from ground.distributed import add_over_processes, gather_objects, rank_and_world
from ground.errors import UserError
from ground.ranges import Count, Natural, NonNegative, Positive

logger = logging.getLogger(__name__)

ONE_GROUP = "every batch holds a single group: take a larger datamodule.batch_size"
Judge = Callable[[BatchSolution, PairBatch, float], float]

Aggregate = Literal["sum", "accuracy", "softmax", "subspaces", "majority"]


@defaults_from("unicon_batches")
class UniConBatches(MomentAligner):
    r"""Every training batch solved alone, its solution aggregated with the others', in rounds (UniCon, Algorithm 2).

    .. math:: f(x) = (x - \mu_x) W_x U s^p, \quad U s V^T = P_r(\mathrm{aggregate}_b(Z_b)), \quad
        Z_b = P_r(C_b / |C_b|), \quad C_b = \Psi_{b,x}^T S_b \Psi_{b,y}

    The pass over the data collects the moments that give all batches one mean and one whitening; then the batches
    are read once more and solved, each whole in one process, with the weights :math:`S_b` of equal similarities. Each
    of the ``passes`` after it reads the batches again, with CLIP's weights at temperature ``tau`` and the cosines of
    the current embeddings. The batches are those of ``datamodule.batch_size``.
    ``aligners.spectral.aggregation`` has the mathematics, ``configs/aligner/unicon_batches.yaml`` the arguments.

    ``accuracy`` and ``softmax`` weigh a batch by the retrieval accuracy of its solution on the validation split;
    where the datamodule has none, by the mean accuracy within each of the other batches, which reads the data once
    more. All batch solutions are held until then: r (m_x + m_y) numbers each.

    ``majority`` aggregates no solutions: each batch's model goes through its rounds alone, embeddings are those of all
    B models side by side, (n, B r), and ``score`` is the vote of their predictions, see ``aligners.spectral.vote``.

    An aggregate of fewer than r directions, as ``subspaces`` gives, leaves the other dimensions 0.

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
        centre: bool,
        whiten: bool,
        lam: NonNegative,
        aggregate: Aggregate,
        temperature: Positive,
        tau: Positive,
        passes: Natural,
        weight_power: NonNegative,
        **common: Any,
    ):
        super().__init__(rank, unit, False, lam if whiten else None, weight_power, **common)
        self.centre = centre
        self.aggregate = aggregate
        self.temperature = temperature
        self.tau = tau
        self.passes = passes
        self.record = Record()

    def build(self, d_x: int, d_y: int) -> None:
        super().build(d_x, d_y)
        if self.aggregate == "majority":
            self.register_buffer("thresholds", torch.zeros(1, dtype=torch.float64))

    def rank_bound(self, train: Pairs) -> RankBound:
        if self.aggregate in ("subspaces", "majority"):  # which leave dimensions 0 where there are fewer directions
            d_x, d_y = train.dims
            return RankBound(min(d_x, d_y), f"features of {d_x} and {d_y} dimensions")
        return groups_bound(train.dims, train, less=0)  # a batch has another mean than the training data

    @property
    def score(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The vote of the batch models on pairs of embeddings (n, B r) and (k, B r); None where there is one model."""
        if self.aggregate != "majority":
            return None
        return lambda x, y: vote.votes(x, y, self.thresholds)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.aggregate == "majority":  # of a time when it was one model, which any threshold ranks as its cosines
            checkpoint["state_dict"].setdefault("thresholds", torch.zeros(1, dtype=torch.float64))
        super().on_load_checkpoint(checkpoint)
        self.record = Record(passes=checkpoint.get("passes", []))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["passes"] = self.record.passes

    def hold(self, solved: Solved) -> None:
        super().hold(solved)
        self.record = solved.record

    @property
    def passes_record(self) -> list[dict[str, float]]:
        return self.record.passes

    @property
    def batches_in_run(self) -> int:
        return 1  # a batch is solved by one process

    def first_pass(self) -> MomentPass:
        pairs = self.train_pairs
        moments = Moments(*pairs.dims, pairs.n_x, pairs.n_y, self.device, batches_in_block=1)
        return MomentPass(moments, self.mapped, self._first_round)

    def _first_round(self, moments: Moments) -> tuple[Solved, Pass | None]:
        """The aggregate at the weights of equal similarities, in the feature space that all batches share."""
        coordinates = statistics(moments, centre=self.centre).coordinates(self.lam)
        solved = self.aggregated(coordinates, former=None)
        return solved, Round(self.aggregated, coordinates, solved, self.passes) if self.passes else None

    def resumed_pass(self) -> Pass:
        first, left = self.first_pass(), self.passes - (self.current_epoch - 1)
        for batch in self.stream():
            first.add(batch)
        add_over_processes(*first.moments.tensors())
        coordinates = statistics(first.moments, centre=self.centre).coordinates(self.lam)
        # the projections are W U s^p: the same directions, of other lengths
        directions = coordinates.W_x.undone(self.projection_x), coordinates.W_y.undone(self.projection_y)
        factors = Factors(directions[0], self.singular_values, directions[1], gap=float("inf"))
        offsets = self.projection_x, self.projection_y, self.offset_x, self.offset_y
        solved = Solved(Projector(*offsets), factors, record=self.record)
        return Round(self.aggregated, coordinates, solved, left) if left > 0 else KnownPasses([solved])

    def aggregated(self, coordinates: Coordinates, former: Solved | None) -> Solved:
        """The aggregate of the batches' solutions; singular values of 0 where it has fewer directions than r.

        Without a ``former`` one with the weights of equal similarities, else with those of the current embeddings.
        """
        passed: dict[str, float] = {}
        first = former is None
        if self.aggregate == "sum":
            Z, rank = self._sum(coordinates, first), self.rank
        else:
            solutions = self._solutions(coordinates, first)
            if not any(len(solution.s) for solution in solutions):
                raise UserError(ONE_GROUP)
            if self.aggregate == "majority":
                return self._all_models(solutions, coordinates).following(former)
            aggregate = self._subspaces if self.aggregate == "subspaces" else self._weighted
            Z, rank, passed = aggregate(solutions, coordinates)
        if not Z.any():
            raise UserError(ONE_GROUP)
        factors = truncated_svd(Z, rank)
        U, s, V = (pad(part, (0, self.rank - rank)) for part in (factors.U, factors.s / Z.norm(), factors.V))
        factors = Factors(U, s, V, factors.gap)
        passed |= movement(factors, None if former is None else former.factors)
        return self.solved(coordinates, factors, passed).following(former)

    def _covariance(self, number: int, batch: PairBatch, coordinates: Coordinates, first: bool) -> Tensor:
        rows = self._whitened(batch, coordinates)
        if first:
            return aggregation.batch_covariance(rows.x, rows.y, rows.positives)
        x, y = self.embed_x(self.prepare_x(batch.x)), self.embed_y(self.prepare_y(batch.y))
        if self.aggregate == "majority":  # the batch's own model
            of_model = slice(number * self.rank, (number + 1) * self.rank)
            x, y = x[:, of_model], y[:, of_model]
        return aggregation.contrasted_covariance(rows, x, y, self.tau)

    def _whitened(self, batch: PairBatch, coordinates: Coordinates) -> PairBatch:
        """The batch with its rows in the shared feature space."""
        x = coordinates.W_x.T @ (self.prepare_x(batch.x) - coordinates.mean_x).T
        y = coordinates.W_y.T @ (self.prepare_y(batch.y) - coordinates.mean_y).T
        return batch._replace(x=x.T, y=y.T)

    def _batches(self) -> Iterator[tuple[int, PairBatch]]:
        """The batches of this process once more, with their numbers."""
        for number, batch in enumerate(self.stream()):
            if len(batch.x_index):
                yield number, batch

    def _sum(self, coordinates: Coordinates, first: bool) -> Tensor:
        pairs = self.train_pairs
        total = torch.zeros(pairs.dims, dtype=torch.float64, device=self.device)
        for number, batch in self._batches():
            share = (len(batch.x) / pairs.n_x + len(batch.y) / pairs.n_y) / 2
            total += share * self._covariance(number, batch, coordinates, first)
        add_over_processes(total)
        return total

    def _solutions(self, coordinates: Coordinates, first: bool) -> list[BatchSolution]:
        """The solutions of all batches, those of other processes too."""
        mine = []
        for number, batch in self._batches():
            covariance = self._covariance(number, batch, coordinates, first)
            solution = aggregation.batch_solution(covariance, self.rank)
            mine.append((number, [part.cpu() for part in solution]))  # another process has another device
        in_order = sorted(gather_objects(mine), key=itemgetter(0))
        return [BatchSolution(*(part.to(self.device) for part in solution)) for _, solution in in_order]

    def _all_models(self, solutions: list[BatchSolution], coordinates: Coordinates) -> Solved:
        """All solutions side by side, and the cosine from which on each predicts that a pair is one."""
        self.thresholds = self._outside(solutions, coordinates, vote.threshold)
        parts = ([pad(part, (0, self.rank - len(Z.s))) for part in Z] for Z in solutions)
        U, s, V = (torch.cat(each, -1) for each in zip(*parts, strict=True))
        return self.solved(coordinates, Factors(U, s, V, gap=float("inf")), {"models": float(len(solutions))})

    def _weighted(
        self, solutions: list[BatchSolution], coordinates: Coordinates
    ) -> tuple[Tensor, int, dict[str, float]]:
        accuracies = self._outside(solutions, coordinates, aggregation.retrieval_accuracy)
        if self.aggregate == "accuracy":
            weights = aggregation.accuracy_weights(accuracies)
        else:
            weights = aggregation.softmax_weights(accuracies, self.temperature)
        passed = {"accuracy": float(accuracies.mean()), "largest_weight": float(weights.max())}
        return aggregation.weighted_mean(solutions, weights), self.rank, passed

    def _subspaces(
        self, solutions: list[BatchSolution], coordinates: Coordinates
    ) -> tuple[Tensor, int, dict[str, float]]:
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

    def _outside(self, solutions: list[BatchSolution], coordinates: Coordinates, judge: Judge) -> Tensor:
        """What ``judge`` says (B,) of each batch's solution on data outside its batch; the processes share the work."""
        judged = torch.zeros(len(solutions), dtype=torch.float64, device=self.device)

        def add(data: PairBatch, numbers: Iterable[int]) -> None:
            rows = self._whitened(data, coordinates)
            for number in numbers:
                judged[number] += judge(solutions[number], rows, self.weight_power)

        validation = self.trainer.datamodule.splits.get("val")  # type: ignore[attr-defined]
        if validation is not None:
            rank, world = rank_and_world()
            whole = PairBatch(*(part.to(self.device) for part in validation[torch.arange(validation.n_x)]))
            add(whole, range(rank, len(solutions), world))
        else:
            for number, batch in self._batches():
                add(batch, (other for other in range(len(solutions)) if other != number))
            judged /= max(1, len(solutions) - 1)
        add_over_processes(judged)
        return judged
