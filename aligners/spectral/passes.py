"""A fit is a chain of passes over the training rows, with or without a Trainer around it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from torch import Tensor

from aligners.spectral.coordinates import Projector
from aligners.spectral.factors import Factors
from aligners.spectral.gradient import relative_norm
from aligners.spectral.krylov import full_step
from aligners.spectral.negatives import Negatives, Place, Weights
from aligners.spectral.record import Record
from aligners.spectral.step import Step, tangent_step
from datamodules.pairs.pairs import PairBatch
from datamodules.pairs.stream import Stream
from ground.distributed import add_over_processes


@dataclass(frozen=True)
class Solved:
    """What a pass gives: what embeds, the factors behind it, and what is to be told of the pass and of the fit.

    Example:
        >>> import torch
        >>> projector = Projector(torch.eye(3)[:, :2], torch.eye(3)[:, :2], torch.zeros(2), torch.zeros(2))
        >>> solved = Solved(projector, Factors(torch.eye(3)[:, :2], torch.ones(2), torch.eye(3)[:, :2], gap=1.0))
        >>> solved.passed, solved.record.passes
        ({}, [])
    """

    projector: Projector
    factors: Factors
    passed: dict[str, float] = field(default_factory=dict)
    record: Record = field(default_factory=Record)


class Pass(Protocol):
    """One reading of the training rows. Made when it begins; ``end`` gives the solution and the pass after it.

    Example:
        >>> class Count:
        ...     reads, number = True, 0
        ...
        ...     def add(self, batch):
        ...         self.number += len(batch.x)
        ...
        ...     def end(self):
        ...         return self.number, None
        >>> import torch
        >>> batches = [PairBatch(*2 * [torch.zeros(3, 2)], *4 * [torch.arange(3)])] * 2
        >>> run(Count(), lambda reads: batches)
        6
    """

    @property
    def reads(self) -> bool:
        """Whether batches must hold rows; a pass that kept them finds its own by the batch's number."""

    def add(self, batch: PairBatch) -> None:
        """The next of this process's batches, in the order of the stream."""

    def end(self) -> tuple[Solved, "Pass | None"]:
        """What all processes' batches come to; no pass where nothing is left to do."""


def solutions(first: Pass, stream: Stream) -> Iterator[Solved]:
    """What each pass gives, one after the other."""
    following: Pass | None = first
    while following is not None:
        for batch in stream(following.reads):
            following.add(batch)
        solved, following = following.end()
        yield solved


def run(first: Pass, stream: Stream) -> Solved:
    """The solution that the chain of passes ends with, without a Trainer.

    Raises:
        UserError: what a pass refuses, such as features that do not vary or a rank above the data's.
    """
    *_, last = solutions(first, stream)
    return last


class StepPass:
    r"""One damped step from ``place`` (see ``aligners.spectral``), in the tangent space of the rank-r matrices or full.

    The pass adds up ``Psi_x^T (S B)`` and ``Psi_y^T (S^T A)`` over the batches, and a full step goes on with sweeps of
    its own; at its end the step is halved until the objective does not rise (with the safeguard), whatever the
    temperature. There is no pass after the last of ``left``, or where the objective cannot fall further.
    """

    def __init__(self, negatives: Negatives, place: Place, record: Record, left: int):
        self.negatives, self.place, self.record, self.left = negatives, place, record, left
        self.number = 0
        self.weights = negatives.weights(place, place.factors.U, place.factors.V)
        self.pulled = Pulled(negatives, place.factors.U, place.factors.V)

    @property
    def reads(self) -> bool:
        return self.negatives.rows.reads

    def add(self, batch: PairBatch) -> None:
        rows = self.negatives.rows.of(batch, self.number)
        self.number += 1
        self.pulled.add(rows, self.weights)

    def end(self) -> tuple[Solved, Pass | None]:
        step = self._step(*self.pulled.end())
        place = None if step.stands else self.negatives.search(self.place, step)
        return after(self.negatives, place or self.place._replace(eta=0.0, last=True), self.record, self.left - 1)

    def _step(self, CV: Tensor, CtU: Tensor) -> Step:
        rule, factors, shared = self.negatives.rule, self.place.factors, self.negatives.coordinates.shared
        if rule.step == "tangent":
            return tangent_step(factors, CV, CtU, shared)
        return full_step(factors, CV, CtU, partial(products, self.negatives, self.place), shared, rule.exact)


