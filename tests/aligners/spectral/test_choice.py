from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from aligners import spectral
from aligners.objectives.softmax import CLIP
from aligners.spectral.choice import Validation, at_an_end, choose_first, choose_passes
from aligners.spectral.coordinates import Coordinates, Projector, Statistics, uniform_solution
from aligners.spectral.factors import Factors
from aligners.spectral.moments import Moments
from aligners.spectral.negatives import AllPairs, Place
from aligners.spectral.pull import places
from aligners.spectral.rows import KeptRows
from aligners.spectral.settings import Candidates, Chosen
from aligners.spectral.step import Damping, Rule
from aligners.spectral.trial import Trial
from datamodules.pairs import PairBatch
from tests.problems import random_features


def rows_of(x: Tensor, y: Tensor) -> PairBatch:
    index = torch.arange(len(x))
    return PairBatch(x, y, index, index, index, index)


class Problem(NamedTuple):
    """Pairs with noise: a training half, whose first solutions and passes are tried on the other."""

    statistics: Statistics
    train: PairBatch
    validation: Validation

    def solution(self, lam: float) -> Callable[[float], Projector]:
        coordinates, factors = self.start(lam)
        return lambda power: coordinates.embedding(factors, power)

    def start(self, lam: float) -> tuple[Coordinates, Factors]:
        coordinates = self.statistics.coordinates(lam)
        return coordinates, uniform_solution(self.statistics.cross, coordinates.W_x, coordinates.W_y, 5)

    def chain(self, at: Chosen) -> tuple[Place, Iterator[Place]]:
        coordinates, factors = self.start(at.lam)
        rule = Rule(CLIP(at.tau), at.weight_power, Damping(0.1, True, 10, 0.0), 10_000, at.step, False)
        negatives = AllPairs(rule, coordinates, KeptRows([self.train]), self.train.x_group, self.train.y_group)
        place = negatives.at(factors)
        return place, places(negatives, place)

    def embedded(self, at: Chosen, place: Place) -> Projector:
        return self.start(at.lam)[0].embedding(place.factors, at.weight_power)

    def choose(self, candidates: Candidates) -> tuple[Chosen, list[Trial]]:
        chosen = candidates.first
        if candidates.first_open:
            chosen = choose_first(candidates, self.validation, self.solution).chosen._replace(passes=chosen.passes)
        if candidates.passes_open:
            chosen, _ = self.choose_passes(candidates, chosen)
        return chosen, self.validation.trials

    def choose_passes(self, candidates: Candidates, chosen: Chosen) -> tuple[Chosen, list[Place]]:
        return choose_passes(candidates, chosen, self.validation, self.chain, self.embedded)


