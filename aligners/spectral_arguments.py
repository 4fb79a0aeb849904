"""Checks of the spectral aligner's arguments."""

from typing import Any

from aligners.choice import Candidates
from aligners.negatives import NEGATIVES
from aligners.spectral import SVD
from errors import UserError, nearest


def as_candidates(value: Any) -> tuple[Any, ...]:
    """A fixed value is the only candidate; a list are those that validation chooses from."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def check_arguments(
    candidates: Candidates, whiten: bool, eta: float, negatives: str, svd: str, sample: float | str
) -> None:
    """Raise a UserError for an argument of ``UniConSpectral`` that is out of its range."""
    for name, choice, known in (("negatives", negatives, NEGATIVES), ("svd", svd, SVD)):
        if choice not in known:
            raise UserError(f"unknown aligner.{name} '{choice}': {nearest(choice, known)}")
    for name, values in candidates._asdict().items():
        if not values:
            raise UserError(f"aligner.{name} is an empty list: give a value, or some to choose from")
    for passes in candidates.passes:
        if not (isinstance(passes, int) and passes >= 0):
            raise UserError(f"aligner.passes must be at least 0, got {passes}")
    for lam in candidates.lam:
        if whiten and not lam >= 0:
            raise UserError(f"aligner.lam must be at least 0, got {lam}")
    if not (sample == "enough" if isinstance(sample, str) else 0 < sample <= 1):
        raise UserError(f"aligner.sample must be a share in (0, 1] or 'enough', got {sample}")
    if not 0 < eta <= 1:
        raise UserError(f"aligner.eta must be in (0, 1], got {eta}")
