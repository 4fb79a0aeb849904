"""Finished runs of ``train.py`` in a folder, as the rows of a contest that nobody started as one."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from comparison.job import APART
from comparison.results import Result
from ground.errors import UserError
from running.directory import FINISHED

TRIALS = "trials"
"""A folder of a contest whose runs were looked at for their settings alone."""


def runs_in(folder: Path) -> list[Result]:
    """The finished runs below ``folder``, those that are judged again and trials of a contest apart.

    A row is an aligner's name, with the settings that tell it from others of that name on the same data; of runs that
    differ in nothing the last is taken.

    Raises:
        UserError: no such folder, no run in it, or one that cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"runs={folder} is no folder")
    places = [file.parent for file in sorted(folder.rglob(FINISHED)) if _is_run(file, folder)]
    if not places:
        raise UserError(f"runs={folder} holds no finished run: they are directories with config.yaml and {FINISHED}")
    return results_of(places)


def results_of(places: Sequence[Path]) -> list[Result]:
    """The finished runs in these directories, as ``runs_in`` names their rows.

    Raises:
        UserError: one cannot be read.
    """
    read = [(place, config_in(place), _metrics(place)) for place in places]
    flat = {place: dict(leaves(config)) for place, config, _ in read}
    found: dict[tuple[str, str, int], Result] = {}
    for place, config, metrics in sorted(read, key=lambda each: (each[0] / FINISHED).stat().st_mtime):
        data = _data(config)
        alike = [flat[p] for p, c, _ in read if (c["aligner_name"], _data(c)) == (config["aligner_name"], data)]
        varied = [key for key in flat[place] if len({str(each.get(key)) for each in alike}) > 1]
        settings = " ".join(f"{key.rpartition('.')[2]}={flat[place][key]}" for key in varied)
        row = f"{config['aligner_name']} {settings}".strip()
        found[row, data, config["seed"]] = Result(row, data, config["seed"], metrics, place)
    return list(found.values())


def _is_run(file: Path, folder: Path) -> bool:
    inside = file.relative_to(folder).parts
    again = file.parent.parent.name == "test" and (file.parents[2] / FINISHED).is_file()
    ranks = (file.parent / "ranks.safetensors").is_file()
    return (file.parent / "config.yaml").is_file() and ranks and TRIALS not in inside and not again


def config_in(place: Path) -> dict[str, Any]:
    """What ``config.yaml`` of a run directory holds.

    Raises:
        UserError: it cannot be read, or is none of a run.
    """
    try:
        config = yaml.safe_load((place / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"cannot read the run in {place}: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict) or not {"aligner_name", "name", "seed", "datamodule"} <= set(config):
        raise UserError(f"{place / 'config.yaml'} is no config of a run")
    return config


def _metrics(place: Path) -> dict[str, Any]:
    try:
        metrics: dict[str, Any] = json.loads((place / FINISHED).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the run in {place}: {' '.join(str(error).split())}") from error
    return metrics


def _data(config: dict[str, Any]) -> str:
    path = config["datamodule"].get("path")
    return Path(path).stem if config["name"] == "features" and path else str(config["name"])


def leaves(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a config by their whole keys, but those that no number depends on, and seeds."""
    for key, value in node.items():
        if (not prefix and key in APART) or key == "seed":
            continue
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