def problem(n: int, noise: float) -> Problem:
    x, y, _ = random_features(n, 1, 14, 12, seed=0, noise=noise)
    x, y = (side.double() - side.double().mean(0) for side in (x, y))
    train, validation = rows_of(x[: n // 2], y[: n // 2]), rows_of(x[n // 2 :], y[n // 2 :])
    moments = Moments(14, 12, n // 2, n // 2, "cpu")
    moments.add(train)
    moments.tensors()
    return Problem(spectral.statistics(moments), train, Validation(validation))


def candidates(
    lam: list[float], tau: list[float], weight_power: list[float], passes: list[int], step: str = "tangent"
) -> Candidates:
    return Candidates(lam, tau, weight_power, passes, [step])


def test_a_candidate_is_taken_where_it_is_clearly_better() -> None:
    chosen, trials = problem(200, 1.0).choose(candidates([1e6, 0.1], [0.1], [1.0], [0]))
    assert chosen == Chosen(0.1, 0.1, 1.0, 0, "tangent")  # so large a ridge is no whitening
    assert [trial.chosen.lam for trial in trials] == [1e6, 0.1]


def test_the_default_stands_against_what_is_not_clearly_better() -> None:
    chosen, trials = problem(200, 1.0).choose(candidates([0.1, 0.100001, 0.099999], [0.1], [1.0], [0]))
    assert chosen.lam == 0.1
    assert max(abs(trial.recall - trials[0].recall) for trial in trials) < 1


def test_passes_are_tried_at_each_temperature_as_long_as_it_is_not_behind() -> None:
    chosen, trials = problem(120, 1.0).choose(candidates([0.3], [0.1, 1.0, 0.5], [1.0], [3, 1, 0]))
    tried = {(trial.chosen.tau, trial.chosen.passes): trial.recall for trial in trials}
    assert chosen in [trial.chosen for trial in trials]
    assert [passes for tau, passes in tried if tau == 0.1] == [0, 1, 3]  # the default is run to its end
    assert {(1.0, 1), (0.5, 1)} <= set(tried)  # every other one for the fewest passes
    going_on = [tau for tau, passes in tried if passes == 3 and tau != 0.1]
    assert len(going_on) <= 1  # the better half of two
    assert all(tried[tau, 1] >= tried[0.1, 1] for tau in going_on)


def test_the_passes_of_the_choice_are_those_of_a_fit() -> None:
    on = problem(120, 1.0)
    chosen, ran = on.choose_passes(candidates([0.3], [0.1, 1.0], [1.0], [2, 3]), Chosen(0.3, 0.1, 1.0, 2, "tangent"))
    first, chain = on.chain(chosen)
    again = [first, *islice(chain, chosen.passes)]
    assert len(ran) == len(again) == chosen.passes + 1
    assert [place.contrasted.value for place in ran] == [place.contrasted.value for place in again]
    assert torch.equal(ran[-1].factors.U, again[-1].factors.U)


def test_the_kind_of_step_is_chosen_like_a_temperature() -> None:
    both = Candidates([0.3], [0.1], [1.0], [1], ["tangent", "full"])
    assert both.open_names == ["step"]
    chosen, trials = problem(120, 1.0).choose(both)
    assert [trial.chosen.step for trial in trials] == ["tangent", "full"]
    assert chosen.step in ("tangent", "full")


def test_nothing_open_tries_nothing() -> None:
    chosen, trials = problem(60, 1.0).choose(candidates([0.3], [0.1], [1.0], [4]))
    assert chosen == Chosen(0.3, 0.1, 1.0, 4, "tangent")
    assert trials == []


def test_no_more_is_tried_than_was_announced() -> None:
    of = candidates([0.3, 1.0], [0.1, 1.0, 0.5], [1.0, 0.5], [4, 2, 1, 0])
    _, trials = problem(120, 1.0).choose(of)
    announced = of.first_trials + of.passes_trials
    assert announced - 4 <= len(trials) <= announced  # two contestants may be left behind twice


def test_where_a_pass_is_worse_than_none_no_other_temperature_is_tried() -> None:
    on = problem(120, 1.0)
    of = candidates([0.3], [0.1, 1.0], [1.0], [2, 1, 0])

    def spoilt(at: Chosen, place: Place) -> Projector:
        projector = on.embedded(at, place)
        return projector if at.passes == 0 else projector._replace(P_y=projector.P_y.flip(1))

    chosen, ran = choose_passes(of, Chosen(0.3, 0.1, 1.0, 2, "tangent"), on.validation, on.chain, spoilt)
    assert chosen == Chosen(0.3, 0.1, 1.0, 0, "tangent")
    assert len(ran) == 1
    assert [(trial.chosen.tau, trial.chosen.passes) for trial in on.validation.trials] == [(0.1, 0), (0.1, 1)]


def test_a_trial_beats_another_by_its_paired_standard_error() -> None:
    same = torch.full((50,), 40.0, dtype=torch.float64)
    mixed = same.clone()
    mixed[:10] += 30.0  # ten of fifty queries gain
    at = Chosen(1.0, 0.1, 1.0, 4, "tangent")
    base, better, noise = Trial(at, (same, same)), Trial(at, (mixed, mixed)), Trial(at, (same, same.clone()))
    noise.hits[1][0] += 3.0
    noise.hits[1][1] -= 2.0
    assert better.recall == pytest.approx(46.0)
    assert better.beats(base)
    assert not base.beats(better)
    assert not base.beats(base)
    assert not noise.beats(base)  # a gain and a loss among fifty


def trial(recall: float, **setting: float) -> Trial:
    at = Chosen(1.0, 0.1, 1.0, 0, "tangent")._replace(**setting)
    hits = torch.full((50,), recall, dtype=torch.float64)
    return Trial(at, (hits, hits))


LAMS = [trial(recall, lam=lam) for lam, recall in ((1.0, 40.0), (0.3, 30.0), (3.0, 50.0), (0.1, 60.0), (10.0, 40.0))]


@pytest.mark.parametrize(
    ("lam", "chosen", "side"),
    [
        ([1.0, 0.3, 3.0], 3.0, "larger"),
        ([1.0, 0.1, 3.0], 0.1, "smaller"),
        ([1.0, 0.3, 3.0], 1.0, None),  # in the middle, though it stands first
        ([1.0, 0.3, 0.1], 0.1, "smaller"),
        ([3.0, 1.0, 0.3], 3.0, "larger"),  # the default, and better than its neighbour
        ([10.0, 1.0, 0.3], 10.0, None),  # the default, no better than its neighbour
        ([1.0, 3.0], 3.0, None),  # two values have nothing but ends
    ],
)
def test_a_ridge_at_the_end_of_its_list_is_told_where_it_got_better_towards_it(
    lam: list[float], chosen: float, side: str | None
) -> None:
    lines = at_an_end(candidates(lam, [0.1], [1.0], [4, 0]), Chosen(chosen, 0.1, 1.0, 4, "tangent"), LAMS)
    among = ", ".join(f"{each:g}" for each in sorted(lam))
    told = f"aligner.lam={chosen:g} was chosen at the end of its list [{among}]: try {side} ones"
    assert lines == ([told] if side else [])


def test_a_temperature_at_the_end_of_its_list_is_told_where_a_pass_used_it() -> None:
    of = candidates([1.0], [0.1, 0.2, 0.05], [1.0], [4, 0])
    trials = [trial(recall, tau=tau, passes=4) for tau, recall in ((0.1, 40.0), (0.2, 30.0), (0.05, 50.0))]
    trials += [trial(40.0, tau=tau) for tau in (0.1, 0.2, 0.05)]
    (line,) = at_an_end(of, Chosen(1.0, 0.05, 1.0, 4, "tangent"), trials)
    assert line == "aligner.tau=0.05 was chosen at the end of its list [0.05, 0.1, 0.2]: try smaller ones"
    assert at_an_end(of, Chosen(1.0, 0.05, 1.0, 0, "tangent"), trials) == []


def test_a_temperature_left_behind_is_compared_where_it_was_tried() -> None:
    of = candidates([1.0], [0.1, 0.2, 0.3], [1.0], [4, 1])
    trials = [trial(50.0, tau=0.1, passes=4), trial(45.0, tau=0.1, passes=1), trial(40.0, tau=0.2, passes=1)]
    (line,) = at_an_end(of, Chosen(1.0, 0.1, 1.0, 4, "tangent"), trials)
    assert "aligner.tau=0.1 was chosen at the end" in line
    trials[2] = trial(45.0, tau=0.2, passes=1)
    assert at_an_end(of, Chosen(1.0, 0.1, 1.0, 4, "tangent"), trials) == []


def test_what_a_choice_tells_comes_from_its_own_trials() -> None:
    """Ends are looked up among the trials that were really made, of every axis."""
    of = candidates([1e6, 1e3, 0.1], [0.2, 0.5, 1.0], [1.0, 0.5], [2, 0])
    chosen, trials = problem(200, 1.0).choose(of)
    lines = at_an_end(of, chosen, trials)
    assert lines[0] == "aligner.lam=0.1 was chosen at the end of its list [0.1, 1000, 1e+06]: try smaller ones"
    default_first = of._replace(lam=[0.1, 1e3, 1e6])
    chosen, trials = problem(200, 1.0).choose(default_first)
    assert at_an_end(default_first, chosen, trials)[0] == lines[0]
