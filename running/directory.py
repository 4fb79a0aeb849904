"""The run directory: made once, by the first process; what stood there before is kept beside it."""

import logging
import platform
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lightning
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

from evaluation.judged import Judged
from ground.errors import UserError
from ground.files import keep_former, to_json
from ground.mistakes import user_line
from running.ranks import write_ranks

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
journal = logging.getLogger("run")
"""Messages for train.log alone: the screen shows them in another form."""


class RunDirectory:
    """``config.yaml`` (complete, resolved), ``metrics.json``, ``ranks.safetensors``, ``figures/``, ``train.log``.

    A context: leaving it ends ``train.log``, with the error where one ended the run.

    Raises:
        UserError: a directory that cannot be written, or holds something that is no run.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> config = OmegaConf.create({"aligner_name": "cca", "name": "synthetic", "seed": 0})
        >>> with TemporaryDirectory() as folder, RunDirectory(f"{folder}/run", config) as directory:
        ...     sorted(path.name for path in directory.path.iterdir())
        ['config.yaml', 'figures', 'train.log']
    """

    def __init__(self, path: str, config: DictConfig):
        self.path = Path(path)
        self._config = config
        try:
            if self.path.exists() and not (self.path.is_dir() and not any(self.path.iterdir())):
                if not (self.path / "config.yaml").is_file():
                    raise UserError(f"run_dir={path} holds something that is no run: set another run_dir")
                keep_former(self.path.resolve())
            (self.path / "figures").mkdir(parents=True, exist_ok=True)
            OmegaConf.save(config, self.path / "config.yaml", resolve=True)
            self._log = logging.FileHandler(self.path / "train.log", encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write the run directory {path}: {error.strerror}; set another run_dir") from error
        self._log.setFormatter(logging.Formatter(LOG_FORMAT))
        logging.getLogger().addHandler(self._log)

    def __enter__(self) -> Self:
        config = self._config
        journal.info("%s on %s, seed %d", config.aligner_name, config.name, config.seed)
        journal.info(
            "python %s, torch %s with %d threads, lightning %s",
            platform.python_version(), torch.__version__, torch.get_num_threads(), lightning.__version__,
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            journal.error("interrupted")
        elif error is not None:
            line = user_line(error, [])
            journal.error(line or "ended by an error", exc_info=error if line is None else None)
        logging.getLogger().removeHandler(self._log)
        self._log.close()

    def write(self, metrics: dict[str, Any], figures: dict[str, Figure], tests: dict[str, Judged]) -> Path:
        """``ranks.safetensors`` of the tests, whose path is returned, the figures as PNG, and ``metrics.json``."""
        ranks = self.path / "ranks.safetensors"
        write_ranks(ranks, tests)
        for name, figure in figures.items():
            figure.savefig(self.path / "figures" / f"{name}.png", dpi=120)
        # the last: a run that has it came to its end
        (self.path / "metrics.json").write_text(to_json(metrics), encoding="utf-8")
        return ranks
