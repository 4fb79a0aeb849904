"""The interval of a mean over seeds, of one kind in all tables and figures."""

import math
import statistics
from collections.abc import Iterable, Sequence

LEVEL = 0.95
TOLD = "± 95 %, Student's t over seeds"
"""What ``±`` is, for the title of a table."""


def half_interval(values: Sequence[float]) -> float:
    r"""Half the 95 % interval of the mean of n values: :math:`t_{0.975, n-1} s / \sqrt n`; 0 for one value alone.

    Student's t, with s the standard deviation of the values.

    Example:
        >>> round(half_interval([10.0, 14.0, 12.0]), 2)
        4.97
    """
    if len(values) < 2:
        return 0.0
    from scipy.stats import t  # costs a second to import, and one run has no need of it

    quantile = float(t.ppf((1 + LEVEL) / 2, len(values) - 1))
    return quantile * statistics.stdev(values) / math.sqrt(len(values))


def over_seeds(numbers: Iterable[int]) -> str:
    """What lines and bars of so many seeds each are: ``mean and 95 % interval over 5 seeds``; ``""`` for one each.

    Example:
        >>> over_seeds([5, 5]), over_seeds([1, 3])
        ('mean and 95 % interval over 5 seeds', 'mean and 95 % interval over 1 to 3 seeds')
    """
    few, many = min(of := list(numbers)), max(of)
    if many < 2:
        return ""
    return f"mean and 95 % interval over {many if few == many else f'{few} to {many}'} seeds"
