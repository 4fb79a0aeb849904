"""What the weights at a place pull towards, and where that leads."""

from collections.abc import Iterator
from functools import partial

from torch import Tensor

from aligners.spectral.krylov import full_step
from aligners.spectral.negatives import Negatives, Place, Weights
from aligners.spectral.step import Step, tangent_step
from datamodules.pairs.pairs import PairBatch
from ground.distributed import add_over_processes

Towards = tuple[Tensor, Tensor]
"""``C V`` (m_x, r) and ``C^T U`` (m_y, r): what the weights at a place pull towards."""


def places(negatives: Negatives, place: Place, towards: Towards | None = None) -> Iterator[Place]:
    """Where each pass leads, one after the other from ``place`` on, by sweeps outside a pass; ends where one stays.

    ``towards`` is what the weights at ``place`` pull towards, where it is known.
    """
    if towards is not None and not place.last:
        place = place_after(negatives, place, towards)
        yield place
    while not place.last:
        pull = Pull(negatives, place)
        pull.add_all()
        place = pull.place_after()
        yield place


class Pull:
    """What the weights at ``place`` pull towards, added up over rows, and the place that it leads to."""

    def __init__(self, negatives: Negatives, place: Place):
        self.negatives, self.place = negatives, place
        U, V = place.factors.U, place.factors.V
        self.weights = negatives.weights(place, U, V)
        self.pulled = Pulled(negatives, U, V)

    def add(self, rows: PairBatch) -> None:
        """The next of this process's rows."""
        self.pulled.add(rows, self.weights)

    def add_all(self) -> None:
        """All of this process's rows."""
        for rows in self.negatives.rows_at(self.place):
            self.add(rows)

    def place_after(self) -> Place:
        """Where all processes' rows lead."""
        return place_after(self.negatives, self.place, self.pulled.end())


def place_after(negatives: Negatives, place: Place, towards: Towards) -> Place:
    """Where a pass leads; the same place with step 0, the last, where the objective cannot fall."""
    step = _step(negatives, place, *towards)
    following = None if step.stands else negatives.search(place, step)
    return following or place._replace(eta=0.0, last=True)


def _step(negatives: Negatives, place: Place, CV: Tensor, CtU: Tensor) -> Step:
    rule, factors, shared = negatives.rule, place.factors, negatives.frame.shared
    if rule.step == "tangent":
        return tangent_step(factors, CV, CtU, shared)
    return full_step(factors, CV, CtU, partial(products, negatives, place), shared, rule.exact)


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

    def end(self) -> Towards:
        """Both products, whitened, of the rows of all processes."""
        add_over_processes(*self.sums)
        return self.negatives.frame.pulled(*self.sums)


def products(negatives: Negatives, place: Place, D_x: Tensor, D_y: Tensor) -> tuple[Tensor, Tensor]:
    """``C D_y`` (m_x, l) and ``C^T D_x`` (m_y, k) at ``place``, by a sweep over all rows outside a pass."""
    D_x, D_y = D_x.to(place.factors.U), D_y.to(place.factors.V)
    pulled, weights = Pulled(negatives, D_x, D_y), negatives.weights(place, D_x, D_y)
    for rows in negatives.rows_at(place):
        pulled.add(rows, weights)
    return pulled.end()
