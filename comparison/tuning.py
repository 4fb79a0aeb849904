"""Settings of a row, chosen on validation: as many trials for every row, by a sampler with a seed."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

Setting = dict[str, Any]
"""Keys of a run's config, and their values."""
Space = Mapping[str, Mapping[str, Any]]
"""Keys of a run's config: the range of each, ``low`` to ``high``, whether it is tried by its ``log``, and conditions,
``with`` and ``unless``."""


class Trial(NamedTuple):
    """A setting that was tried; no score where it could not run."""

    setting: Setting
    score: float | None


class Tuned(NamedTuple):
    """The best setting found, the earliest of equals, and all that were tried."""

    setting: Setting
    score: float | None
    tried: list[Trial]
    at_edge: list[str]
    """Keys whose best value lies within 5 % of the range from its end: the range was too narrow."""


def open_keys(config: DictConfig, space: Space) -> Setting:
    """The keys of the space that hold one number in a run's config, with the default of each.

    One that makes sense ``with`` another key alone is left out where there is none, and so is one that nothing reads
    where each key of ``unless`` has one of the values given.

    Example:
        >>> config = OmegaConf.create({"aligner": {"tau": [0.1, 1.0], "lam": 0.1}})
        >>> open_keys(config, {"aligner.tau": {}, "aligner.lam": {}})
        {'aligner.lam': 0.1}
    """
    found = {}
    for key, of in space.items():
        value = OmegaConf.select(config, key) if _has_effect(config, of) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[key] = value
    return found


def _has_effect(config: DictConfig, of: Mapping[str, Any]) -> bool:
    needed, barred = of.get("with"), of.get("unless", {})
    if needed is not None and OmegaConf.select(config, needed) is None:
        return False
    return not barred or any(OmegaConf.select(config, key) not in values for key, values in barred.items())


def left_open(space: Space, overrides: Iterable[str]) -> Space:
    """The part of the space that no override sets: what a row or a user has set stands.

    Example:
        >>> list(left_open({"aligner.tau": {}, "aligner.lam": {}}, ["aligner=unicon", "aligner.tau=1"]))
        ['aligner.lam']
    """
    given = {each.partition("=")[0] for each in overrides}
    return {key: of for key, of in space.items() if key not in given}


def tuned(config: DictConfig, space: Space, trials: int, seed: int, score: Callable[[Setting], float | None]) -> Tuned:
    """The best of ``trials`` settings of the keys of ``space`` by ``score``, the higher the better.

    The first is the config's own, the others are Optuna's tree-structured Parzen estimator's. Trials follow one
    another, so that the same scores give the same trials: of a contest that goes on, those that have run are found
    again. A setting that has no score is the worst of all. With nothing to tune there is one trial.
    """
    import optuna

    optuna.logging.set_verbosity(logging.WARNING)
    defaults = open_keys(config, space)
    ranges = {key: _range(space[key], isinstance(default, int)) for key, default in defaults.items()}
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    tried: list[Trial] = []
    for number in range(trials if defaults else min(trials, 1)):
        if number == 0:
            setting, trial = defaults, None
        else:
            trial = study.ask(ranges)
            setting = {key: _rounded(value) for key, value in trial.params.items()}
        value = score(setting)
        tried.append(Trial(setting, value))
        told = value if value is not None else float("-inf")
        if trial is not None:
            study.tell(trial, told)
        elif all(of._contains(defaults[key]) for key, of in ranges.items()):  # a default may lie outside
            study.add_trial(optuna.trial.create_trial(params=defaults, distributions=ranges, value=told))
    best = max((each for each in tried if each.score is not None), key=lambda each: each.score or 0.0, default=None)
    if best is None:
        return Tuned(defaults, None, tried, [])
    at_edge = [key for key, value in best.setting.items() if _at_edge(value, space[key])]
    return Tuned(best.setting, best.score, tried, at_edge)


def _range(of: Mapping[str, Any], whole: bool) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    return (IntDistribution if whole else FloatDistribution)(of["low"], of["high"], log=of["log"])


def _rounded(value: float | int) -> float | int:
    """Three digits: what a person would write, and the same on every machine."""
    return value if isinstance(value, int) else float(f"{value:.3g}")


def _at_edge(value: float, of: Mapping[str, Any]) -> bool:
    scale = math.log if of["log"] and value > 0 else float
    low, high, at = (scale(each) for each in (of["low"], of["high"], value))
    return not low + 0.05 * (high - low) < at < high - 0.05 * (high - low)
