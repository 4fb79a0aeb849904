"""Choosing the solver's settings on validation, from the moments and a sample of training rows."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from aligners.objectives.base import Objective
from aligners.spectral.coordinates import Coordinates
from aligners.spectral.descent import Descent
from aligners.spectral.factors import Factors
from aligners.spectral.negatives import AllPairs, Setting
from aligners.spectral.rows import Rows
from aligners.spectral.step import Damping
from evaluation.retrieval import ranks


class Chosen(NamedTuple):
    """One setting."""

    lam: float
    tau: float
    weight_power: float
    passes: int


class Candidates(NamedTuple):
    """What may be chosen, the default first: another is taken only where validation shows it to be better."""

    lam: Sequence[float]
    tau: Sequence[float]
    weight_power: Sequence[float]
    passes: Sequence[int]

    @property
    def first(self) -> Chosen:
        """The defaults."""
        return Chosen(self.lam[0], self.tau[0], self.weight_power[0], self.passes[0])

    @property
    def open_names(self) -> list[str]:
        """What there is to choose."""
        return [name for name, values in self._asdict().items() if len(values) > 1]

    @property
    def open(self) -> bool:
        """Whether there is anything to choose."""
        return bool(self.open_names)


class Trial(NamedTuple):
    """A setting, and what it does on validation."""

    chosen: Chosen
    hits: tuple[Tensor, Tensor]
    """Of each x (n_x,) and of each y (n_y,) as a query: the mean of its hits at 1, 5 and 10, in percent."""

    @property
    def recall(self) -> float:
        """Mean recall in percent."""
        return float(sum(side.mean() for side in self.hits)) / 2

    def beats(self, other: "Trial") -> bool:
        """Better than ``other`` by more than the standard error of their difference on the same queries."""
        differences = [mine - theirs for mine, theirs in zip(self.hits, other.hits, strict=True)]
        error: float = sum(float(d.var() / len(d)) if len(d) > 1 else 0.0 for d in differences) ** 0.5 / 2
        return self.recall - other.recall > error


class Problem(NamedTuple):
    """What a choice is made from.

    ``start`` gives the coordinates and the first solution at a ridge. ``rows`` reads the training rows (a sample
    of whole groups where the split is large) that trial passes run on; ``validation`` are those of the
    validation split.
    """

    start: Callable[[float], tuple[Coordinates, Factors]]
    objective: Callable[[float], Objective]
    rows: Callable[[], Rows]
    validation: Rows
    damping: Damping
    block_size: int


def first_solution(problem: Problem, at: Chosen) -> Trial:
    """The solution for the uniform weights, tried."""
    return Trial(at._replace(passes=0), _judge(problem, *problem.start(at.lam), at.weight_power))


def choose(problem: Problem, candidates: Candidates) -> tuple[Chosen, list[Trial]]:
    """The setting to take, and all trials.

    One axis after the other: the ridge and the weight power by the first solution, where a ridge costs one
    decomposition; then the temperature and the passes by trial passes. The default stands against candidates
    that are not better by more than a standard error: a validation split of some hundred items cannot tell more.
    """
    trials: list[Trial] = []
    settings = candidates.first

    rows = problem.rows() if max(candidates.passes) > 0 else None

    def tried(start: tuple[Coordinates, Factors], at: Chosen, passes: Sequence[int]) -> list[Trial]:
        after = dict(enumerate(_hits(problem, rows, *start, at, max(passes))))
        found = [Trial(at._replace(passes=k), after[k]) for k in passes]
        trials.extend(found)
        return found

    start = problem.start(settings.lam)
    if len(candidates.lam) > 1 or len(candidates.weight_power) > 1:
        best = None
        for lam in candidates.lam:
            solved = start if lam == settings.lam else problem.start(lam)
            for power in candidates.weight_power:
                for trial in tried(solved, settings._replace(lam=lam, weight_power=power), [0]):
                    if best is None or trial.beats(best):
                        best, start = trial, solved
        assert best is not None
        settings = best.chosen._replace(passes=settings.passes)
    if max(candidates.passes) > 0 and (len(candidates.tau) > 1 or len(candidates.passes) > 1):
        best = None
        for tau in candidates.tau:
            for trial in tried(start, settings._replace(tau=tau), candidates.passes):
                if best is None or trial.beats(best):
                    best = trial
        assert best is not None
        settings = best.chosen
    return settings, trials


def _hits(
    problem: Problem, rows: Rows | None, coordinates: Coordinates, factors: Factors, at: Chosen, passes: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Hits on validation at the start and after each pass."""
    yield _judge(problem, coordinates, factors, at.weight_power)
    if passes == 0:
        return
    assert rows is not None
    objective = problem.objective(at.tau)
    setting = Setting(objective, at.weight_power, problem.block_size, coordinates, lambda: iter([rows]))
    descent = Descent(coordinates, factors, AllPairs(setting, rows.x_group, rows.y_group), problem.damping)
    moved = True
    for _ in range(passes):
        if moved:
            descent.open()
            descent.pull(rows)
            moved = descent.step(add=False)  # every process has the same rows
        yield _judge(problem, coordinates, descent.factors, at.weight_power)


def _judge(problem: Problem, coordinates: Coordinates, factors: Factors, power: float) -> tuple[Tensor, Tensor]:
    rows = problem.validation
    x, y = (side.cpu() for side in coordinates.embedding(factors, power)(rows))
    x_group, y_group = rows.x_group.cpu(), rows.y_group.cpu()
    return (
        _mean_hits(ranks(x, y, x_group, y_group, EVALUATION_BLOCK)),
        _mean_hits(ranks(y, x, y_group, x_group, EVALUATION_BLOCK)),
    )


def _mean_hits(ranks: Tensor) -> Tensor:
    return 100 * torch.stack([ranks <= k for k in (1, 5, 10)]).double().mean(0)


EVALUATION_BLOCK = 1024
