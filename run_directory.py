"""The run directory: made once, by the first process; what stood there before is kept beside it."""

import json
import logging
import math
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

from errors import UserError

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class RunDirectory:
    """``config.yaml`` (complete, resolved), ``metrics.json``, ``checkpoints/``, ``figures/``, ``train.log``.

    Raises:
        UserError: a directory that cannot be written.
    """

    def __init__(self, path: str, config: DictConfig):
        self.path = Path(path)
        try:
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                self._keep_former()
            (self.path / "figures").mkdir(parents=True, exist_ok=True)
            OmegaConf.save(config, self.path / "config.yaml", resolve=True)
            self._log = logging.FileHandler(self.path / "train.log", encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write the run directory {path}: {error.strerror}; set another run_dir") from error
        self._log.setFormatter(logging.Formatter(LOG_FORMAT))
        logging.getLogger().addHandler(self._log)

    def _keep_former(self) -> None:
        number = 1
        while (former := self.path.with_name(f"{self.path.name}.{number}")).exists():
            number += 1
        self.path.rename(former)
        logging.getLogger(__name__).warning("%s held a run already: it is now %s", self.path, former)

    def write(self, metrics: dict[str, Any], figures: dict[str, Figure]) -> None:
        """``metrics.json`` and the figures as PNG."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in metrics.items()}
        text = json.dumps(dict(sorted(finite.items())), indent=2, ensure_ascii=False) + "\n"
        (self.path / "metrics.json").write_text(text, encoding="utf-8")
        for name, figure in figures.items():
            figure.savefig(self.path / "figures" / f"{name}.png", dpi=120)

    def close(self) -> None:
        """End the log file."""
        logging.getLogger().removeHandler(self._log)
        self._log.close()
