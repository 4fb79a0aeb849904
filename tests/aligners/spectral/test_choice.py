import pytest
import torch
from torch import Tensor

from aligners import spectral
from aligners.objectives.softmax import CLIP
from aligners.spectral.choice import Trials, at_an_end
from aligners.spectral.coordinates import uniform_solution
from aligners.spectral.moments import Moments
from aligners.spectral.settings import Candidates, Chosen
from aligners.spectral.step import Damping, Rule
from aligners.spectral.trial import Trial
from datamodules.pairs import PairBatch
from tests.problems import random_features


def rows_of(x: Tensor, y: Tensor) -> PairBatch:
    index = torch.arange(len(x))
    return PairBatch(x, y, index, index, index, index)


def trials_on(n: int, noise: float) -> Trials:
    x, y, _ = random_features(n, 1, 14, 12, seed=0, noise=noise)
    x, y = (side.double() - side.double().mean(0) for side in (x, y))
    train, validation = rows_of(x[: n // 2], y[: n // 2]), rows_of(x[n // 2 :], y[n // 2 :])
    moments = Moments(14, 12, n // 2, n // 2, "cpu")
    moments.add(train)
    moments.tensors()
    statistics = spectral.statistics(moments)

    def start(lam: float):  # type: ignore[no-untyped-def]
        coordinates = statistics.coordinates(lam)
        return coordinates, uniform_solution(statistics.cross, coordinates.W_x, coordinates.W_y, 5)

    def rule(at: Chosen) -> Rule:
        return Rule(CLIP(at.tau), at.weight_power, Damping(0.1, True, 10, 0.0), 10_000, "tangent", False)

    return Trials(start, rule, lambda: train, validation)


def test_a_candidate_is_taken_where_it_is_clearly_better() -> None:
    on = trials_on(200, 1.0)
    chosen, trials = on.choose(Candidates([1e6, 0.1], [0.1], [1.0], [0]))
    assert chosen == Chosen(0.1, 0.1, 1.0, 0)  # so large a ridge is no whitening
    assert [trial.chosen.lam for trial in trials] == [1e6, 0.1]


def test_the_default_stands_against_what_is_not_clearly_better() -> None:
    on = trials_on(200, 1.0)
    _, trials = on.choose(Candidates([0.1, 0.100001, 0.099999], [0.1], [1.0], [0]))
    assert on.choose(Candidates([0.1, 0.100001, 0.099999], [0.1], [1.0], [0]))[0].lam == 0.1
    assert max(abs(trial.recall - trials[0].recall) for trial in trials) < 1


def test_passes_are_tried_at_each_temperature() -> None:
    chosen, trials = trials_on(120, 1.0).choose(Candidates([0.3], [0.1, 1.0], [1.0], [2, 0]))
    tried = [trial.chosen for trial in trials]
    assert tried == [Chosen(0.3, tau, 1.0, passes) for tau in (0.1, 1.0) for passes in (2, 0)]
    assert chosen in tried
    assert trials[1].recall == trials[3].recall  # without a pass the temperature is nothing


def test_nothing_open_tries_nothing() -> None:
    chosen, trials = trials_on(60, 1.0).choose(Candidates([0.3], [0.1], [1.0], [4]))
    assert chosen == Chosen(0.3, 0.1, 1.0, 4)
    assert trials == []


def test_a_trial_beats_another_by_its_paired_standard_error() -> None:
    same = torch.full((50,), 40.0, dtype=torch.float64)
    mixed = same.clone()
    mixed[:10] += 30.0  # ten of fifty queries gain
    at = Chosen(1.0, 0.1, 1.0, 4)
    base, better, noise = Trial(at, (same, same)), Trial(at, (mixed, mixed)), Trial(at, (same, same.clone()))
    noise.hits[1][0] += 3.0
    noise.hits[1][1] -= 2.0
    assert better.recall == pytest.approx(46.0)
    assert better.beats(base)
    assert not base.beats(better)
    assert not base.beats(base)
    assert not noise.beats(base)  # a gain and a loss among fifty


def trial(recall: float, **setting: float) -> Trial:
    at = Chosen(1.0, 0.1, 1.0, 0)._replace(**setting)
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
    candidates = Candidates(lam, [0.1], [1.0], [4, 0])
    lines = at_an_end(candidates, Chosen(chosen, 0.1, 1.0, 4), LAMS)
    among = ", ".join(f"{each:g}" for each in sorted(lam))
    told = f"aligner.lam={chosen:g} was chosen at the end of its list [{among}]: try {side} ones"
    assert lines == ([told] if side else [])


def test_a_temperature_at_the_end_of_its_list_is_told_where_a_pass_used_it() -> None:
    candidates = Candidates([1.0], [0.1, 0.2, 0.05], [1.0], [4, 0])
    trials = [trial(recall, tau=tau, passes=4) for tau, recall in ((0.1, 40.0), (0.2, 30.0), (0.05, 50.0))]
    trials += [trial(40.0, tau=tau) for tau in (0.1, 0.2, 0.05)]
    (line,) = at_an_end(candidates, Chosen(1.0, 0.05, 1.0, 4), trials)
    assert line == "aligner.tau=0.05 was chosen at the end of its list [0.05, 0.1, 0.2]: try smaller ones"
    assert at_an_end(candidates, Chosen(1.0, 0.05, 1.0, 0), trials) == []


def test_what_a_choice_tells_comes_from_its_own_trials() -> None:
    """Ends are looked up among the trials that ``choose`` really made, of every axis."""
    candidates = Candidates([1e6, 1e3, 0.1], [0.2, 0.5, 1.0], [1.0, 0.5], [2, 0])
    chosen, trials = trials_on(200, 1.0).choose(candidates)
    lines = at_an_end(candidates, chosen, trials)
    assert lines[0] == "aligner.lam=0.1 was chosen at the end of its list [0.1, 1000, 1e+06]: try smaller ones"
    default_first = candidates._replace(lam=[0.1, 1e3, 1e6])
    chosen, trials = trials_on(200, 1.0).choose(default_first)
    assert at_an_end(default_first, chosen, trials)[0] == lines[0]
