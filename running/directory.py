"""The run directory: made once, by the first process; what stood there before is kept beside it."""

import logging
import platform
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from omegaconf import DictConfig, OmegaConf

from ground.errors import UserError
from ground.files import keep_former, to_json
from ground.mistakes import user_line
from running.owner import OWNER, Owner

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from evaluation.judged import Judged

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LAST, FINISHED = "checkpoints/last.ckpt", "metrics.json"
"""Files that say how far a run came."""
RESULT = "result"
"""The type of the artifact that has a run's files in Weights & Biases."""
journal = logging.getLogger("run")
"""Messages for train.log alone: the screen shows them in another form."""


class RunDirectory:
    """``config.yaml`` (complete, resolved), ``metrics.json``, ``ranks.safetensors``, ``figures/``, ``train.log``.

    A context: leaving it ends ``train.log``, with the error where one ended the run. It is this process's alone until
    then: no other run takes it, and it takes none from a living run.

    Args:
        path: where it is to be. A finished run there, or one that left no checkpoint, is moved aside.
        config: the run's; its ``run_dir`` becomes the path taken.
        numbered: ``path`` says when the run began, and others may have it: take ``path_1``, ... then.
        resumed: the run goes on from a checkpoint, so a run in ``path`` that did not end may be moved aside too.

    Attributes:
        path: the directory taken.

    Raises:
        UserError: a directory that cannot be written, that another run is in, or that holds something that is no run,
            or a run that did not end.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> config = OmegaConf.create({"aligner_name": "cca", "name": "synthetic", "seed": 0, "run_dir": ""})
        >>> with TemporaryDirectory() as folder, RunDirectory(f"{folder}/run", config) as directory:
        ...     sorted(path.name for path in directory.path.iterdir())
        ['.running', 'config.yaml', 'figures', 'train.log']
    """

    def __init__(self, path: str, config: DictConfig, numbered: bool = False, resumed: bool = False):
        self._config = config
        try:
            self.path, self._owner = _taken(Path(path), numbered, resumed)
            config.run_dir = str(self.path)
            (self.path / "figures").mkdir(exist_ok=True)
            OmegaConf.save(config, self.path / "config.yaml", resolve=True)
            self._log = logging.FileHandler(self.path / "train.log", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise UserError(f"cannot write the run directory {path}: {error.strerror}; set another run_dir") from error
        self._log.setFormatter(logging.Formatter(LOG_FORMAT))
        logging.getLogger().addHandler(self._log)

    def __enter__(self) -> Self:
        import lightning  # not before there is a run: --help and mistakes are told at once
        import torch

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
        self._owner.leave()

    def write(self, metrics: dict[str, Any], tests: "dict[str, Judged]") -> Path:
        """``ranks.safetensors`` of the tests, whose path is returned, and ``metrics.json``."""
        from running.ranks import write_ranks

        ranks = self.path / "ranks.safetensors"
        try:
            write_ranks(ranks, tests)
        finally:  # a run that has it came to its end
            (self.path / FINISHED).write_text(to_json(metrics), encoding="utf-8")
        return ranks

    def write_figures(self, figures: "dict[str, Figure]") -> None:
        """The figures as PNG."""
        for name, figure in figures.items():
            figure.savefig(self.path / "figures" / f"{name}.png", dpi=120)


def _taken(path: Path, numbered: bool, resumed: bool) -> tuple[Path, Owner]:
    """A directory that was made by this process, or was empty, and its hold on it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    while True:
        place = path.with_name(f"{path.name}_{number}") if number else path
        try:
            place.mkdir()
            return place, Owner(place)
        except FileExistsError:
            if numbered:
                number += 1
                continue
        _refuse_what_is_no_run(place)
        owner = Owner(place)
        if not any(each.name != OWNER for each in place.iterdir()):
            return place, owner
        if unfinished(place) and not resumed:
            owner.leave()
            raise UserError(
                f"run_dir={path} holds a run that did not end: resume=auto goes on with it, or set another run_dir"
            )
        owner.leave(keep_former(place.resolve()))


def _refuse_what_is_no_run(path: Path) -> None:
    names = {each.name for each in path.iterdir()} if path.is_dir() else {""}
    if names - {OWNER} and "config.yaml" not in names:
        raise UserError(f"run_dir={path} holds something that is no run: set another run_dir")


def unfinished(path: Path) -> bool:
    """Whether ``path`` holds a run that did not come to its end and left a checkpoint."""
    return (path / LAST).is_file() and not (path / FINISHED).is_file()
