"""What the loggers of a run are told beside its metrics."""

from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

from report.tables import COLUMNS, Metrics, retrieval_rows


def log_config(loggers: list[Logger], config: DictConfig) -> None:
    """The complete, resolved config, to every logger that keeps more than a table of numbers."""
    for each in loggers:
        if not isinstance(each, CSVLogger):
            each.log_hyperparams(_plain(config))


def log_result(
    loggers: list[Logger], config: DictConfig, metrics: Metrics, figures: dict[str, Figure], ranks: Path, step: int
) -> None:
    """The figures, the final metrics and the file of the ranks, to the loggers that show or keep such."""
    for each in loggers:
        if isinstance(each, WandbLogger):
            for name, figure in figures.items():
                each.log_image(f"figures/{name}", [figure], step)
            each.log_table("test/retrieval", list(COLUMNS), retrieval_rows(metrics), step=step)
            each.experiment.summary.update(metrics)
            each.experiment.log_artifact(str(ranks), f"ranks-{each.experiment.id}", "ranks")
        elif isinstance(each, TensorBoardLogger):
            for name, figure in figures.items():
                each.experiment.add_figure(f"figures/{name}", figure, step, close=False)
            each.log_hyperparams(_plain(config), {"hparams/mean_recall": metrics["test/mean_recall"]}, step)


def finish(loggers: list[Logger], failed: bool) -> None:
    """End the loggers: the next run of a sweep begins its own."""
    for each in loggers:
        each.finalize("failed" if failed else "success")
        if isinstance(each, WandbLogger) and each._experiment is not None:  # begun, in the first process
            each._experiment.finish(exit_code=int(failed))


def _plain(config: DictConfig) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(config, resolve=True)
    return values  # type: ignore[no-any-return]
