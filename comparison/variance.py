"""How sure a mean over seeds and groups of queries is.

``credits`` (S, G) are what the queries of each of G groups add to a score under each of S seeds, times G, so that their
mean is the score. Seeds and groups are both drawn: :math:`c_{sg} = \\mu + a_s + b_g + e_{sg}`, the crossed model of two
random effects. Queries of one group (an image and its captions) are not independent, so groups are what is resampled.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr, stdtrit

Array = NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 2000


class Spread(NamedTuple):
    r"""Mean squares of the crossed model: :math:`E\,MS_a = \sigma_e^2 + G\sigma_a^2`, of groups alike, and
    :math:`E\,MS_e = \sigma_e^2`.

    Example:
        >>> spread(np.array([[1.0, 3.0], [1.0, 3.0]]))
        Spread(mean=2.0, of_seeds=0.0, of_groups=4.0, of_rest=0.0, seeds=2, groups=2)
    """

    mean: float
    of_seeds: float
    of_groups: float
    of_rest: float
    seeds: int
    groups: int

    @property
    def seed_share(self) -> float:
        """The share of the seeds' mean square that is theirs, not the groups' chance within them."""
        return max(0.0, 1 - self.of_rest / self.of_seeds) if self.of_seeds > 0 else 0.0

    @property
    def variance(self) -> float:
        r"""Of the mean: :math:`(MS_b + \max(MS_a - MS_e, 0)) / SG`, that of :math:`\bar a + \bar b + \bar e`."""
        return (self.of_groups + self.of_seeds * self.seed_share) / (self.seeds * self.groups)

    @property
    def degrees(self) -> float:
        """Degrees of freedom of that variance, after Satterthwaite (1946); of the groups alone where seeds add nothing.

        Of few seeds whose effects are most of the variance it is too sure: of three, tests at 5 % err in up to 8 %.
        """
        if self.seed_share == 0:
            return self.groups - 1
        parts = (
            (self.of_groups, self.groups - 1),
            (self.of_seeds, self.seeds - 1),
            (self.of_rest, (self.seeds - 1) * (self.groups - 1)),
        )
        below = sum(square * square / degrees for square, degrees in parts)
        whole = self.variance * self.seeds * self.groups
        return whole * whole / below


def spread(credits: Array) -> Spread:
    """The mean squares of credits (S, G).

    Raises:
        ValueError: fewer than two groups: nothing says how sure the mean is.
    """
    seeds, groups = credits.shape
    if groups < 2:
        raise ValueError("an interval over queries needs at least two groups")
    mean = credits.mean()
    by_seed, by_group = credits.mean(1), credits.mean(0)
    of_groups = seeds * ((by_group - mean) ** 2).sum() / (groups - 1)
    if seeds == 1:
        return Spread(float(mean), 0.0, float(of_groups), 0.0, 1, groups)
    of_seeds = groups * ((by_seed - mean) ** 2).sum() / (seeds - 1)
    rest = credits - by_seed[:, None] - by_group + mean
    of_rest = (rest**2).sum() / ((seeds - 1) * (groups - 1))
    return Spread(float(mean), float(of_seeds), float(of_groups), float(of_rest), seeds, groups)


def interval(credits: Array) -> tuple[float, float]:
    r"""The 95 % interval of the mean of credits (S, G), by a bootstrap of both levels; the same for the same credits.

    Groups are resampled, and so are the effects of the seeds, shrunken to their own variance (Carpenter, Goldstein and
    Rasbash 2003): resampling both as they are would count :math:`\sigma_e^2` several times (Owen 2007). Few of either
    make percentiles too narrow: they are taken at the levels of Hesterberg (2015), with the degrees of freedom of
    ``Spread``, and deviations grow by :math:`\sqrt{n/(n-1)}`.

    Raises:
        ValueError: fewer than two groups.

    Example:
        >>> low, high = interval(np.random.default_rng(0).normal(50, 10, (3, 400)))
        >>> 48 < low < 50 < high < 52
        True
    """
    of = spread(credits)
    means = of.mean + _resampled(credits.mean(0) - of.mean, 0)
    if of.seed_share > 0:
        means = means + of.seed_share**0.5 * _resampled(credits.mean(1) - of.mean, 1)
    tail = ndtr(stdtrit(of.degrees, (1 - LEVEL) / 2))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _resampled(deviations: Array, seed: int) -> Array:
    """Means of as many deviations, drawn with replacement, (RESAMPLES,)."""
    n = len(deviations)
    means: Array = _counts(n, seed) @ deviations * (n / (n - 1)) ** 0.5
    return means


@lru_cache(maxsize=4)
def _counts(n: int, seed: int) -> Array:
    """How often each of n is drawn, over n: (RESAMPLES, n)."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    counts: Array = drawn / n
    return counts


def p_value(one: Array, other: Array) -> float:
    """Two-sided p-value of the difference of two means, on the same seeds and groups: credits (S, G) each.

    Student's t of the paired differences, at the variance and the degrees of freedom of ``Spread``; where no group
    differs, 1. Of another number of seeds, seeds are no pairs: each is compared with the other's mean.

    Raises:
        ValueError: other groups, or fewer than two.
    """
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"paired tests need the same groups, got {one.shape[1]} and {other.shape[1]}")
    of = spread(one - other if len(one) == len(other) else one.mean(0, keepdims=True) - other.mean(0, keepdims=True))
    if of.variance == 0:
        return 1.0 if of.mean == 0 else 0.0
    return float(2 * stdtr(of.degrees, -abs(of.mean) / of.variance**0.5))
