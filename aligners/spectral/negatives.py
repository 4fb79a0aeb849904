"""What a pass contrasts each item against: all items of the training split, or those of its batch."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from aligners.objectives.streamed import over_all_pairs
from aligners.objectives.sweep import Contrast, Contrasted, WholeContrast
from aligners.objectives.whole import WholeObjective
from aligners.spectral.coordinates import Frame
from aligners.spectral.factors import Factors
from aligners.spectral.gradient import cosine_gradients
from aligners.spectral.rows import RowSource
from aligners.spectral.step import Accepted, Rule, Step, line_search, rotated
from datamodules.pairs.pairs import PairBatch
from ground.distributed import add_over_processes, gather_rows, rank_and_world


class Place(NamedTuple):
    """A solution, the objective there, and what each kind of negatives needs of it."""

    factors: Factors
    contrasted: Contrasted
    A: Tensor | None = None
    """(n_x, r) projections of all x on U, where S is over all pairs."""
    B: Tensor | None = None
    """(n_y, r) of all y on V."""
    eta: float = 0.0
    """The length of the step that led here."""
    last: bool = False
    """Whether that step hardly lowered the objective."""
    number: int = 0
    """How many passes led here, where each contrasts other items."""


Weights = Callable[[PairBatch], tuple[Tensor, Tensor]]
"""``S B`` (b, l) and ``S^T A`` (c, k) of a batch's mapped rows, A and B the projections on some directions."""


class Negatives(Protocol):
    """The objective at a solution, its weights there, and the search along a step. Nothing in it changes."""

    @property
    def rule(self) -> Rule:
        """What every pass does."""

    @property
    def frame(self) -> Frame:
        """Where passes move."""

    def at(self, factors: Factors) -> Place:
        """The objective at ``factors``."""

    def rows_at(self, place: Place) -> RowSource:
        """The rows of the pass from ``place``."""

    def weights(self, place: Place, D_x: Tensor, D_y: Tensor) -> Weights:
        """The weights at ``place``, batch by batch, times projections on D_x (m_x, k) and D_y (m_y, l)."""

    def gradients(self, place: Place) -> Weights:
        """Minus the objective's gradient in the embeddings (b, r) and (c, r), batch by batch."""

    def search(self, place: Place, step: Step) -> Place | None:
        """The first place along ``step`` where the objective is not higher; None where there is none."""


class AllPairs:
    """S over all pairs of the rows' items; every process holds the projections A (n_x, r), B (n_y, r) of all."""

    def __init__(self, rule: Rule, frame: Frame, rows: RowSource, x_group: Tensor, y_group: Tensor):
        self.rule, self.frame, self.rows = rule, frame, rows
        self.n_x, self.n_y = len(x_group), len(y_group)
        self.contrast = over_all_pairs(rule.objective, x_group, y_group, rule.block_size, *rank_and_world())

    def at(self, factors: Factors) -> Place:
        A, B = self._projected(factors.U, factors.V)
        return Place(factors, self._contrasted(factors.s, A, B), A, B)

    def rows_at(self, place: Place) -> RowSource:
        return self.rows

    def weights(self, place: Place, D_x: Tensor, D_y: Tensor) -> Weights:
        at, factors = _projections(place), place.factors
        A, B = at if D_x is factors.U and D_y is factors.V else self._projected(D_x, D_y)
        weighted = self.rule.weighted(factors.s, *at)
        SB, StA = self.contrast.products(*weighted, A, B, place.contrasted)
        return lambda rows: (SB[rows.x_index], StA[rows.y_index])

    def gradients(self, place: Place) -> Weights:
        embeddings = self.rule.weighted(place.factors.s, *_projections(place))
        G_x, G_y = cosine_gradients(self.contrast, *embeddings, place.contrasted)
        return lambda rows: (G_x[rows.x_index], G_y[rows.y_index])

    def search(self, place: Place, step: Step) -> Place | None:
        if max(step.direction.shape) > 2 * len(place.factors.s):  # wider than a tangent step's
            return self._search_wide(place, step)
        # the projections on all directions of the plane: trial steps need no further stream
        A, B = (
            torch.cat([here, beside], 1)
            for here, beside in zip(_projections(place), self._projected(step.Q_x, step.Q_y), strict=True)
        )
        accepted = line_search(
            step,
            place.factors.s,
            place.contrasted.value,
            self.rule.damping,
            lambda u, s, v: self._contrasted(s, A @ u.to(A), B @ v.to(B)),
        )
        if accepted is None:
            return None
        return _place(place, step, accepted)._replace(A=A @ accepted.u.to(A), B=B @ accepted.v.to(B))

    def _search_wide(self, place: Place, step: Step) -> Place | None:
        U, V = torch.cat([place.factors.U, step.Q_x], 1), torch.cat([place.factors.V, step.Q_y], 1)
        tried: list[tuple[Tensor, Tensor]] = []

        def contrasted(u: Tensor, s: Tensor, v: Tensor) -> Contrasted:
            tried[:] = [self._projected(U @ u, V @ v)]
            return self._contrasted(s, *tried[0])

        accepted = line_search(step, place.factors.s, place.contrasted.value, self.rule.damping, contrasted)
        if accepted is None:
            return None
        A, B = tried[0]
        return _place(place, step, accepted)._replace(A=A, B=B)

    def _contrasted(self, s: Tensor, A: Tensor, B: Tensor) -> Contrasted:
        return self.contrast.value(*self.rule.weighted(s, A, B))

    def _projected(self, directions_x: Tensor, directions_y: Tensor) -> tuple[Tensor, Tensor]:
        projector = self.frame.projector(directions_x, directions_y)
        x_index, y_index, A, B = [], [], [], []
        for rows in self.rows:
            a, b = projector(rows)
            x_index.append(rows.x_index)
            y_index.append(rows.y_index)
            A.append(a)
            B.append(b)
        return (
            gather_rows(self.n_x, torch.cat(x_index), torch.cat(A)),
            gather_rows(self.n_y, torch.cat(y_index), torch.cat(B)),
        )


