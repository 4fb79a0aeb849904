"""The objectives by the names that a config gives, with their options."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from omegaconf import OmegaConf

from aligners.objectives.base import Objective
from aligners.objectives.pairwise import SigLIP, Triplet
from aligners.objectives.robust import GCARINCE, GCAUOT, RINCE
from aligners.objectives.softmax import CLIP, DCL, InfoNCE, UniCon
from aligners.objectives.transport import GCAINCE, IOT, IOTUni
from ground.configs import CONFIGS, composed
from ground.errors import UserError, nearest
from ground.values import check_arguments

OBJECTIVES: dict[str, type[Objective]] = {
    "info_nce": InfoNCE,
    "clip": CLIP,
    "supcon": CLIP,  # SupCon-out between two modalities is CLIP with several positives
    "siglip": SigLIP,
    "dcl": DCL,
    "unicon": UniCon,
    "triplet": Triplet,  # by its Clarke subgradient
    "ince": InfoNCE,  # as GCA calls it: the target's divergence from K after one step over rows
    "rince": RINCE,
    "gca_ince": GCAINCE,
    "gca_rince": GCARINCE,
    "gca_uot": GCAUOT,
    "iot": IOT,
    "iot_uni": IOTUni,
}
"""The classes by the name that a config gives; the defaults of its options stand in ``configs/objective/NAME.yaml``."""
TAU = "tau"


@dataclass(frozen=True)
class ChosenObjective:
    """An objective with its options, to be made at any temperature.

    Attributes:
        kind: its class.
        options: all its arguments but the temperature.
    """

    kind: type[Objective]
    options: dict[str, Any]

    @property
    def has_tau(self) -> bool:
        """Whether it has a temperature: its constructor then takes ``tau``."""
        return TAU in _parameters(self.kind)

    def at(self, tau: float, **learned: Any) -> Objective:
        """The objective at temperature ``tau``; ``learned`` take the place of options, tensors with gradients too."""
        temperature = {TAU: tau} if self.has_tau else {}
        return self.kind(**temperature, **self.options | learned)


def chosen_objective(name: str, options: Mapping[str, Any]) -> ChosenObjective:
    """The objective of a name in ``OBJECTIVES`` or of a class ``package.module.Class``, with its options.

    Options that are not given are those of ``configs/objective/NAME.yaml``; of a class, its constructor's.

    Raises:
        UserError: an unknown name, a class that cannot be imported or is no ``Objective``, or an option that the
            objective does not know, that is missing, out of its range, or no finite number where one belongs.

    Example:
        >>> chosen = chosen_objective("siglip", {"bias": -5})
        >>> chosen.kind.__name__, chosen.options, chosen.at(tau=0.1).tau
        ('SigLIP', {'bias': -5}, 0.1)
    """
    kind = _imported(name) if "." in name else OBJECTIVES.get(name)
    if kind is None:
        raise UserError(f"unknown objective '{name}': {nearest(name, OBJECTIVES)}")
    parameters = {key: each for key, each in _parameters(kind).items() if key != TAU}
    if "." in name:
        defaults = {key: each.default for key, each in parameters.items() if each.default is not each.empty}
    else:
        values: Any = OmegaConf.to_container(composed(CONFIGS / "objective" / f"{name}.yaml", "objective"))
        defaults = {str(key): value for key, value in values.items()}
    for option, value in options.items():
        if option not in parameters:
            raise UserError(f"unknown option '{option}' of objective '{name}': {nearest(option, parameters)}")
        if _is_number(defaults.get(option)) and not (_is_number(value) and math.isfinite(value)):
            raise UserError(f"option '{option}' of objective '{name}' must be a finite number, got {value!r}")
    if missing := [option for option in parameters if option not in options and option not in defaults]:
        raise UserError(f"objective '{name}' needs a value for: {', '.join(missing)}")
    check_arguments(kind, options, "aligner.objective_options.")
    return ChosenObjective(kind, {**defaults, **options})


def named_objective(name: str, tau: float, **options: Any) -> Objective:
    """The objective ``name`` at temperature ``tau``, with its options.

    Raises:
        UserError: what ``chosen_objective`` refuses, or a temperature that is not positive.

    Example:
        >>> named_objective("unicon", tau=0.1, nu=0.5).nu
        0.5
    """
    chosen = chosen_objective(name, options)
    if not tau > 0:
        raise UserError(f"tau must be above 0, got {tau}")
    return chosen.at(tau)


def _imported(name: str) -> type[Objective]:
    module, _, class_name = name.rpartition(".")
    try:
        kind = getattr(import_module(module), class_name)
    except Exception as error:  # an import runs foreign code
        reason = " ".join(str(error).split())
        raise UserError(f"objective '{name}' cannot be imported: {reason}") from error
    if not (isinstance(kind, type) and issubclass(kind, Objective)):
        raise UserError(f"objective '{name}' must be a class that extends aligners.objectives.Objective")
    return kind


def _parameters(kind: type[Objective]) -> Mapping[str, inspect.Parameter]:
    parameters = inspect.signature(kind).parameters
    return {key: each for key, each in parameters.items() if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
