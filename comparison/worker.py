"""One run of a contest, in a process of its own: a fork of one that has imported what runs need."""

import logging
import os
import select
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from comparison.before import raw_map
from comparison.items import described
from comparison.job import Ended
from ground.files import to_json
from ground.home import expand_home
from ground.mistakes import user_line
from running.directory import LAST
from running.resume import is_finished
from running.run import run


def run_job(config: dict[str, Any], log: str) -> Ended:
    """Run ``config``, or go on with what is in its ``run_dir``; its screen is the file ``log``.

    An error of the run is an ending like others; what kills the process is the caller's to tell.
    """
    folder = config["run_dir"]
    with _screen(Path(log)):
        try:
            if not is_finished(folder) and not (Path(folder) / LAST).is_file():
                shutil.rmtree(folder, ignore_errors=True)  # a run that was killed before it came to a checkpoint
            run(OmegaConf.create(config | {"resume": "auto"}))
        except Exception as error:
            line = user_line(error, [])
            if line is not None:
                print(f"error: {line}", file=sys.stderr)
                return Ended("declined", line)
            traceback.print_exc()
            return Ended("failed", f"{type(error).__name__}: {' '.join(str(error).split())}")
    return Ended("finished")


def prepare_data(config: dict[str, Any], log: str) -> Ended:
    """Extract the features of a data set into the cache, where they are not: runs that begin together find them.

    What that took, and what test items look like, stands beside the log, as JSON.
    """
    with _screen(Path(log)):
        try:
            read = OmegaConf.create(config)
            expand_home(read)
            made = [each for each in map(instantiate, (read.datamodule, read.eval_datamodule)) if each is not None]
            for datamodule in made:
                datamodule.setup()
            told = {
                "seconds": sum(each.feature_seconds for each in made),
                "items": sum(each.extracted_items for each in made),
            }
            file = Path(log).with_suffix(".json")
            if told["items"] or not file.exists():  # what extracted them stands, not what found them
                file.write_text(to_json(told | described(made[0])), encoding="utf-8")
                if (figure := raw_map(made[0], read.name)) is not None:
                    figure.savefig(file.with_suffix(".png"), dpi=120)
        except Exception as error:
            line = user_line(error, [])
            if line is None:
                traceback.print_exc()
            return Ended("declined" if line else "failed", line or f"{type(error).__name__}: {error}")
    return Ended("finished")


def begin(threads: int, device: str | None, contest: int | None) -> None:
    """What every process of a contest begins with; it does not outlive ``contest``, the process that wants it.

    None is a contest on another machine, which ends its processes there by other means.
    """
    if contest is not None:
        threading.Thread(target=_end_with, args=(contest,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the contest's, which stops its processes
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    torch.set_num_threads(threads)
    # train.log holds what it does of a run from the command line
    logging.getLogger().setLevel(logging.INFO)
    logging.captureWarnings(True)


def _end_with(process: int) -> None:
    """End this process when another has ended, which is not its parent: that is the one it was forked of."""
    try:
        select.select([os.pidfd_open(process)], [], [])
    except (AttributeError, OSError):  # no Linux, or it has ended already
        while _is_there(process):
            time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


@contextmanager
def _screen(log: Path) -> Iterator[None]:
    """What is written on the screen, by libraries of C too, goes to the file: the process has no other to write to."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    yield
    sys.stdout.flush()
    sys.stderr.flush()
