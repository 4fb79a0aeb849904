"""Choosing the solver's settings on validation: by first solutions, then by passes that are the fit's own."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, product
from typing import NamedTuple

import torch
from torch import Tensor

from aligners.spectral.coordinates import Projector
from aligners.spectral.negatives import Place
from aligners.spectral.settings import Candidates, Chosen
from aligners.spectral.trial import Trial
from datamodules.pairs.pairs import PairBatch
from evaluation.retrieval import ranks_both_ways
from ground.distributed import from_first

EVALUATION_BLOCK = 1024


class Validation:
    """The mapped rows of the validation split, and all trials on them; every process comes to the same.

    ``advance`` is called after each trial.
    """

    def __init__(self, rows: PairBatch, advance: Callable[[int], None] = lambda done: None):
        self.rows, self.advance = rows, advance
        self.trials: list[Trial] = []

    def trial(self, at: Chosen, projector: Projector) -> Trial:
        """A setting with what it embeds by, tried."""
        made = Trial(at, from_first(lambda: self._hits(projector)))
        self.trials.append(made)
        self.advance(1)
        return made

    def retried(self, trial: Trial, projector: Projector) -> Trial:
        """A trial of the same setting in the place of one that was by an estimate of what embeds."""
        exact = trial._replace(hits=from_first(lambda: self._hits(projector)))
        self.trials = [exact if each is trial else each for each in self.trials]
        return exact

    def _hits(self, projector: Projector) -> tuple[Tensor, Tensor]:
        rows = self.rows
        x, y = (side.cpu() for side in projector(rows))
        ranks = ranks_both_ways(x, y, rows.x_group.cpu(), rows.y_group.cpu(), "x", "y", EVALUATION_BLOCK)
        return _mean_hits(ranks["x_to_y"]), _mean_hits(ranks["y_to_x"])


def best_of(trials: Sequence[Trial]) -> Trial:
    """The first of them, unless another is better by more than a standard error.

    A validation split of some hundred items cannot tell more.
    """
    best, *others = trials
    for trial in others:
        if trial.beats(best):
            best = trial
    return best


def choose_first(
    candidates: Candidates, validation: Validation, solution: Callable[[float], Callable[[float], Projector]]
) -> Trial:
    """The ridge and the weight power that are best, by first solutions: ``solution(lam)(weight_power)`` embeds.

    Raises:
        UserError: a ridge at which a covariance is singular, or a rank above the data's.
    """
    first = candidates.first
    trials = []
    for lam in candidates.lam:
        at_ridge = solution(lam)
        for power in candidates.weight_power:
            at = first._replace(lam=lam, weight_power=power, passes=0)
            trials.append(validation.trial(at, at_ridge(power)))
    return best_of(trials)


class Contestant(NamedTuple):
    """A temperature and a kind of step, and the passes that it has been tried with."""

    at: Chosen
    chain: Iterator[Place]
    """Where each pass leads, from the first on."""
    ran: list[Place]
    """The start, and where each pass has led."""
    trials: dict[int, Trial]
    """By the number of passes."""

    def in_order(self, passes: Sequence[int]) -> list[Trial]:
        """Its trials, in the order of the list."""
        return [self.trials[k] for k in passes if k in self.trials]


def choose_passes(
    candidates: Candidates,
    at: Chosen,
    validation: Validation,
    start: Callable[[Chosen], tuple[Place, Iterator[Place]]],
    embedded: Callable[[Chosen, Place], Projector],
) -> tuple[Chosen, list[Place]]:
    """The temperature, the kind of step and the passes, from the ridge and weight power of ``at``; and its passes.

    By successive halving (Jamieson and Talwalkar 2016): all contestants run to the fewest passes of the list; those
    behind the default are left behind, and of the others the better half goes on to the next number. The default is
    run to the end, unless fewer passes beat all that run on; and alone where none beats its fewest. ``start`` gives the
    place that a contestant starts from and the chain of those after it.
    """

    def entered(tau: float, step: str) -> Contestant:
        of = at._replace(tau=tau, step=step)
        place, chain = start(of)
        return Contestant(of, chain, [place], {})

    first, *others = product(candidates.tau, candidates.step)
    default = entered(*first)
    if 0 in candidates.passes:  # of any contestant the same
        _try(default, 0, validation, embedded)
    rungs = sorted(set(candidates.passes) - {0})
    if rungs:
        _try(default, rungs[0], validation, embedded)
    worse = 0 in candidates.passes and bool(rungs) and default.trials[0].beats(default.trials[rungs[0]])
    contestants = [default] if worse else [default, *(entered(*each) for each in others)]
    challengers = contestants[1:]
    for passes in rungs:
        fewer = [trial for each in contestants for k, trial in each.trials.items() if k < passes]
        for contestant in (default, *challengers):
            if passes not in contestant.trials:
                _try(contestant, passes, validation, embedded)
        if any(all(each.beats(now.trials[passes]) for now in (default, *challengers)) for each in fewer):
            break
        ahead = [each for each in challengers if each.trials[passes].recall >= default.trials[passes].recall]
        ahead.sort(key=lambda each: -each.trials[passes].recall)
        going_on = ahead[: (len(challengers) + 1) // 2]
        challengers = [each for each in challengers if any(each is one for one in going_on)]  # in the list's order
    tried = [(trial, each.ran) for each in contestants for trial in each.in_order(candidates.passes)]
    best = best_of([trial for trial, _ in tried]).chosen
    ran = next(ran for trial, ran in tried if trial.chosen == best)
    return best, ran[: best.passes + 1]


def _try(
    contestant: Contestant, passes: int, validation: Validation, embedded: Callable[[Chosen, Place], Projector]
) -> None:
    """Run on to ``passes``, or as far as it goes, and try the solution there."""
    contestant.ran.extend(islice(contestant.chain, passes + 1 - len(contestant.ran)))
    at = contestant.at._replace(passes=passes)
    contestant.trials[passes] = validation.trial(at, embedded(at, contestant.ran[-1]))


def at_an_end(candidates: Candidates, chosen: Chosen, trials: Sequence[Trial]) -> list[str]:
    """What to tell of a choice that is the smallest or largest of three values or more: a wider list may do better.

    It is told where validation got better towards that end: the value was chosen over the default, or is the default
    and beats its neighbour at the most passes that both were tried with. Of the ridge and the temperature alone: 0
    passes are an end by nature, the most are what the list pays for.
    """
    tried = {trial.chosen: trial for trial in trials}
    first = candidates.first
    bases = {"lam": chosen._replace(tau=first.tau, step=first.step, passes=0), "tau": chosen}
    lines = []
    for name, base in bases.items():
        values, value = sorted(set(getattr(candidates, name))), getattr(chosen, name)
        idle = name == "tau" and not chosen.passes  # no pass has used it
        if len(values) < 3 or value not in (values[0], values[-1]) or value == 0 or idle:
            continue
        side, neighbour = ("larger", values[-2]) if value == values[-1] else ("smaller", values[1])
        stands = value == getattr(first, name)
        if stands and not _beats(tried, base, base._replace(**{name: neighbour})):
            continue
        among = ", ".join(f"{each:g}" for each in values)
        lines.append(f"aligner.{name}={value:g} was chosen at the end of its list [{among}]: try {side} ones")
    return lines


def _beats(tried: dict[Chosen, Trial], at: Chosen, other: Chosen) -> bool:
    """Whether ``at`` beats ``other`` at the most passes that both were tried with, no more than at's."""
    for passes in range(at.passes, -1, -1):
        mine, theirs = tried.get(at._replace(passes=passes)), tried.get(other._replace(passes=passes))
        if mine is not None and theirs is not None:
            return mine.beats(theirs)
    return False


def _mean_hits(ranks: Tensor) -> Tensor:
    return 100 * torch.stack([ranks <= k for k in (1, 5, 10)]).double().mean(0)
