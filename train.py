"""One run: compose the config, build the parts, fit, evaluate, write the run directory. Names no method."""

import json
import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import hydra
import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from datamodules.base.transfer import check_transfer
from ground.errors import UserError
from ground.mistakes import opened, refuse_additions, user_line
from ground.values import check
from report.pictures import confusion, draw
from report.tables import result_line, run_table, screen
from running.checkpoints import AtomicCheckpointIO, find_checkpoint
from running.directory import RunDirectory, journal
from running.loggers import finish, log_config, log_result

failures: list[tuple[int, str]] = []
"""Exit code and line of what went wrong, told at the end: the other runs of a sweep go on."""
directories: set[str] = set()
"""Run directories of this sweep."""


def run(config: DictConfig) -> dict[str, Any]:
    """Fit and test one aligner on one datamodule; the run directory holds what came of it.

    Raises:
        UserError: a mistake in what the user gave, in one line.
    """
    check(config)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    aligner = instantiate(config.aligner, _recursive_=False)
    # whatever it filled in itself belongs to the run's config
    OmegaConf.update(config, "aligner", dict(aligner.hparams), force_add=True)
    datamodule = instantiate(config.datamodule)
    other = instantiate(config.eval_datamodule)
    if rank_zero_only.rank > 0:  # type: ignore[attr-defined]
        return _fit(config, aligner, datamodule, other, None)
    with RunDirectory(config.run_dir, config) as directory:
        # mistakes in the data show before processes are started and anything is computed
        datamodule.prepare_data()
        if other is not None:
            other.prepare_data()
            check_transfer(datamodule, other)
        return _fit(config, aligner, datamodule, other, directory)


def _fit(
    config: DictConfig, aligner: Any, datamodule: Any, other: Any | None, directory: RunDirectory | None
) -> dict[str, Any]:
    """One process's part of a run; the first process has the run directory."""
    evaluation = instantiate(config.evaluation)
    folder = Path(config.run_dir) / "checkpoints"
    checkpoint = ModelCheckpoint(folder, filename="last", enable_version_counter=False)
    loggers = list(instantiate(config.logger).values())
    trainer = instantiate(
        config.trainer,
        logger=loggers,
        callbacks=[checkpoint, evaluation],
        plugins=[AtomicCheckpointIO()],
        default_root_dir=config.run_dir,
    )
    failed = True
    try:
        log_config(loggers, config)
        resumed = find_checkpoint(config.resume, config.run_dir) if config.resume else None
        trainer.fit(aligner, datamodule=datamodule, ckpt_path=resumed, weights_only=True)
        trainer.save_checkpoint(folder / "last.ckpt")  # of the pass that evaluation keeps
        trainer.test(aligner, datamodule=datamodule, verbose=False)
        if other is not None:
            evaluation.prefix = "transfer"
            trainer.test(aligner, datamodule=other, verbose=False)
        metrics = evaluation.metrics
        if directory is not None:
            figures = draw(evaluation, aligner, datamodule)
            directory.write(metrics, figures)
            log_result(loggers, config, metrics, figures, trainer.global_step)
            journal.info("%s on %s: %s", config.aligner_name, config.name, result_line(metrics))
            console = screen()
            console.print(run_table(metrics, f"{config.aligner_name} on {config.name}, test split"))
            console.print(f"run directory: {config.run_dir}", soft_wrap=True)
        failed = False
    except SystemExit as stop:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from stop
    finally:
        finish(loggers, failed)
    return _result(config, metrics, evaluation.history) | {"confusion": confusion(evaluation, datamodule)}


def _result(config: DictConfig, metrics: dict[str, Any], history: list[dict[str, float]]) -> dict[str, Any]:
    return {
        "name": config.name,
        "aligner": config.aligner_name,
        "seed": config.seed,
        "run_dir": str(config.run_dir),
        "metrics": metrics,
        "history": history,
    }


def run_as_process(config: DictConfig) -> dict[str, Any]:
    """A run of a sweep that starts processes of its own: they would inherit the sweep's command line."""
    overrides = [*HydraConfig.get().overrides.task, f"run_dir='{config.run_dir}'"]
    ended = subprocess.run([sys.executable, str(Path(__file__).resolve()), *overrides], check=False)
    if ended.returncode:
        raise UserError(f"the run in {config.run_dir} ended with exit code {ended.returncode}")
    metrics = json.loads((Path(config.run_dir) / "metrics.json").read_text(encoding="utf-8"))
    return _result(config, metrics, [])


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(config: DictConfig) -> dict[str, Any] | None:
    hydra_config = HydraConfig.get()
    sweep = hydra_config.mode == RunMode.MULTIRUN
    try:
        refuse_additions(hydra_config.overrides.task, config)
        if sweep:
            if config.run_dir in directories:
                config.run_dir = f"{config.run_dir}_{hydra_config.job.num}"
            directories.add(config.run_dir)
            if config.trainer.strategy != "auto":
                return run_as_process(config)
        return run(config)
    except Exception as error:
        line = user_line(error, overrides())
        if line is None and not sweep:
            raise
        if line is None:
            traceback.print_exc()
        about = f"{config.aligner_name} on {config.name}, run {hydra_config.job.num}: " if sweep else ""
        failures.append((1 if line is None else 2, f"{about}{line or repr(error)}"))
        return None


def overrides() -> list[str]:
    """What the user set on the command line."""
    return [argument for argument in sys.argv[1:] if not argument.startswith("-")]


def cli() -> None:
    """The command line: exit code 2 and one line for a user's mistake, 1 and a traceback for ours, 130 at Ctrl-C."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing its own report
    failures.clear()
    directories.clear()
    sys.argv[1:] = opened(sys.argv[1:])
    console = logging.StreamHandler()
    # in train.log alone: warnings of libraries, and what the screen shows in another form
    console.addFilter(lambda record: record.name not in ("py.warnings", "hydra.utils", journal.name))
    logging.getLogger().addHandler(console)
    logging.getLogger().setLevel(logging.INFO)
    logging.captureWarnings(True)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # devices found and tips are no news
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted: what was written before is kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe is gone, as `head` is after its lines
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        line = user_line(error, overrides())
        if line is None:
            raise
        failures.append((2, line))
    finally:
        logging.getLogger().removeHandler(console)
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        for _, line in failures:
            print(f"error: {line}", file=sys.stderr)
    if failures:
        sys.exit(min(code for code, _ in failures))


if __name__ == "__main__":
    cli()
