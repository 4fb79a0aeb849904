"""Choosing the solver's settings on validation, from the moments and a sample of training rows."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, repeat
from typing import NamedTuple

import torch
from torch import Tensor

from aligners.spectral.coordinates import Coordinates, Projector
from aligners.spectral.factors import Factors
from aligners.spectral.negatives import AllPairs
from aligners.spectral.passes import Pass, StepPass
from aligners.spectral.record import Record
from aligners.spectral.rows import KeptRows
from aligners.spectral.settings import Candidates, Chosen
from aligners.spectral.step import Rule
from aligners.spectral.trial import Trial
from datamodules.pairs.pairs import PairBatch
from evaluation.retrieval import ranks

EVALUATION_BLOCK = 1024
UNENDING = 10**9
"""Passes left to a trial: it is read as far as is needed."""


class Trials(NamedTuple):
    """What settings are tried on.

    ``start`` gives the coordinates and the first solution at a ridge, ``rule`` what a pass does at a setting. ``rows``
    maps the training rows (a sample of whole groups where the split is large) that trial passes run on; ``validation``
    are those of the validation split. Every process has both, and comes to the same choice.
    """

    start: Callable[[float], tuple[Coordinates, Factors]]
    rule: Callable[[Chosen], Rule]
    rows: Callable[[], PairBatch]
    validation: PairBatch

    def first(self, at: Chosen) -> Trial:
        """The solution for the uniform weights at a setting, tried on validation."""
        coordinates, factors = self.start(at.lam)
        return Trial(at._replace(passes=0), self._hits(coordinates.embedding(factors, at.weight_power)))

    def choose(
        self, candidates: Candidates, advance: Callable[[int], None] = lambda done: None
    ) -> tuple[Chosen, list[Trial]]:
        """The setting to use, and all trials.

        One axis after the other: the ridge and the weight power by the first solution, where a ridge costs one
        decomposition; then the temperature and the passes by trial passes. The default stands against candidates
        that are not better by more than a standard error: a validation split of some hundred items cannot tell more.
        ``advance`` is called after each of the ``Candidates.trials``.

        Raises:
            UserError: a ridge at which a covariance is singular, or a rank above the data's.
        """
        trials: list[Trial] = []
        settings = candidates.first
        rows = self.rows() if max(candidates.passes) > 0 else None

        def tried(start: tuple[Coordinates, Factors], at: Chosen, passes: Sequence[int]) -> list[Trial]:
            after = []
            for hits in islice(self._after_passes(rows, *start, at), max(passes) + 1):
                after.append(hits)
                advance(1)
            here = [Trial(at._replace(passes=k), after[k]) for k in passes]
            trials.extend(here)
            return here

        start = self.start(settings.lam)
        if len(candidates.lam) > 1 or len(candidates.weight_power) > 1:
            best = None
            for lam in candidates.lam:
                solved = start if lam == settings.lam else self.start(lam)
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

    def _after_passes(
        self, rows: PairBatch | None, coordinates: Coordinates, factors: Factors, at: Chosen
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Hits on validation at the start and after each pass, without end."""
        hits = self._hits(coordinates.embedding(factors, at.weight_power))
        yield hits
        if rows is not None:
            for projector in _trial_passes(rows, coordinates, factors, self.rule(at)):
                hits = self._hits(projector)
                yield hits
        yield from repeat(hits)  # a fit that cannot go on stays where it is

    def _hits(self, projector: Projector) -> tuple[Tensor, Tensor]:
        rows = self.validation
        x, y = (side.cpu() for side in projector(rows))
        x_group, y_group = rows.x_group.cpu(), rows.y_group.cpu()
        return (
            _mean_hits(ranks(x, y, x_group, y_group, EVALUATION_BLOCK)),
            _mean_hits(ranks(y, x, y_group, x_group, EVALUATION_BLOCK)),
        )


def at_an_end(candidates: Candidates, chosen: Chosen, trials: Sequence[Trial]) -> list[str]:
    """What to tell of a choice that is the smallest or largest of three values or more: a wider list may do better.

    It is told where validation got better towards that end: the value was chosen over the default, or is the default
    and beats its neighbour. Of the ridge and the temperature alone: 0 passes are an end by nature, the most are what
    the list pays for.
    """
    tried = {trial.chosen: trial for trial in trials}
    bases = {"lam": chosen._replace(tau=candidates.first.tau, passes=0), "tau": chosen}
    lines = []
    for name, base in bases.items():
        values, value = sorted(set(getattr(candidates, name))), getattr(chosen, name)
        idle = name == "tau" and not chosen.passes  # no pass has used it
        if len(values) < 3 or value not in (values[0], values[-1]) or value == 0 or idle:
            continue
        side, neighbour = ("larger", values[-2]) if value == values[-1] else ("smaller", values[1])
        stands = value == getattr(candidates.first, name)
        if stands and not tried[base].beats(tried[base._replace(**{name: neighbour})]):
            continue
        among = ", ".join(f"{each:g}" for each in values)
        lines.append(f"aligner.{name}={value:g} was chosen at the end of its list [{among}]: try {side} ones")
    return lines


def _trial_passes(rows: PairBatch, coordinates: Coordinates, factors: Factors, rule: Rule) -> Iterator[Projector]:
    """What embeds after each pass over a sample that every process has."""
    negatives = AllPairs(rule, coordinates, KeptRows([rows], replicated=True), rows.x_group, rows.y_group)
    following: Pass | None = StepPass(negatives, negatives.at(factors), Record(), left=UNENDING)
    while following is not None:
        following.add(rows)
        solved, following = following.end()
        yield solved.projector


def _mean_hits(ranks: Tensor) -> Tensor:
    return 100 * torch.stack([ranks <= k for k in (1, 5, 10)]).double().mean(0)
