"""One run: build the parts, fit or take what was fitted, evaluate, write the run directory. Names no method."""

from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.utils import instantiate
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from datamodules.base.transfer import check_transfer
from ground.values import check
from report.pictures import confusion
from report.tables import result_line, run_table, screen
from running.checkpoints import AtomicCheckpointIO, find_checkpoint
from running.directory import RunDirectory, journal
from running.finished import FinishedRun
from running.loggers import finish, log_config, log_result


def run(config: DictConfig) -> dict[str, Any]:
    """Fit and test one aligner on one datamodule; the run directory holds what came of it.

    With ``config.test``, a finished run, its aligner is tested again without a fit.

    Raises:
        UserError: a mistake in what the user gave, in one line.
    """
    check(config)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    fitted = FinishedRun(config.test) if config.test is not None else None
    aligner = instantiate(config.aligner, _recursive_=False)
    # whatever it filled in itself belongs to the run's config
    OmegaConf.update(config, "aligner", dict(aligner.hparams), force_add=True)
    datamodule = instantiate(config.datamodule)
    other = instantiate(config.eval_datamodule)
    if rank_zero_only.rank > 0:  # type: ignore[attr-defined]
        return _run(config, fitted, aligner, datamodule, other, None)
    if fitted is not None:
        fitted.refuse_to_move_for(config.run_dir)
    with RunDirectory(config.run_dir, config) as directory:
        # mistakes in the data show before processes are started and anything is computed
        datamodule.prepare_data()
        if other is not None:
            other.prepare_data()
            check_transfer(datamodule, other)
        return _run(config, fitted, aligner, datamodule, other, directory)


def _run(
    config: DictConfig,
    fitted: FinishedRun | None,
    aligner: Any,
    datamodule: Any,
    other: Any | None,
    directory: RunDirectory | None,
) -> dict[str, Any]:
    """One process's part of a run; the first process has the run directory."""
    evaluation = instantiate(config.evaluation)
    pictures = instantiate(config.report)
    evaluation.judges |= pictures.judges
    folder = Path(config.run_dir) / "checkpoints"
    callbacks: list[Callback] = [evaluation]
    if fitted is None:
        callbacks = [ModelCheckpoint(folder, filename="last", enable_version_counter=False), evaluation]
    loggers = list(instantiate(config.logger).values())
    trainer: Trainer = instantiate(
        config.trainer,
        logger=loggers,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=config.run_dir,
    )
    of_the_fit: dict[str, Any] = {}
    failed = True
    try:
        log_config(loggers, config)
        if fitted is None:
            resumed = find_checkpoint(config.resume, config.run_dir) if config.resume else None
            trainer.fit(aligner, datamodule=datamodule, ckpt_path=resumed, weights_only=True)
            trainer.save_checkpoint(folder / "last.ckpt")  # of the pass that evaluation keeps
        else:
            of_the_fit = fitted.fit_metrics
            fitted.restore(aligner, evaluation)
        trainer.test(aligner, datamodule=datamodule, verbose=False)
        if other is not None:
            evaluation.prefix = "transfer"
            trainer.test(aligner, datamodule=other, verbose=False)
        metrics = evaluation.metrics | of_the_fit
        if directory is not None:
            figures = pictures.draw(evaluation, aligner, datamodule)
            ranks = directory.write(metrics, figures, evaluation.tests)
            log_result(loggers, config, metrics, figures, ranks, trainer.global_step)
            journal.info("%s on %s: %s", config.aligner_name, config.name, result_line(metrics))
            console = screen()
            console.print(run_table(metrics, f"{config.aligner_name} on {config.name}, test split"))
            console.print(f"run directory: {config.run_dir}", soft_wrap=True)
        failed = False
    except SystemExit as stop:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from stop
    finally:
        finish(loggers, failed)
    return outcome(config, metrics, evaluation.history) | {"confusion": confusion(evaluation.tests["test"])}


def outcome(config: DictConfig, metrics: dict[str, Any], history: list[dict[str, float]]) -> dict[str, Any]:
    """What a sweep's table and figures are made from."""
    return {
        "name": config.name,
        "aligner": config.aligner_name,
        "seed": config.seed,
        "run_dir": str(config.run_dir),
        "metrics": metrics,
        "history": history,
    }
