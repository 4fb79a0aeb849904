"""One run: compose the config, build the parts, fit, evaluate, write the run directory. Names no method."""

import json
import logging
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig
from rich.console import Console

from config_errors import ConfigMistake, explain, refuse_additions
from errors import UserError
from evaluation.pictures import draw
from evaluation.report import run_table
from run_directory import RunDirectory

failures: list[str] = []


def run(config: DictConfig) -> dict[str, Any]:
    """Fit and test one aligner on one datamodule; the run directory holds what came of it.

    Raises:
        UserError: a mistake in what the user gave, in one line.
    """
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    aligner = instantiate(config.aligner, _recursive_=False)
    datamodule = instantiate(config.datamodule)
    first = rank_zero_only.rank == 0
    directory = RunDirectory(config.run_dir, config) if first else None
    try:
        if first:  # mistakes in the data show before processes are started and anything is computed
            datamodule.prepare_data()
            datamodule.setup("fit")
        evaluation = instantiate(config.evaluation)
        checkpoint = ModelCheckpoint(
            Path(config.run_dir) / "checkpoints", filename="last", enable_version_counter=False
        )
        trainer = instantiate(
            config.trainer,
            logger=list(instantiate(config.logger).values()),
            callbacks=[checkpoint, evaluation],
            default_root_dir=config.run_dir,
        )
        trainer.fit(aligner, datamodule=datamodule)
        trainer.test(aligner, datamodule=datamodule, verbose=False)
        if directory is not None and trainer.is_global_zero:
            figures = draw(evaluation, getattr(aligner, "singular_values", None), datamodule)
            directory.write(evaluation.metrics, figures)
            _log_figures(trainer.loggers, figures)
            console = Console()
            console.print(run_table(evaluation.metrics, f"{config.aligner_name} on {config.name}, test split"))
            console.print(f"run directory: {config.run_dir}", soft_wrap=True)
        for each in trainer.loggers:
            each.finalize("success")
    except Exception as error:
        logging.getLogger("train").debug("ended by", exc_info=error)
        raise
    finally:
        if directory is not None:
            directory.close()
    return {
        "name": config.name,
        "aligner": config.aligner_name,
        "seed": config.seed,
        "run_dir": str(config.run_dir),
        "metrics": evaluation.metrics,
    }


def _log_figures(loggers: list[Any], figures: dict[str, Any]) -> None:
    for each in loggers:
        if isinstance(each, lightning.pytorch.loggers.WandbLogger):
            for name, figure in figures.items():
                each.log_image(key=f"figures/{name}", images=[figure])
        elif isinstance(each, lightning.pytorch.loggers.TensorBoardLogger):
            for name, figure in figures.items():
                each.experiment.add_figure(name, figure)


def run_as_process(config: DictConfig) -> dict[str, Any]:
    """A run of a sweep that starts processes of its own: they would inherit the sweep's command line."""
    overrides = [*HydraConfig.get().overrides.task, f"run_dir={config.run_dir}"]
    ended = subprocess.run([sys.executable, str(Path(__file__).resolve()), *overrides], check=False)
    if ended.returncode:
        raise UserError(f"the run in {config.run_dir} ended with exit code {ended.returncode}")
    metrics = json.loads((Path(config.run_dir) / "metrics.json").read_text(encoding="utf-8"))
    return {"name": config.name, "aligner": config.aligner_name, "seed": config.seed,
            "run_dir": str(config.run_dir), "metrics": metrics}  # fmt: skip


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(config: DictConfig) -> dict[str, Any] | None:
    sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        refuse_additions(HydraConfig.get().overrides.task)
        return run_as_process(config) if sweep and config.trainer.strategy != "auto" else run(config)
    except Exception as error:
        line = user_line(error)
        if line is None:
            raise
        # told at the end: the other runs of a sweep go on
        failures.append(f"{config.aligner_name} on {config.name}: {line}" if sweep else line)
        return None


def overrides() -> list[str]:
    """What the user set on the command line."""
    return [argument for argument in sys.argv[1:] if not argument.startswith("-")]


def user_line(error: BaseException) -> str | None:
    """The line that tells a user's mistake, or None where the error is ours."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, InstantiationException):
        cause = error.__cause__
        return user_line(cause) if cause is not None and not isinstance(cause, TypeError) else explain(error, overrides())
    if isinstance(error, ConfigMistake):
        return explain(error, overrides())
    return None


def cli() -> None:
    """The command line: exit code 2 and one line for a user's mistake, a traceback for ours."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing its own report
    console = logging.StreamHandler(sys.stderr)
    console.addFilter(lambda record: record.name != "py.warnings")  # those go to train.log alone
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[console])
    logging.captureWarnings(True)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # devices found and tips are no news
    try:
        main()
    except Exception as error:
        line = user_line(error)
        if line is None:
            raise
        failures.append(line)
    for line in failures:
        print(f"error: {line}", file=sys.stderr)
    if failures:
        sys.exit(2)


if __name__ == "__main__":
    cli()
