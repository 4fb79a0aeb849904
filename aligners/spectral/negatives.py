"""Against what a pass contrasts each item: all items of the training split, or those of its batch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from aligners.objectives.base import Objective
from aligners.objectives.sweep import Contrast, Contrasted
from aligners.spectral.coordinates import Coordinates
from aligners.spectral.factors import Factors
from aligners.spectral.rows import Rows
from aligners.spectral.step import Damping, Step, Taken, line_search
from ground.distributed import concatenate, gather_rows, rank_and_world

Stream = Callable[[], Iterator[Rows]]
"""This process's training rows, batch by batch, the same batches each time."""


class Setting(NamedTuple):
    """What the contrast of a fit is made of."""

    objective: Objective
    weight_power: float
    block_size: int
    coordinates: Coordinates
    stream: Stream


class Negatives(ABC):
    """The objective at the current solution, the pulls of its weights, and the search along a step."""

    at: Contrasted

    def __init__(self, setting: Setting):
        self.setting = setting

    @abstractmethod
    def start(self, factors: Factors) -> None:
        """Take the objective at ``factors``."""

    @abstractmethod
    def open(self, factors: Factors) -> None:
        """Before a pass over the batches."""

    @abstractmethod
    def pull(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """``S B`` (b, r) and ``S^T A`` (c, r) of a batch's rows."""

    @abstractmethod
    def search(self, factors: Factors, step: Step, damping: Damping) -> Taken | None:
        """The first step along ``step`` that does not raise the objective, taken."""

    def _weighted(self, s: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        weights = (s**self.setting.weight_power).to(A)
        return A * weights, B * weights


class AllPairs(Negatives):
    """S over all training pairs; every process holds the projections A (n_x, r), B (n_y, r) of all items."""

    def __init__(self, setting: Setting, x_group: Tensor, y_group: Tensor):
        super().__init__(setting)
        self.contrast = Contrast(setting.objective, x_group, y_group, setting.block_size, *rank_and_world())

    def start(self, factors: Factors) -> None:
        self.A, self.B = self._project(factors.U, factors.V)
        self.at = self._contrasted(factors.s, self.A, self.B)

    def open(self, factors: Factors) -> None:
        self.SB, self.StA = self.contrast.pull(*self._weighted(factors.s, self.A, self.B), self.A, self.B, self.at)

    def pull(self, rows: Rows) -> tuple[Tensor, Tensor]:
        return self.SB[rows.x_index], self.StA[rows.y_index]

    def search(self, factors: Factors, step: Step, damping: Damping) -> Taken | None:
        # the projections on all directions of the plane: trial steps need no further stream
        beside = self._project(step.Q_x, step.Q_y)
        A, B = torch.cat([self.A, beside[0]], 1), torch.cat([self.B, beside[1]], 1)
        taken = line_search(
            step,
            factors.s,
            self.at.value,
            damping,
            lambda u, s, v: self._contrasted(s, A @ u.to(A), B @ v.to(B)),
        )
        if taken:
            self.A, self.B, self.at = A @ taken.u.to(A), B @ taken.v.to(B), taken.at
        return taken

    def _contrasted(self, s: Tensor, A: Tensor, B: Tensor) -> Contrasted:
        return self.contrast.value(*self._weighted(s, A, B))

    def _project(self, directions_x: Tensor, directions_y: Tensor) -> tuple[Tensor, Tensor]:
        projector = self.setting.coordinates.projector(directions_x, directions_y)
        x_index, y_index, A, B = [], [], [], []
        for rows in self.setting.stream():
            a, b = projector(rows)
            x_index.append(rows.x_index)
            y_index.append(rows.y_index)
            A.append(a)
            B.append(b)
        return (
            gather_rows(len(self.contrast.x_id), torch.cat(x_index), torch.cat(A)),
            gather_rows(len(self.contrast.y_id), torch.cat(y_index), torch.cat(B)),
        )


class WithinBatches(Negatives):
    """S within each batch, joined over processes: the mean of the batches' objectives, in O(m r) memory."""

    def __init__(self, setting: Setting, x_group: Tensor, y_group: Tensor):
        super().__init__(setting)

    def start(self, factors: Factors) -> None:
        self.at = self._contrasted(factors.U, factors.s, factors.V)

    def open(self, factors: Factors) -> None:
        self.factors = factors
        self.projector = self.setting.coordinates.projector(factors.U, factors.V)

    def pull(self, rows: Rows) -> tuple[Tensor, Tensor]:
        A, B = self.projector(rows)
        contrast, joined_A, joined_B = self._joined(rows, A, B)
        x, y = self._weighted(self.factors.s, joined_A, joined_B)
        SB, StA = contrast.pull(x, y, joined_A, joined_B, contrast.value(x, y))
        share = len(joined_A)  # the batches' mean weighs them by their items
        return _own(SB, A) * share, _own(StA, B) * share

    def search(self, factors: Factors, step: Step, damping: Damping) -> Taken | None:
        plane_x, plane_y = torch.cat([factors.U, step.Q_x], 1), torch.cat([factors.V, step.Q_y], 1)
        taken = line_search(
            step, factors.s, self.at.value, damping, lambda u, s, v: self._contrasted(plane_x @ u, s, plane_y @ v)
        )
        if taken:
            self.at = taken.at
        return taken

    def _contrasted(self, U: Tensor, s: Tensor, V: Tensor) -> Contrasted:
        projector = self.setting.coordinates.projector(U, V)
        total, items = 0.0, 0
        for rows in self.setting.stream():
            contrast, A, B = self._joined(rows, *projector(rows))
            total += len(A) * contrast.value(*self._weighted(s, A, B)).value
            items += len(A)
        return Contrasted(total / items)

    def _joined(self, rows: Rows, A: Tensor, B: Tensor) -> tuple[Contrast, Tensor, Tensor]:
        groups = concatenate(rows.x_group), concatenate(rows.y_group)
        contrast = Contrast(self.setting.objective, *groups, self.setting.block_size, *rank_and_world())
        return contrast, concatenate(A), concatenate(B)


NEGATIVES: dict[str, Callable[[Setting, Tensor, Tensor], Negatives]] = {"all": AllPairs, "batch": WithinBatches}
"""By the name that a config gives; of a setting and the groups of all x (n_x,) and y (n_y,) of the split."""


def _own(joined: Tensor, mine: Tensor) -> Tensor:
    """This process's part of what ``concatenate`` joined."""
    rank, world = rank_and_world()
    if world == 1:
        return joined
    counts = concatenate(torch.tensor([len(mine)], device=mine.device))
    start = int(counts[:rank].sum())
    return joined[start : start + len(mine)]
