"""One run: build the parts, fit or take what was fitted, evaluate, write the run directory. Names no method."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.utils import instantiate
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

from datamodules.base.transfer import check_transfer
from ground.errors import UserError
from ground.home import expand_home
from ground.values import check
from report.pictures import Pictures, confusion, numbered
from report.tables import result_line, run_table, screen
from running.checkpoints import AtomicCheckpointIO
from running.directory import FINISHED, LAST, RunDirectory, journal
from running.finished import FinishedRun
from running.launched import hush, is_first, refuse_other_processes
from running.loggers import GuardedLoggers, log_config, log_result
from running.resume import AUTO, found_again, goes_on, is_finished, of_another_aligner


def run(config: DictConfig) -> dict[str, Any]:
    """Fit and test one aligner on one datamodule; the run directory holds what came of it.

    With ``config.test``, a finished run, its aligner is tested again without a fit.

    Raises:
        UserError: a mistake in what the user gave, in one line.
    """
    expand_home(config)
    check(config)
    refuse_other_processes(config)
    hush()
    # of its beginning: another run of that second has the same
    written: Any = OmegaConf.to_container(config, resolve=False)
    stamped = "${now:" in written["run_dir"]
    if config.resume == AUTO and stamped:
        raise UserError("resume=auto goes on with the run in run_dir: set run_dir")
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    fitted = FinishedRun(config.test) if config.test is not None else None
    aligner = instantiate(config.aligner, _recursive_=False)
    # whatever it filled in itself belongs to the run's config
    OmegaConf.update(config, "aligner", dict(aligner.hparams), force_add=True)
    datamodule = instantiate(config.datamodule)
    other = instantiate(config.eval_datamodule)
    resumed = goes_on(config, is_first(config))
    if config.resume == AUTO and is_finished(config.run_dir):  # seen alike by all processes
        return _ended(config)
    if not is_first(config):
        return _run(config, fitted, aligner, datamodule, other, resumed, None)
    if fitted is not None:
        fitted.refuse_to_move_for(config.run_dir)
    with RunDirectory(config.run_dir, config, stamped, resumed is not None) as directory:
        # mistakes in the data show before processes are started and anything is computed
        datamodule.prepare_data()
        if other is not None:
            other.prepare_data()
            check_transfer(datamodule, other)
        return _run(config, fitted, aligner, datamodule, other, resumed, directory)


def _ended(config: DictConfig) -> dict[str, Any]:
    """What the run that is there came to: a job that is started again finds that it is done."""
    journal.info("%s holds a run that came to its end", config.run_dir)
    if is_first(config):
        screen().print(f"run directory: {config.run_dir}, whose run has come to its end", soft_wrap=True)
    metrics = json.loads((Path(config.run_dir) / FINISHED).read_text(encoding="utf-8"))
    return outcome(config, metrics, [])


def _run(
    config: DictConfig,
    fitted: FinishedRun | None,
    aligner: Any,
    datamodule: Any,
    other: Any | None,
    resumed: Path | None,
    directory: RunDirectory | None,
) -> dict[str, Any]:
    """One process's part of a run; the first process has the run directory."""
    evaluation = instantiate(config.evaluation)
    pictures = instantiate(config.report)
    evaluation.judges |= pictures.judges
    checkpoint = Path(config.run_dir) / LAST
    # by the time it is read, in any process, the first one has moved what stood in run_dir
    writer = AtomicCheckpointIO(partial(found_again, run_dir=config.run_dir, moved=True))
    callbacks: list[Callback] = [evaluation]
    if fitted is None:
        callbacks = [ModelCheckpoint(checkpoint.parent, filename="last", enable_version_counter=False), evaluation]
    guarded = GuardedLoggers(list(instantiate(config.logger).values()))
    loggers = guarded.loggers
    trainer: Trainer = instantiate(
        config.trainer,
        logger=loggers,
        callbacks=callbacks,
        plugins=[writer],
        default_root_dir=config.run_dir,
    )
    of_the_fit: dict[str, Any] = {}
    failed = True
    try:
        log_config(loggers, config)
        if fitted is None:
            with of_another_aligner(resumed), _matmul_precision(config.matmul_precision):
                trainer.fit(aligner, datamodule=datamodule, ckpt_path=resumed, weights_only=True)
            trainer.save_checkpoint(checkpoint)  # of the pass that evaluation keeps
        else:
            of_the_fit = fitted.fit_metrics
            fitted.restore(aligner, evaluation)
        trainer.test(aligner, datamodule=datamodule, verbose=False)
        if other is not None:
            evaluation.prefix = "transfer"
            trainer.test(aligner, datamodule=other, verbose=False)
        metrics = evaluation.metrics | of_the_fit
        if directory is not None:
            console = screen()
            # what cannot be written is shown
            name = f"{config.aligner_name} on {config.name}"
            console.print(run_table(metrics, name))
            journal.info("%s: %s", name, result_line(metrics))
            ranks = directory.write(metrics, evaluation.tests)
            console.print(f"run directory: {config.run_dir}", soft_wrap=True)
            figures = _figures(pictures, evaluation, aligner, datamodule, directory, name)
            log_result(loggers, config, metrics, figures, ranks, trainer.global_step)
            if writer.problem is not None:
                raise UserError(f"{writer.problem}; the result is whole, test=RUN and load(RUN) cannot be")
        failed = False
    except SystemExit as stop:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from stop
    finally:
        guarded.finish(failed)
    return outcome(config, metrics, evaluation.history) | {
        "passes": numbered(aligner),
        "first_number": aligner.first_number,
        "confusion": confusion(evaluation.tests["test"]),
    }


@contextmanager
def _matmul_precision(name: str) -> Iterator[None]:
    """Torch's precision of float32 products within the block: of the fit alone, features and ranks are as ever."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _figures(
    pictures: Pictures, evaluation: Any, aligner: Any, datamodule: Any, directory: RunDirectory, run: str
) -> dict[str, Figure]:
    """The figures, drawn and written; none where that fails, which costs the run no number."""
    try:
        figures = pictures.draw(evaluation, aligner, datamodule, run)
        directory.write_figures(figures)
    except Exception as error:
        journal.warning("the figures are left out", exc_info=error)
        reason = " ".join(str(error).split())
        print(f"warning: the figures are left out, {type(error).__name__}: {reason}", file=sys.stderr)
        return {}
    return figures


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
