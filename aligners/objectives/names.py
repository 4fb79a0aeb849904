"""The objectives by the names that a config gives."""

import inspect
import math
from collections.abc import Callable

from aligners.objectives.base import Objective
from aligners.objectives.pairwise import SigLIP, Triplet
from aligners.objectives.softmax import CLIP, DCL, InfoNCE, UniCon
from ground.errors import UserError, nearest


def _triplet(tau: float, margin: float) -> Triplet:
    """The hinge has no temperature: ``tau`` is not used."""
    return Triplet(margin)


OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "info_nce": InfoNCE,
    "clip": CLIP,
    "supcon": CLIP,  # SupCon-out between two modalities is CLIP with several positives
    "siglip": SigLIP,
    "dcl": DCL,
    "unicon": UniCon,
    "triplet": _triplet,  # by its Clarke subgradient
}
"""The objectives of the solver by the name that a config gives."""


def named_objective(name: str, tau: float, **options: float) -> Objective:
    """The objective ``name`` of ``OBJECTIVES`` at temperature ``tau`` > 0, with its further arguments.

    Raises:
        UserError: an unknown name, a temperature that is not positive, or an option that the objective does
            not know, that is missing, or that is no finite number.
    """
    if name not in OBJECTIVES:
        raise UserError(f"unknown objective '{name}': {nearest(name, OBJECTIVES)}")
    if not tau > 0:
        raise UserError(f"tau must be above 0, got {tau}")
    known = [option for option in inspect.signature(OBJECTIVES[name]).parameters if option != "tau"]
    for option, value in options.items():
        if option not in known:
            raise UserError(f"unknown option '{option}' of objective '{name}': {nearest(option, known)}")
        if not (isinstance(value, int | float) and math.isfinite(value)):
            raise UserError(f"option '{option}' of objective '{name}' must be a finite number, got {value!r}")
    if missing := [option for option in known if option not in options]:
        raise UserError(f"objective '{name}' needs a value for: {', '.join(missing)}")
    return OBJECTIVES[name](tau, **options)
