"""A run as Hydra starts it: alone, or as one of a sweep, where the others go on after a failure."""

import json
import logging
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ground.errors import UserError
from ground.mistakes import SEARCH_PATH, refuse_additions, user_line
from running.compose import overrides, quoted


class Sweep:
    """The runs of one command line of ``script``, which is one run where it is no sweep.

    Attributes:
        failures: exit code and line of what went wrong, told at the end.

    Example:
        >>> sweep = Sweep("train.py")
        >>> sweep.script.name, sweep.failures
        ('train.py', [])
    """

    def __init__(self, script: str):
        self.script = Path(script).resolve()
        self.begin()

    def begin(self) -> None:
        """A new command line."""
        self.failures: list[tuple[int, str]] = []
        self._directories: set[str] = set()

    def run(self, config: DictConfig) -> dict[str, Any] | None:
        """What a run returns, or None where it failed; an error of ours is raised unless other runs follow."""
        from running.run import run  # not for --help, nor for a mistake that Hydra finds

        # devices found and tips are no news; Lightning's import sets the level that it would have them told at
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        job = HydraConfig.get()
        sweep = job.mode == RunMode.MULTIRUN
        # as they were written: `${key}` in them is for the config
        task: Any = OmegaConf.to_container(job.overrides.task, resolve=False)
        given = [*task, *_search_path()]
        try:
            refuse_additions(given, config)
            if sweep:
                if config.run_dir in self._directories:
                    config.run_dir = f"{config.run_dir}_{job.job.num}"
                self._directories.add(config.run_dir)
                if config.trainer.strategy != "auto":
                    return self._run_as_process(config, given)
            return run(config)
        except Exception as error:
            line = user_line(error, overrides())
            if line is None and not sweep:
                raise
            if line is None:
                traceback.print_exc()
            about = f"{config.aligner_name} on {config.name}, run {job.job.num}: " if sweep else ""
            self.failures.append((1 if line is None else 2, f"{about}{line or repr(error)}"))
            return None

    def _run_as_process(self, config: DictConfig, given: list[str]) -> dict[str, Any]:
        """A run of a sweep that starts processes of its own: they would inherit the sweep's command line."""
        from running.run import outcome

        rest = [each for each in given if not each.startswith("run_dir=")]
        command = [sys.executable, str(self.script), *rest, f"run_dir={quoted(config.run_dir)}"]
        ended = subprocess.run(command, check=False)
        if ended.returncode:
            raise UserError(f"the run in {config.run_dir} ended with exit code {ended.returncode}")
        metrics = json.loads((Path(config.run_dir) / "metrics.json").read_text(encoding="utf-8"))
        return outcome(config, metrics, [])


def _search_path() -> list[str]:
    return [each for each in overrides() if each.startswith(f"{SEARCH_PATH}=")]
