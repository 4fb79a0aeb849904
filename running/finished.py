"""A finished run, whose aligner is judged again: its files, its config as it would be today, and its aligner."""

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf

from ground.configs import CONFIGS
from ground.errors import UserError
from ground.former import KEYS, arguments_of_today

if TYPE_CHECKING:
    from lightning import LightningModule

    from evaluation.callback import Evaluation

CARRIED = ("fit/", "val/", "model/", "data/", "energy/", "time/fit_seconds", "protocol/pass")
"""Metrics that are about the fit."""


class FinishedRun:
    """The run directory ``path``.

    Raises:
        UserError: there is no run, or it did not come to its end.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     (Path(folder) / "checkpoints").mkdir()
        ...     for name in ("config.yaml", "checkpoints/last.ckpt"):
        ...         (Path(folder) / name).touch()
        ...     written = (Path(folder) / "metrics.json").write_text('{"fit/passes": 3, "test/mean_recall": 4.0}')
        ...     FinishedRun(folder).fit_metrics
        {'fit/passes': 3}
    """

    def __init__(self, path: str):
        self.path = Path(path)
        self.checkpoint = self.path / "checkpoints" / "last.ckpt"
        if not (self.path / "config.yaml").is_file():
            raise UserError(f"test={path} is no run directory: there is no {self.path / 'config.yaml'}")
        for file in (self.path / "metrics.json", self.checkpoint):
            if not file.is_file():
                raise UserError(f"the run test={path} did not come to its end: there is no {file}")

    @property
    def config(self) -> DictConfig:
        """``config.yaml``; of a run before the pictures had a ``report``, with today's keys; of one on synthetic data
        before ``noise_place``, with the place that the noise had then; of one on views before ``pairs`` and policies,
        with them; of one before domains, without; of one of ``unicon`` before it had a span, with all directions.

        Raises:
            UserError: it cannot be read.
        """
        try:
            config = OmegaConf.load(self.path / "config.yaml")
        except (OSError, yaml.YAMLError) as error:
            raise UserError(f"cannot read {self.path / 'config.yaml'}: {' '.join(str(error).split())}") from error
        if not isinstance(config, DictConfig) or not {"aligner", "datamodule", "evaluation"} <= set(config):
            raise UserError(f"{self.path / 'config.yaml'} is no config of a run")
        for name in ("datamodule", "eval_datamodule"):
            data = config.get(name)
            if isinstance(data, DictConfig) and data.get("_target_") == "datamodules.synthetic.SyntheticDataModule":
                data.setdefault("noise_place", "outside")
            if isinstance(data, DictConfig) and "view_seed" in data:
                data.setdefault("pairs", "views")
                data.setdefault("text_backbone", None)
                data.setdefault("policy", "simclr")
                if data.get("_target_") == "datamodules.image_folder.ImageFolderDataModule":
                    data.setdefault("domains", False)
            if isinstance(data, DictConfig) and isinstance(data.get("columns"), DictConfig):
                data.columns.setdefault("domain", None)
        if isinstance(config.aligner, DictConfig) and "choice_items" in config.aligner:
            config.aligner = arguments_of_today(OmegaConf.to_container(config.aligner))  # type: ignore[arg-type]
        return config if "report" in config else _of_today(config)

    @property
    def fit_metrics(self) -> dict[str, Any]:
        """What ``metrics.json`` says of the fit.

        Raises:
            UserError: it cannot be read.
        """
        try:
            metrics = json.loads((self.path / "metrics.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {self.path / 'metrics.json'}: {error}") from error
        return {key: value for key, value in metrics.items() if key.startswith(CARRIED)}

    def restore(self, aligner: "LightningModule", evaluation: "Evaluation") -> None:
        """Make ``aligner`` the one that was fitted, and give ``evaluation`` the history of the fit.

        Raises:
            UserError: the checkpoint is none, or is another aligner's.
        """
        import torch  # not where a command line is read alone

        try:
            checkpoint = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            state, judged = checkpoint["state_dict"], checkpoint["callbacks"][evaluation.state_key]
        except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
            raise UserError(f"{self.checkpoint} is no whole checkpoint") from error
        try:
            aligner.on_load_checkpoint(checkpoint)
            aligner.load_state_dict(state)
        except (KeyError, RuntimeError) as error:
            name = type(aligner).__name__
            raise UserError(f"{self.checkpoint} is of another aligner than config.yaml's {name}") from error
        evaluation.load_state_dict(judged)

    def refuse_to_move_for(self, run_dir: str) -> None:
        """Raise UserError where a run in ``run_dir`` would move this one aside."""
        if self.path.resolve().is_relative_to(Path(run_dir).resolve()):
            raise UserError(f"run_dir={run_dir} holds the run that is judged again: set another run_dir")


def _of_today(config: DictConfig) -> DictConfig:
    """The config of a run whose ``evaluation`` held the keys of the pictures, and no judges."""
    evaluation, report = (OmegaConf.load(CONFIGS / group / "default.yaml") for group in ("evaluation", "report"))
    for former, key in KEYS.items():
        name = former.rpartition(".")[2]
        if name in config.evaluation:
            OmegaConf.update(report, key.rpartition(".")[2], config.evaluation.pop(name))
    config.evaluation = OmegaConf.merge(evaluation, config.evaluation)
    config.report = report
    return config
