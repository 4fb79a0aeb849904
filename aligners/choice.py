"""Choosing the solver's settings on validation, from the moments and a sample of training rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from aligners.coordinates import Coordinates, Rows
from aligners.descent import Descent
from aligners.line_search import Damping
from aligners.negatives import AllPairs, Setting
from aligners.objectives import Objective
from aligners.spectral import Factors
from evaluation.retrieval import evaluate_retrieval


class Candidates(NamedTuple):
    """What may be chosen, most careful first: of equals on validation the first is taken."""

    lam: Sequence[float]
    tau: Sequence[float]
    weight_power: Sequence[float]
    passes: Sequence[int]

    @property
    def open(self) -> bool:
        """Whether there is anything to choose."""
        return any(len(values) > 1 for values in self)


class Chosen(NamedTuple):
    """One setting."""

    lam: float
    tau: float
    weight_power: float
    passes: int


class Trial(NamedTuple):
    """A setting and the mean recall in percent that it had on validation."""

    chosen: Chosen
    recall: float


class Problem(NamedTuple):
    """What a choice is made from.

    ``start`` gives the coordinates and the first solution at a ridge. ``rows`` are training rows (a sample of
    whole groups where the split is large), which the trial passes run on; ``validation`` those of the
    validation split.
    """

    start: Callable[[float], tuple[Coordinates, Factors]]
    objective: Callable[[float], Objective]
    rows: Rows
    validation: Rows
    damping: Damping
    block_size: int


def choose(problem: Problem, candidates: Candidates) -> tuple[Chosen, list[Trial]]:
    """The setting of the highest mean recall on validation, and all trials.

    One axis after the other: the ridge and the weight power by the first solution, where a ridge costs one
    decomposition; then the temperature and the passes by trial passes; then the ridge once more by trial passes
    at that temperature, among the neighbours of the one taken.
    """
    starts: dict[float, tuple[Coordinates, Factors]] = {}
    trials: list[Trial] = []

    def tried(lam: float, tau: float, power: float, passes: Sequence[int]) -> list[Trial]:
        if lam not in starts:
            starts[lam] = problem.start(lam)
        recalls = _recalls(problem, *starts[lam], tau, power, max(passes))
        found = [Trial(Chosen(lam, tau, power, k), recall) for k, recall in enumerate(recalls) if k in passes]
        trials.extend(found)
        return found

    lams = sorted(candidates.lam)
    first = _best(t for lam in lams for power in candidates.weight_power for t in tried(lam, candidates.tau[0], power, [0]))
    if max(candidates.passes) == 0:
        return first.chosen, trials
    lam, _, power, _ = first.chosen
    best = _best(t for tau in candidates.tau for t in tried(lam, tau, power, candidates.passes))
    place = lams.index(lam)
    for other in lams[max(place - 1, 0) : place] + lams[place + 1 : place + 2]:
        best = _best([best, *tried(other, best.chosen.tau, power, candidates.passes)])
    return best.chosen, trials


def _best(trials: Iterable[Trial]) -> Trial:
    """The first of the highest recall."""
    return max(trials, key=lambda trial: trial.recall)


def _recalls(
    problem: Problem, coordinates: Coordinates, factors: Factors, tau: float, power: float, passes: int
) -> Iterator[float]:
    """Mean recall on validation at the start and after each pass."""
    yield _recall(problem, coordinates, factors, power)
    if passes == 0:
        return
    rows = problem.rows
    setting = Setting(problem.objective(tau), power, problem.block_size, coordinates, lambda: iter([rows]))
    negatives = AllPairs(setting, rows.x_group, rows.y_group)
    descent = Descent(coordinates, factors, negatives, problem.damping)
    moved = True
    for _ in range(passes):
        if moved:
            descent.open()
            descent.pull(rows)
            moved = descent.step(add=False)  # every process has the same rows
        yield _recall(problem, coordinates, descent.factors, power)


def _recall(problem: Problem, coordinates: Coordinates, factors: Factors, power: float) -> float:
    rows, weights = problem.validation, factors.s**power
    x, y = coordinates.projector(factors.U * weights, factors.V * weights)(rows)
    groups = rows.x_group.cpu(), rows.y_group.cpu()
    return evaluate_retrieval(x.cpu(), y.cpu(), *groups, "x", "y", EVALUATION_BLOCK)["mean_recall"]


EVALUATION_BLOCK = 1024