class Pulled:
    """``C D_y`` (m_x, l) and ``C^T D_x`` (m_y, k) from the rows' weights, added up over batches and processes."""

    def __init__(self, negatives: Negatives, D_x: Tensor, D_y: Tensor):
        self.negatives = negatives
        (m_x, k_x), (m_y, k_y) = D_x.shape, D_y.shape
        # contiguous, which D_x and D_y need not be: they are added over processes
        self.sums = [D_x.new_zeros(shape) for shape in ((m_x, k_y), (k_y,), (m_y, k_x), (k_x,))]

    def add(self, rows: PairBatch, weights: Weights) -> None:
        """The next rows, with what gives ``S B`` and ``S^T A`` of them."""
        if not len(rows.x_index):
            return
        SB, StA = weights(rows)
        for total, part in zip(self.sums, (rows.x.T @ SB, SB.sum(0), rows.y.T @ StA, StA.sum(0)), strict=True):
            total += part

    def end(self) -> tuple[Tensor, Tensor]:
        """Both products, whitened, of the rows of all processes."""
        if not self.negatives.rows.replicated:
            add_over_processes(*self.sums)
        return self.negatives.coordinates.pulled(*self.sums)


def products(negatives: Negatives, place: Place, D_x: Tensor, D_y: Tensor) -> tuple[Tensor, Tensor]:
    """``C D_y`` (m_x, l) and ``C^T D_x`` (m_y, k) at ``place``, by a sweep over all rows outside a pass."""
    D_x, D_y = D_x.to(place.factors.U), D_y.to(place.factors.V)
    pulled, weights = Pulled(negatives, D_x, D_y), negatives.weights(place, D_x, D_y)
    for rows in negatives.rows:
        pulled.add(rows, weights)
    return pulled.end()


def after(negatives: Negatives, place: Place, record: Record, left: int) -> tuple[Solved, Pass | None]:
    """The solution at ``place``, and the pass that goes on from it where ``left`` are left and it can."""
    passed = {"step": place.eta, "gap": place.factors.gap, "objective": place.contrasted.value}
    ends = left <= 0 or place.last
    if ends and not negatives.rows.replicated:  # a sweep more, which no trial needs
        passed["gradient_norm"] = gradient_norm(negatives, place)
    record = record.after(passed)
    solved = Solved(embedded(negatives, place), place.factors, passed, record)
    return solved, None if ends else StepPass(negatives, place, record, left)


def gradient_norm(negatives: Negatives, place: Place) -> float:
    """The norm of the objective's exact gradient in the heads at ``place``, see ``aligners.spectral.gradient``."""
    factors, coordinates = place.factors, negatives.coordinates
    heads = negatives.rule.weighted(factors.s, factors.U, factors.V)
    pulled, gradients = Pulled(negatives, *heads), negatives.gradients(place)
    for rows in negatives.rows:
        pulled.add(rows, gradients)
    return relative_norm(pulled.end(), heads, coordinates.shared)


def embedded(negatives: Negatives, place: Place) -> Projector:
    """What embeds at ``place``."""
    return negatives.coordinates.embedding(place.factors, negatives.rule.weight_power)


class FinishedPass:
    """In the place of a pass where a fit that is gone on with has nothing left to do."""

    reads = False

    def __init__(self, solved: Solved):
        self.solved = solved

    def add(self, batch: PairBatch) -> None:
        """Nothing is read."""

    def end(self) -> tuple[Solved, Pass | None]:
        return self.solved, None
