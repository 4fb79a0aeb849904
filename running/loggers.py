"""What the loggers of a run are told beside its metrics."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

from ground.errors import UserError
from report.tables import COLUMNS, Metrics, retrieval_rows
from running.directory import FINISHED, RESULT


class GuardedLoggers:
    """Loggers that take no result with them: what fails after the fit began is kept, and told at the end.

    Attributes:
        loggers: Lightning's, for the Trainer.
        problem: the first that was met, or None.

    Example:
        >>> guarded = GuardedLoggers([CSVLogger("no folder")])
        >>> guarded.loggers[0].finalize("success")
        >>> guarded.problem is None
        True
    """

    CALLED = ("log_metrics", "save", "after_save_checkpoint", "finalize")

    def __init__(self, loggers: list[Logger]):
        self.loggers = loggers
        self.problem: UserError | None = None
        for each in loggers:
            for name in self.CALLED:
                setattr(each, name, self._guarded(each, getattr(each, name)))

    def _guarded(self, logger: Logger, method: Callable[..., None]) -> Callable[..., None]:
        @wraps(method)
        def call(*args: Any, **named: Any) -> None:
            try:
                with told(logger):
                    method(*args, **named)
            except UserError as error:
                self._keep(error)

        return call

    def _keep(self, error: UserError) -> None:
        self.problem = self.problem or error
        logging.getLogger("py.warnings").warning("%s", error, exc_info=error)

    def finish(self, failed: bool) -> None:
        """End the loggers: the next run of a sweep begins its own.

        Raises:
            UserError: one had failed, and nothing else.
        """
        for each in self.loggers:
            each.finalize("failed" if failed else "success")
            if isinstance(each, WandbLogger) and each._experiment is not None:  # begun, in the first process
                try:
                    with told(each):
                        each._experiment.finish(exit_code=int(failed))
                except UserError as error:
                    self._keep(error)
        if self.problem is not None and not failed:
            raise self.problem


def log_config(loggers: list[Logger], config: DictConfig) -> None:
    """The complete, resolved config, to every logger that keeps more than a table of numbers.

    Raises:
        UserError: a logger fails, which then knows nothing of the run.
    """
    for each in loggers:
        if not isinstance(each, CSVLogger):
            with told(each):
                each.log_hyperparams(_plain(config))


def log_result(
    loggers: list[Logger], config: DictConfig, metrics: Metrics, figures: dict[str, Figure], ranks: Path, step: int
) -> None:
    """The figures, the final metrics and the files of the run, beside ``ranks``, to the loggers that show or keep such.

    Raises:
        UserError: a logger fails.
    """
    for each in loggers:
        with told(each):
            _log_result(each, config, metrics, figures, ranks, step)


def _log_result(
    logger: Logger, config: DictConfig, metrics: Metrics, figures: dict[str, Figure], ranks: Path, step: int
) -> None:
    if isinstance(logger, WandbLogger):
        for name, figure in figures.items():
            logger.log_image(f"figures/{name}", [figure], step)
        logger.log_table("test/retrieval", list(COLUMNS), retrieval_rows(metrics), step=step)
        logger.experiment.summary.update(metrics)
        logger.experiment.log_artifact(_files(ranks.parent, logger.experiment.id))
    elif isinstance(logger, TensorBoardLogger):
        for name, figure in figures.items():
            logger.experiment.add_figure(f"figures/{name}", figure, step, close=False)
        logger.log_hyperparams(_plain(config), {"hparams/mean_recall": metrics["test/mean_recall"]}, step)


def _files(folder: Path, run: str) -> Any:
    """An artifact of what a report needs of a run, in the places that it has in its directory."""
    import wandb

    artifact = wandb.Artifact(f"{RESULT}-{run}", RESULT)
    for file in (folder / "config.yaml", folder / FINISHED, folder / "ranks.safetensors", folder / "csv/metrics.csv",
                 *sorted((folder / "figures").glob("*.png"))):  # fmt: skip
        if file.is_file():
            artifact.add_file(str(file), file.relative_to(folder).as_posix())
    return artifact


@contextmanager
def told(logger: Logger) -> Iterator[None]:
    """Make any error of the logger's a line that names it: it is foreign code, and what it failed at may be a disk."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split("For further information")[0].split())
        name = type(logger).__name__
        raise UserError(f"{name}: {reason or type(error).__name__}; logger=csv goes without others") from error


def _plain(config: DictConfig) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(config, resolve=True)
    return values  # type: ignore[no-any-return]
