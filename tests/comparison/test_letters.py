"""Letters: two rows share one exactly where they cannot be told apart."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from comparison.letters import letters, p_values


@st.composite
def differences(draw: st.DrawFn) -> np.ndarray:
    n = draw(st.integers(1, 9))
    upper = np.triu(np.array(draw(st.lists(st.booleans(), min_size=n * n, max_size=n * n))).reshape(n, n), 1)
    return upper | upper.T


@given(differences())
def test_letters_agree_with_the_tests(differ: np.ndarray) -> None:
    found = letters(differ, list(range(len(differ))))
    sets = [{*text} for text in found]
    assert all(sets)
    for i in range(len(sets)):
        for j in range(i):
            assert bool(sets[i] & sets[j]) == (not differ[i, j])


@given(differences(), st.randoms())
def test_no_letter_is_for_nothing(differ: np.ndarray, random: object) -> None:
    found = letters(differ, list(range(len(differ))))
    every = sorted({letter for text in found for letter in text})
    rows = {letter: frozenset(i for i, text in enumerate(found) if letter in text) for letter in every}
    assert len(set(rows.values())) == len(every)
    assert not any(one < other for one in rows.values() for other in rows.values())


def test_the_best_has_the_first_letter() -> None:
    differ = ~np.eye(3, dtype=bool)
    assert letters(differ, [2, 0, 1]) == ["b", "c", "a"]
    assert letters(np.zeros((3, 3), dtype=bool), [2, 0, 1]) == ["a", "a", "a"]


def test_rows_that_are_far_apart_differ_and_near_ones_do_not() -> None:
    draws = np.random.default_rng(0)
    base = draws.normal(40, 10, (1, 200))
    rows = [
        base + draws.normal(0, 1, (3, 200)),
        base + draws.normal(0, 1, (3, 200)),
        base - 5 + draws.normal(0, 1, (3, 200)),
    ]
    p = p_values(rows)
    assert np.array_equal(p, p.T)
    assert p[0, 1] > 0.05 > p[0, 2]
    assert letters(p < 0.05, [0, 1, 2]) == ["a", "a", "b"]
