"""First solutions, for the uniform weights: of each feature map, and at each ridge and weight power."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from aligners.spectral.choice import Validation, best_of, choose_first
from aligners.spectral.coordinates import Coordinates, Projector, Statistics
from aligners.spectral.factors import Factors
from aligners.spectral.mapped import Mapped
from aligners.spectral.ridges import Ridges
from aligners.spectral.settings import Candidates
from aligners.spectral.span import Span
from aligners.spectral.training import Training
from aligners.spectral.trial import Trial


class First(NamedTuple):
    """The first solution of a map at the ridge of ``trial``, what is best by first solutions, or at the first ridge."""

    mapped: Mapped
    validation: Validation
    statistics: Statistics
    coordinates: Coordinates
    directions: Factors
    trial: Trial | None
    """None where there was nothing to choose."""


def first_of(mapped: Mapped, advance: Callable[[int], None], tries: bool) -> First:
    """The first of a map; ``tries`` settings on validation where there are several, and calls ``advance`` after each.

    Raises:
        UserError: features that do not vary, a singular covariance, or a rank above the data's.
    """
    training = mapped.training
    candidates, validation = training.settings.candidates, Validation(training.validation_rows(), advance)
    statistics, tried = mapped.statistics(), candidates.laplacian if tries else candidates.laplacian[:1]
    roughness = training.roughness() if any(tried) else None
    return best_first([
        _first(
            mapped, validation, training.smoothed(statistics, each, roughness),
            candidates._replace(laplacian=(each,)), tries,
        )
        for each in tried
    ])  # fmt: skip


def _first(
    mapped: Mapped, validation: Validation, statistics: Statistics, candidates: Candidates, tries: bool
) -> First:
    training = mapped.training
    coordinates, directions = training.solved(statistics, candidates.first.lam)
    trial = None
    if tries:
        before = len(validation.trials)
        solutions = first_solutions(training, statistics, coordinates, directions)
        trial = choose_first(candidates, validation, solutions)
        if trial.chosen.lam != candidates.first.lam:
            # an estimate, within the span of another ridge's directions: it stands if it holds
            there, beside = training.solved(statistics, trial.chosen.lam)
            embedded = there.embedding(beside.leading(training.settings.rank), trial.chosen.weight_power)
            exact = validation.retried(trial, embedded)
            trial = best_of([each for each in validation.trials[before:] if each.chosen.lam == candidates.first.lam])
            if exact.beats(trial):
                trial, coordinates, directions = exact, there, beside
    return First(mapped, validation, statistics, coordinates, directions, trial)


def best_first(firsts: Sequence[First]) -> First:
    """The first, unless another is better by more than the standard error of the difference."""
    best, *others = firsts
    for each in others:
        if each.trial is not None and best.trial is not None and each.trial.beats(best.trial):
            best = each
    return best


def first_solutions(
    training: Training, statistics: Statistics, coordinates: Coordinates, directions: Factors
) -> Callable[[float], Callable[[float], Projector]]:
    """What embeds at a ridge and a weight power, from the solution at the first of the ridges.

    Within the span of its directions, where passes move in a span too; else each ridge is solved on its own. Without
    whitening a ridge is nothing, and all have the one solution.
    """
    settings = training.settings
    lam = settings.candidates.first.lam

    def solved(at: float) -> Callable[[float], Projector]:
        there, factors = (
            (coordinates, directions) if at == lam or not settings.whiten else training.solved(statistics, at)
        )
        return lambda power: there.embedding(factors.leading(settings.rank), power)

    if settings.span_directions is None or not settings.whiten or len(settings.candidates.lam) == 1:
        return solved
    ridges = Ridges(statistics, lam, Span(coordinates, directions), directions, settings.factorise)
    return lambda at: solved(at) if at == lam else ridges.at(at, settings.rank)
