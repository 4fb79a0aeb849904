"""A fit is a chain of passes over the training rows, with or without a Trainer around it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from aligners.spectral.coordinates import Projector
from aligners.spectral.factors import Factors
from aligners.spectral.gradient import relative_norm
from aligners.spectral.movement import movement
from aligners.spectral.negatives import Negatives, Place
from aligners.spectral.pull import Pull, Pulled
from aligners.spectral.record import Record
from aligners.spectral.rows import RowSource
from datamodules.pairs.pairs import PairBatch
from datamodules.pairs.stream import Stream


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

    def following(self, former: "Solved | None") -> "Solved":
        """The same with the record of all that led to it: the former one's, and what this pass is to tell."""
        return replace(self, record=(Record() if former is None else former.record).after(self.passed))


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

    def end(self) -> tuple[Solved, "Pass | Undecided | None"]:
        """What all processes' batches come to, and the pass after it; None where nothing is left to do."""


class Undecided:
    """In the place of a pass: what follows ``solved`` takes long to find out, so that this is held and judged first.

    ``decide`` gives what is to be told of the same solution by then, and the pass after it.

    Example:
        >>> import torch
        >>> projector = Projector(torch.eye(3)[:, :2], torch.eye(3)[:, :2], torch.zeros(2), torch.zeros(2))
        >>> solved = Solved(projector, Factors(torch.eye(3)[:, :2], torch.ones(2), torch.eye(3)[:, :2], gap=1.0))
        >>> Undecided(solved, lambda: (Solved(projector, solved.factors, {"gap": 1.0}), None)).decided()[0].passed
        {'gap': 1.0}
    """

    def __init__(self, solved: Solved, decide: "Callable[[], tuple[Solved, Pass | None]]"):
        self._solved, self._decide = solved, decide

    def decided(self) -> "tuple[Solved, Pass | None]":
        """The solution, to the last bit as it was held, and the pass after it; once."""
        told, following = self._decide()
        return replace(told, projector=self._solved.projector, factors=self._solved.factors), following


def solutions(first: Pass, stream: Stream) -> Iterator[Solved]:
    """What each pass gives, one after the other."""
    following: Pass | None = first
    while following is not None:
        for batch in stream(following.reads):
            following.add(batch)
        solved, then = following.end()
        solved, following = then.decided() if isinstance(then, Undecided) else (solved, then)
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
        self.pull = Pull(negatives, place)

    @property
    def reads(self) -> bool:
        return self._rows.reads

    @property
    def _rows(self) -> RowSource:
        return self.negatives.rows_at(self.place)

    def add(self, batch: PairBatch) -> None:
        if self.reads:
            self.pull.add(self._rows.mapped(batch))

    def end(self) -> tuple[Solved, Pass | None]:
        if not self.reads:
            self.pull.add_all()
        place = self.pull.place_after()
        return after(self.negatives, place, self.record, self.left - 1, self.place.factors)


def after(
    negatives: Negatives, place: Place, record: Record, left: int, former: Factors | None = None
) -> tuple[Solved, Pass | None]:
    """The solution at ``place``, and the pass that goes on from it where ``left`` are left and it can.

    ``former`` is the solution that the pass before it left, None at the start.
    """
    ends = left <= 0 or place.last
    passed = told(negatives, place, former, ends)
    record = record.after(passed)
    solved = Solved(embedded(negatives, place), negatives.frame.lifted(place.factors), passed, record)
    return solved, None if ends else StepPass(negatives, place, record, left)


def told(negatives: Negatives, place: Place, former: Factors | None, ends: bool) -> dict[str, float]:
    """What there is to tell of a pass, and at the end of the last one of the gradient that is left."""
    passed = {"step": place.eta, "gap": place.factors.gap, "objective": place.contrasted.value}
    passed |= movement(place.factors, former)
    return passed | ({"gradient_norm": gradient_norm(negatives, place)} if ends else {})


def after_tried(negatives: Negatives, tried: Sequence[Place], record: Record) -> tuple[Solved, Pass | None]:
    """``after`` of passes that a trial has run already, from the start on: they are told, and not run again."""
    chain, former = [], None
    for place in tried:
        passed = told(negatives, place, former, ends=place is tried[-1])
        record, former = record.after(passed), place.factors
        chain.append(Solved(embedded(negatives, place), negatives.frame.lifted(place.factors), passed, record))
    return KnownPasses(chain).end()


def gradient_norm(negatives: Negatives, place: Place) -> float:
    """The norm of the objective's exact gradient in the heads at ``place``, see ``aligners.spectral.gradient``."""
    factors = place.factors
    heads = negatives.rule.weighted(factors.s, factors.U, factors.V)
    pulled, gradients = Pulled(negatives, *heads), negatives.gradients(place)
    for rows in negatives.rows_at(place):
        pulled.add(rows, gradients)
    return relative_norm(pulled.end(), heads, negatives.frame.shared)


def embedded(negatives: Negatives, place: Place) -> Projector:
    """What embeds at ``place``."""
    return negatives.frame.embedding(place.factors, negatives.rule.weight_power)


class KnownPasses:
    """In the place of passes whose solutions are known: those that a trial ran, or the end of a fit gone on with."""

    reads = False

    def __init__(self, solved: Sequence[Solved]):
        self.solved = solved

    def add(self, batch: PairBatch) -> None:
        """Nothing is read."""

    def end(self) -> tuple[Solved, Pass | None]:
        first, *others = self.solved
        return first, KnownPasses(others) if others else None
