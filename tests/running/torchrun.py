"""train.py in two processes that know of each other by the variables that torchrun sets."""

import os
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from running import run
from tests.cli import small
from tests.processes import exit_codes, free_port

TWO = ("trainer=ddp_cpu", "trainer.devices=2", "datamodule.batch_size=20", "aligner=sgd_clip", "trainer.max_epochs=2")


def work(rank: int, port: int, late: int, folder: Path, overrides: tuple[str, ...]) -> None:
    """One process of the two; the process ``late`` comes to the run directory when the other was there."""
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "none",
    }  # fmt: skip
    os.chdir(folder)
    flag = folder / "other was there"

    def told(function: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            flag.touch()
            return function(*args, **named)

        return call

    def waiting(function: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            until = time.monotonic() + 60
            while not flag.exists() and time.monotonic() < until:
                time.sleep(0.01)
            return function(*args, **named)

        return call

    # the first process waits to take the directory, or the second to look at it
    names, change = (("goes_on" if rank else "RunDirectory",), waiting) if rank == late else (("_run", "_ended"), told)
    with patch.multiple(run, **{name: change(getattr(run, name)) for name in names}):
        sys.exit(small(*TWO, *overrides))


def by_two(folder: Path, late: int, *overrides: str) -> list[int | None]:
    """The exit codes of both processes, in ``folder``."""
    (folder / "other was there").unlink(missing_ok=True)
    port = free_port()
    return exit_codes(work, ((rank, port, late, folder, overrides) for rank in range(2)), seconds=60)
