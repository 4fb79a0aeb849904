"""A contest in Weights & Biases: its runs in one group, and beside them one with the table, the page and the files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from comparison.results import Standing
from comparison.tables import cells
from ground.errors import UserError

FILES = ("report.html", "results.parquet", "ranks.parquet", "table.csv", "table.md", "table.tex")
KEY = "logger.wandb"


def join(config: DictConfig, group: str, row: str, data: str, kind: str) -> None:
    """Put a run with this logger into the contest's group, its row and its data as tags, as a job of a ``kind``."""
    if OmegaConf.select(config, KEY) is not None:
        for key, value in {"group": group, "job_type": kind, "tags": [*config.tags, row, data]}.items():
            OmegaConf.update(config, f"{KEY}.{key}", value, force_add=True)


def project_of(configs: Sequence[DictConfig]) -> str | None:
    """The project that the runs are logged to; None where they are not."""
    found = (OmegaConf.select(config, f"{KEY}.project") for config in configs)
    return next((str(each) for each in found if each is not None), None)


def log_contest(folder: Path, group: str, project: str, tables: dict[str, list[Standing]]) -> None:
    """A run of the job type ``contest``: tables, the page as a panel, and files and figures as an artifact.

    ``WANDB_MODE`` is respected: an offline run is synced later.

    Raises:
        UserError: what the service, or its folder, fails of; the contest's own files are there.
    """
    import wandb

    try:
        with wandb.init(project=project, group=group, job_type="contest", name=f"{group} contest", dir=folder) as run:
            shown: dict[str, Any] = {}
            for data, table in tables.items():
                titles, *rows = cells(table)
                shown[f"table/{data}"] = wandb.Table([each or "told apart" for each in titles], rows)
            run.log(shown | {"report": wandb.Html((folder / FILES[0]).read_text(encoding="utf-8"), inject=False)})
            artifact = wandb.Artifact(f"contest-{run.id}", "contest")
            for file in (*(folder / name for name in FILES), *sorted((folder / "figures").iterdir())):
                if file.is_file():
                    artifact.add_file(str(file), str(file.relative_to(folder)))
            run.log_artifact(artifact)
    except Exception as error:  # foreign code, and what it failed of may be a disk or a network
        raise UserError(
            f"Weights & Biases: {' '.join(str(error).split()) or type(error).__name__}; the report is in {folder}"
        ) from error
