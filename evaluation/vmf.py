"""The normaliser of the von Mises-Fisher kernel on a sphere of any dimension."""

import math

from scipy.special import ive

SMALLEST = 1e-290
"""A Bessel function above it has all its digits."""


def log_normaliser(d: int, kappa: float) -> float:
    r"""``log V``, of the kernel :math:`e^{\kappa z \cdot m}` on the sphere of ``d`` dimensions (Mardia and Jupp 2000).

    By scipy's ``ive``, and by Debye's expansion for large orders (DLMF 10.41.3) where that underflows. The area of the
    sphere at kappa 0; on two points, d = 1, the sum over both.

    Raises:
        ValueError: no dimension, or a kappa that is not above 0.

    Example:
        >>> math.isclose(log_normaliser(3, 2.0), math.log(4 * math.pi * math.sinh(2.0) / 2.0))
        True
    """
    if d < 1 or not kappa > 0:
        raise ValueError(f"a density needs at least one dimension and a kappa above 0, got {d} and {kappa}")
    order = d / 2 - 1
    scaled = float(ive(order, kappa))
    log_bessel = math.log(scaled) + kappa if scaled > SMALLEST else log_bessel_debye(order, kappa)
    return d / 2 * math.log(2 * math.pi) + log_bessel - order * math.log(kappa)


def log_bessel_debye(order: float, kappa: float) -> float:
    """``log I_order(kappa)`` by Debye's expansion to its fourth term: relative to 1e-10 from an order of 50 on."""
    root = math.hypot(1.0, kappa / order)
    t = 1 / root
    terms = (
        (3 * t - 5 * t**3) / 24,
        (81 * t**2 - 462 * t**4 + 385 * t**6) / 1152,
        (30375 * t**3 - 369603 * t**5 + 765765 * t**7 - 425425 * t**9) / 414720,
        (4465125 * t**4 - 94121676 * t**6 + 349922430 * t**8 - 446185740 * t**10 + 185910725 * t**12) / 39813120,
    )
    series = sum(term / order**power for power, term in enumerate(terms, 1))
    exponent = order * (root + math.log(kappa / order) - math.log1p(root))
    return exponent - math.log(2 * math.pi * order * root) / 2 + math.log1p(series)