class WithinBatches:
    """S within each batch, whole in one process, in O(m r) memory.

    The objective is the mean of the batches' objectives, ``sum_b n_b L_b / sum_b n_b`` with n_b the x of batch b.
    """

    def __init__(self, rule: Rule, frame: Frame, rows: RowSource, x_group: Tensor, y_group: Tensor):
        self.rule, self.frame, self.rows, self.n_x = rule, frame, rows, len(x_group)

    def rows_at(self, place: Place) -> RowSource:
        return self.rows

    def at(self, factors: Factors) -> Place:
        return Place(factors, self._contrasted(factors.U, factors.s, factors.V))

    def weights(self, place: Place, D_x: Tensor, D_y: Tensor) -> Weights:
        factors = place.factors
        at, onto = self.frame.projector(factors.U, factors.V), self.frame.projector(D_x, D_y)

        def of_batch(rows: PairBatch) -> tuple[Tensor, Tensor]:
            contrast, embeddings = self._contrast(rows), self.rule.weighted(factors.s, *at(rows))
            A, B = onto(rows)
            SB, StA = contrast.products(*embeddings, A, B, contrast.value(*embeddings))
            return SB * len(A), StA * len(A)  # the batches' mean weighs them by their items

        return of_batch

    def gradients(self, place: Place) -> Weights:
        factors = place.factors
        projector = self.frame.projector(factors.U, factors.V)

        def of_batch(rows: PairBatch) -> tuple[Tensor, Tensor]:
            contrast, embeddings = self._contrast(rows), self.rule.weighted(factors.s, *projector(rows))
            G_x, G_y = cosine_gradients(contrast, *embeddings, contrast.value(*embeddings))
            share = len(rows.x) / self.n_x
            return G_x * share, G_y * share

        return of_batch

    def search(self, place: Place, step: Step) -> Place | None:
        U, V = torch.cat([place.factors.U, step.Q_x], 1), torch.cat([place.factors.V, step.Q_y], 1)
        accepted = line_search(
            step,
            place.factors.s,
            place.contrasted.value,
            self.rule.damping,
            lambda u, s, v: self._contrasted(U @ u, s, V @ v),
        )
        return accepted and _place(place, step, accepted)

    def _contrasted(self, U: Tensor, s: Tensor, V: Tensor) -> Contrasted:
        projector = self.frame.projector(U, V)
        sums = torch.zeros(2, dtype=torch.float64, device=U.device)  # of the objectives, by items, and of the items
        for rows in self.rows:
            if len(rows.x_index):
                value = self._contrast(rows).value(*self.rule.weighted(s, *projector(rows))).value
                sums += torch.tensor([len(rows.x) * value, len(rows.x)], dtype=sums.dtype, device=sums.device)
        add_over_processes(sums)
        return Contrasted(float(sums[0] / sums[1]))

    def _contrast(self, rows: PairBatch) -> Contrast | WholeContrast:
        objective = self.rule.objective
        if isinstance(objective, WholeObjective):
            return WholeContrast(objective, rows.x_group, rows.y_group)
        return Contrast(objective, rows.x_group, rows.y_group, self.rule.block_size)


NEGATIVES: dict[str, Callable[..., Negatives]] = {
    "all": AllPairs,
    "batch": WithinBatches,
}
"""The kinds by the name that a config gives; made of a rule, a frame, its rows, and all groups (n_x,) and (n_y,)."""


def _projections(place: Place) -> tuple[Tensor, Tensor]:
    assert place.A is not None
    assert place.B is not None
    return place.A, place.B


def _place(place: Place, step: Step, accepted: Accepted[Contrasted]) -> Place:
    factors = rotated(place.factors, step, accepted.u, accepted.s, accepted.v, accepted.gap)
    return Place(factors, accepted.contrasted, eta=accepted.eta, last=accepted.last)
