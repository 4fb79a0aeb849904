"""Which rows of a table cannot be told apart."""

from collections.abc import Sequence
from itertools import combinations
from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray

from comparison.variance import Array, p_value


def corrected(p_values: Sequence[float]) -> list[float]:
    """p-values of a family of tests, so that one at 0.05 errs at all in 5 % of families (Holm 1979).

    Example:
        >>> corrected([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    steps = np.minimum(np.maximum.accumulate(scaled), 1.0)
    result = np.empty(len(order))
    result[order] = steps
    return [float(each) for each in result.round(15)]


def p_values(rows: Sequence[Array]) -> Array:
    """The corrected p-values of all pairs of rows, (n, n), symmetric, with 1 on the diagonal."""
    pairs = list(combinations(range(len(rows)), 2))
    matrix = np.ones((len(rows), len(rows)))
    for (i, j), p in zip(pairs, corrected([p_value(rows[i], rows[j]) for i, j in pairs]), strict=True):
        matrix[i, j] = matrix[j, i] = p
    return matrix


def letters(differ: NDArray[np.bool_], order: Sequence[int]) -> list[str]:
    """Letters for n rows: two rows share one exactly where they do not ``differ`` (n, n) (Piepho 2004).

    The first letters go to the rows that come first in ``order``.

    Example:
        >>> differ = np.array([[False, False, True], [False, False, False], [True, False, False]])
        >>> letters(differ, [0, 1, 2])
        ['a', 'ab', 'b']
    """
    columns = [set(order)]
    for i, j in combinations(order, 2):
        if not differ[i, j]:
            continue
        for column in [each for each in columns if {i, j} <= each]:
            columns.remove(column)
            columns += [column - {i}, column - {j}]
        # what another holds says nothing of its own
        kept = [each for each in columns if not any(each < other for other in columns)]
        columns = [each for place, each in enumerate(kept) if each not in kept[:place]]
    place = {row: number for number, row in enumerate(order)}
    columns.sort(key=lambda column: sorted(place[row] for row in column))
    return ["".join(_letter(i) for i, column in enumerate(columns) if row in column) for row in range(len(order))]


def _letter(number: int) -> str:
    """a to z, then a1, b1, ..."""
    again, which = divmod(number, len(ascii_lowercase))
    return f"{ascii_lowercase[which]}{again or ''}"
