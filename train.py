"""Fit and judge aligners: ``python train.py --help``. Names no method; what a run is stands in ``running/``."""

from typing import Any

import hydra
from omegaconf import DictConfig

from ground.configs import CONFIGS
from running.process import command_line
from running.sweep import Sweep

__all__ = ["cli", "run"]

sweep = Sweep(__file__)


@hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="train")
def main(config: DictConfig) -> dict[str, Any] | None:
    """One run, alone or of a sweep."""
    return sweep.run(config)


def run(config: DictConfig) -> dict[str, Any]:
    """One run from a script or a notebook: ``running.run.run``, which takes its libraries' seconds to import."""
    from running.run import run

    return run(config)


def cli() -> None:
    """The command line: exit code 2 and one line for a user's mistake, 1 and a traceback for ours, 130 at Ctrl-C."""
    sweep.begin()
    command_line(main, sweep.failures)


if __name__ == "__main__":
    cli()
