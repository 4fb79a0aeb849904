"""What every benchmark shares: its command line, statistics of repeats, tables, and the JSON record."""

import argparse
import logging
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

import torch
from rich.table import Table

from datamodules.cache.shards import write_atomically
from ground.errors import UserError
from ground.files import keep_former, to_json
from ground.home import path_at_home
from ground.mistakes import user_line
from ground.pipe import end_of_pipe
from report.tables import screen

PACKAGES = ("torch", "lightning", "numpy", "scipy", "scikit-learn", "cca-zoo")
FOLDER = Path("outputs/benchmarks")
ROOT = Path(__file__).resolve().parents[1]


class Parser(argparse.ArgumentParser):
    """Mistakes are told in one line, as everywhere."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists the options")


def command(main: Callable[[Sequence[str]], None]) -> NoReturn:
    """Run a benchmark's ``main`` on the command line: exit code 2 and one line for a user's mistake."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    logging.getLogger("py.warnings").propagate = False
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        print("interrupted: what was measured before is kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        end_of_pipe()
    except Exception as error:
        line = user_line(error, [])
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    with suppress(ValueError):
        if (number := int(text)) >= 1:
            return number
    raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")


def path(text: str) -> Path:
    """A path, for argparse; the shell leaves the ``~`` of ``--root=~/code`` as it is."""
    return path_at_home(text)


def error_of(stderr: str, code: int) -> str:
    """What a process had to say that ended with the exit code ``code``: its last line."""
    lines = stderr.strip().splitlines() or [f"exit code {code}"]
    return lines[-1].removeprefix("error: ")


def machine() -> dict[str, Any]:
    """What a time depends on beside the code."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        **{name: package_version(name) for name in PACKAGES},
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def package_version(name: str) -> str | None:
    """The version of an installed package, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


class Record:
    """``outputs/benchmarks/NAME/TIME.json``, written anew after every measurement: an end by force loses none.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self.path = FOLDER / name / f"{datetime.now():%Y-%m-%d_%H-%M-%S}.json"
        self.content: dict[str, Any] = {"benchmark": name, "settings": settings, "machine": machine()}
        with self._writing():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                keep_former(self.path)
        self.save()

    def save(self, **parts: Any) -> None:
        """Set the parts of the record, and write it."""
        self.content |= parts
        with self._writing():
            write_atomically(self.path, to_json(self.content).encode())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}; start it in a folder of your own") from error

    @contextmanager
    def ending(self, summarise: Callable[[], tuple[dict[str, Any], list[Table]]]) -> Iterator[None]:
        """Whatever ends the block, an error and Ctrl-C too: what was measured until then is summarised, shown and kept.

        ``summarise`` gives further parts of the record and the tables; none where nothing was measured.
        """
        try:
            yield
        finally:
            parts, tables = summarise()
            if tables:
                self.show(*tables)  # before it is kept, which a full disk may refuse
                self.save(**parts)

    def show(self, *tables: Table) -> None:
        """The tables, the machine and the record's path, on the screen."""
        facts = self.content["machine"]
        console = screen()
        for table in tables:
            console.print(table)
        where = f"{facts['gpu']} with " if facts["gpu"] else ""
        console.print(f"{where}{facts['cpu']}, {facts['threads']} threads, torch {facts['torch']}", soft_wrap=True)
        console.print(f"record: {self.path}", soft_wrap=True)


def child_environment() -> dict[str, str]:
    """For a process that runs a module of this package, from any working directory."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [ROOT, *sys.path]))}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, smallest and largest of repeats, and all of them in their order."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": list(values)}


def told(of: dict[str, Any], digits: int) -> str:
    """``median (min to max)`` of a ``spread``; of a single value, the value."""
    middle = f"{of['median']:.{digits}f}"
    return middle if len(of["values"]) == 1 else f"{middle} ({of['min']:.{digits}f} to {of['max']:.{digits}f})"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose first column holds names."""
    made = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left", overflow="fold", no_wrap=number == 0)
    for row in rows:
        made.add_row(*row)
    return made
