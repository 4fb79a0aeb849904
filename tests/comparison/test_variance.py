"""Intervals cover what they should, and tests err as often as they say: simulated contests whose truth is known."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from comparison.letters import corrected
from comparison.variance import Array, interval, p_value, spread

TRIALS = 10_000


def simulated(
    draws: np.random.Generator, seeds: int, difficulty: Array, of_seeds: float, own_chance: float = 0.15
) -> Array:
    """Credits of groups of six queries, each found with the chance that its group has, or more under a good seed.

    A query that one seed finds most others find: its luck is the same in all, but for a share ``own_chance``.
    """
    groups = len(difficulty)
    shift = draws.uniform(-of_seeds, of_seeds, seeds)[:, None, None]
    once, again = draws.random((1, groups, 6)), draws.random((seeds, groups, 6))
    luck = np.where(draws.random((seeds, groups, 6)) < own_chance, again, once)
    hits: Array = 100 * (luck < difficulty[:, None] + shift).mean(2)
    return hits


CASES = [(1, 100, 0.0), (5, 100, 0.0), (5, 100, 0.03), (3, 200, 0.02), (5, 300, 0.02)]
"""Seeds, groups, and how far a seed may raise or lower a recall."""


@pytest.mark.parametrize(("seeds", "groups", "of_seeds"), CASES)
def test_intervals_cover_the_truth(seeds: int, groups: int, of_seeds: float) -> None:
    draws = np.random.default_rng(0)
    covered = 0
    for _ in range(TRIALS):
        difficulty = draws.uniform(0.05, 0.75, groups)  # 0.4 in the mean
        low, high = interval(simulated(draws, seeds, difficulty, of_seeds))
        covered += low <= 40 <= high
    assert 0.94 <= covered / TRIALS <= 0.96, covered / TRIALS


@pytest.mark.parametrize(("seeds", "groups", "of_seeds"), CASES)
def test_paired_tests_hold_their_level(seeds: int, groups: int, of_seeds: float) -> None:
    draws = np.random.default_rng(1)
    rejected = 0
    for _ in range(TRIALS):
        # two rows of one recall on the same groups, each good at others and with its own seeds: they differ by chance
        shared = draws.uniform(0.25, 0.55, groups)
        rows = [simulated(draws, seeds, shared + draws.uniform(-0.2, 0.2, groups), of_seeds) for _ in range(2)]
        rejected += p_value(*rows) < 0.05
    assert 0.043 <= rejected / TRIALS <= 0.057, rejected / TRIALS


def test_of_one_seed_it_is_the_paired_t_test() -> None:
    draws = np.random.default_rng(2)
    one, other = draws.normal(0, 1, (2, 1, 40))
    assert p_value(one, other) == pytest.approx(ttest_rel(one[0], other[0]).pvalue)


def test_seeds_that_are_equal_are_one() -> None:
    one = np.random.default_rng(3).normal(40, 10, (1, 60))
    five = np.repeat(one, 5, axis=0)
    assert spread(five).variance == pytest.approx(spread(one).variance)
    assert spread(five).degrees == pytest.approx(59)
    assert interval(five) == pytest.approx(interval(one))


def test_nothing_differs() -> None:
    row = np.random.default_rng(4).normal(40, 10, (2, 30))
    assert p_value(row, row) == 1.0
    assert p_value(row + 1, row) < 1e-9
    with pytest.raises(ValueError, match="at least two groups"):
        spread(np.ones((3, 1)))
    with pytest.raises(ValueError, match="the same groups"):
        p_value(row, row[:, :9])


def test_a_mean_of_credits_is_within_its_interval() -> None:
    skewed = np.random.default_rng(5).exponential(10, (3, 25))
    low, high = interval(skewed)
    assert low < skewed.mean() < high
    assert high - skewed.mean() > skewed.mean() - low  # the longer tail has the longer arm


def test_corrected_p_values_grow_with_the_family() -> None:
    assert corrected([0.04]) == [0.04]
    assert corrected([0.5, 0.02, 0.02]) == [0.5, 0.06, 0.06]
    assert corrected([]) == []
