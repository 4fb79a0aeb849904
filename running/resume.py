"""``resume``: which run goes on, from which checkpoint, and whether it goes on as it began."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import DictConfig, OmegaConf

from ground.errors import UserError
from running.directory import FINISHED, LAST, unfinished

AUTO = "auto"
SAME = (
    "seed", "aligner", "datamodule", "evaluation.keep", "evaluation.select", "trainer.max_epochs", "trainer.precision",
    "trainer.gradient_clip_val", "trainer.accumulate_grad_batches",
)  # fmt: skip
"""What a fit that goes on must have as it had: schedules, kept passes and numbers hang on them."""


def goes_on(config: DictConfig, first: bool) -> Path | None:
    """The checkpoint that the run of ``config`` goes on from, before its run directory is taken; None: it begins anew.

    ``first``: by the process that will take the run directory. Another may look before that, after it, or just then:
    it finds the same checkpoint, in the place where it was or where it is.

    Raises:
        UserError: there is none where one is asked for, it is no checkpoint, or the settings differ from its run's.
    """
    while True:
        found = _found(config, first)
        if found is None:
            return None
        try:
            _refuse_no_checkpoint(found)
            _refuse_other_settings(found, config)
        except UserError:
            if first or found.is_file():
                raise
        else:
            return found


def _found(config: DictConfig, first: bool) -> Path | None:
    if config.resume is None:
        return None
    run_dir = Path(config.run_dir)
    if config.resume == AUTO:
        if is_finished(run_dir):
            _refuse_other_settings(run_dir / LAST, config)
            return None
        last = next((run for run in _former(run_dir) if unfinished(run)), None)
        return None if last is None else last / LAST
    return found_again(config.resume, run_dir, moved=not first)


def found_again(path: str | Path, run_dir: str | Path, moved: bool) -> Path:
    """The checkpoint ``path``, also where its run directory ``run_dir`` has been moved aside: the newest there is.

    ``moved``: by this run too, which moves a run that came to its end.

    Raises:
        UserError: there is none.
    """
    found, directory = Path(path).resolve(), Path(run_dir).resolve()
    if not found.exists() and found.is_relative_to(directory):
        inside = [run / found.relative_to(directory) for run in _former(directory, past_the_end=moved)]
        found = next((each for each in inside if each.is_file()), found)
    if not found.is_file():
        raise UserError(f"no checkpoint at resume={path}: give the path of a last.ckpt")
    return found


def is_finished(run_dir: str | Path) -> bool:
    """Whether ``run_dir`` holds a run that came to its end."""
    return (Path(run_dir) / FINISHED).is_file()


@contextmanager
def of_another_aligner(checkpoint: Path | None) -> Iterator[None]:
    """Tell in a line that the weights of ``checkpoint``, None for a fit from the beginning, are another aligner's."""
    try:
        yield
    except RuntimeError as error:
        if checkpoint is None or "loading state_dict" not in str(error):
            raise
        raise UserError(f"resume={checkpoint} is of another aligner than this run's") from error


def _former(run_dir: Path, past_the_end: bool = False) -> Iterator[Path]:
    """``run_dir`` and what stood there before, the newest first, down to a run that came to its end if not past it."""
    yield run_dir
    number = 1
    while run_dir.with_name(f"{run_dir.name}.{number}").exists():
        number += 1
    for each in range(number - 1, 0, -1):
        former = run_dir.with_name(f"{run_dir.name}.{each}")
        if is_finished(former) and not past_the_end:
            return
        yield former


def _refuse_no_checkpoint(path: Path) -> None:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        whole = {"state_dict", "loops", "callbacks"} <= set(checkpoint)
    except Exception:  # of any of torch's readers, as the file may be anything
        whole = False
    if not whole:
        raise UserError(f"resume={path} is no checkpoint of a fit: give the path of a last.ckpt")


def _refuse_other_settings(checkpoint: Path, config: DictConfig) -> None:
    file = checkpoint.parents[1] / "config.yaml"
    if not file.is_file():  # a checkpoint that was copied out of its run
        return
    try:
        before: Any = OmegaConf.load(file)
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"cannot read {file}: {' '.join(str(error).split())}") from error
    for key in SAME:
        line = _difference(key, _plain(before, key), _plain(config, key))
        if line is not None:
            raise UserError(f"resume goes on with the settings of {file.parent}: {line}; without resume a run begins")


def _plain(config: Any, key: str) -> Any:
    value = OmegaConf.select(config, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _difference(key: str, before: Any, now: Any) -> str | None:
    """The first setting that differs, by its key; one that only one of the two knows is of another version."""
    if isinstance(before, dict) and isinstance(now, dict):
        lines = (_difference(f"{key}.{each}", before[each], now[each]) for each in before if each in now)
        return next((line for line in lines if line is not None), None)
    return None if before == now or _is_place(key) else f"{key} was {before}, here it is {now}"


def _is_place(key: str) -> bool:
    """Whether it says where data lies or how it is read, which may change between two machines."""
    return key.rpartition(".")[2] in ("path", "data_dir", "cache_dir", "root", "workers", "num_workers")
