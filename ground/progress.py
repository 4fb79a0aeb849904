"""A progress bar on the terminal, in the first process alone."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


@contextmanager
def progress_bar(name: str, total: int, done: int, *, visible: bool) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal's stderr, gone when the block ends; yields the function that advances it."""
    # A console of its own, so that it does not collide with another live display.
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
    )
    visible = visible and sys.stderr.isatty() and is_rank_zero()
    with Progress(*columns, console=console, transient=True, disable=not visible) as bar:
        task = bar.add_task(name, total=total, completed=done)
        yield lambda n: bar.advance(task, n)


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} items/s")


def is_rank_zero() -> bool:
    """Whether this is the only process, or the first of many, by the variables that launchers set."""
    # a global rank says it all; those of a node and within it stand beside none where Lightning starts the processes
    for names in (("RANK",), ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK"), ("SLURM_PROCID",)):
        if given := [os.environ[name] for name in names if name in os.environ]:
            return all(rank == "0" for rank in given)
    return True
