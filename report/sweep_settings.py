"""The runs of a sweep, put together by their settings."""

from collections.abc import Iterable, Sequence
from typing import Any

Run = dict[str, Any]
"""What ``train.run`` returns, with its ``overrides``."""
UNNAMED = ("aligner", "datamodule", "seed", "run_dir")
"""Overrides that a setting need not name: a run has the names of its experiment and aligner, seeds are pooled."""


def by_setting(runs: Sequence[Run], leave_out: str | None = None) -> dict[tuple[str, ...], list[Run]]:
    """Runs that differ in their seed alone, under their experiment, their aligner, and the overrides that differ.

    ``leave_out`` is a key that does not count as a difference either.
    """
    varied = [key for key in varied_keys(runs) if key != leave_out]
    settings: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        given = overrides_of(run)
        own = (f"{key}={given[key]}" for key in varied if key in given)
        settings.setdefault((run["name"], run["aligner"], *own), []).append(run)
    return settings


def short_names(settings: Iterable[tuple[str, ...]]) -> list[str]:
    """A name for each setting that tells it from the others: what all share is left out, and where keys stand."""
    keys = list(settings)
    shared = [len({key[place] for key in keys}) == 1 for place in (0, 1)]
    names = []
    for key in keys:
        own = [override.partition("=")[0].rpartition(".")[2] + "=" + override.partition("=")[2] for override in key[2:]]
        parts = [each for each, of_all in zip(key[:2], shared, strict=True) if not of_all]
        names.append(" ".join([*parts, *own]) or key[1])
    # two keys of one last part: in full
    return names if len(set(names)) == len(keys) else [" ".join(key) for key in keys]


def varied_keys(runs: Sequence[Run]) -> list[str]:
    """Keys whose override is not the same in all runs, in the order of the command line."""
    given = [overrides_of(run) for run in runs]
    keys = dict.fromkeys(key for each in given for key in each if key not in UNNAMED)
    return [key for key in keys if len({each.get(key) for each in given}) > 1]


def overrides_of(run: Run) -> dict[str, str]:
    """The overrides of a run by their keys."""
    return {key: value for key, _, value in (override.partition("=") for override in run["overrides"])}
