"""Whether the raw data of a datamodule is complete and sound: ``python -m datamodules.doctor mscoco data_dir=DIR``."""

import argparse
import sys
from typing import TYPE_CHECKING

from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ground.configs import CONFIGS
from ground.errors import UserError, nearest
from ground.home import arguments_at_home, expand_home
from ground.mistakes import refuse_additions, refuse_repeated, user_line
from ground.pipe import end_of_pipe
from ground.values import check

if TYPE_CHECKING:
    from datamodules.base.extracted import ExtractedDataModule
    from datamodules.doctor.diagnosis import Diagnosis
    from datamodules.doctor.inspection import Split
    from datamodules.items.raw_pairs import RawPairs

UNUSED = ("name=doctor", "aligner_name=doctor", "run_dir=doctor")
"""Keys that only a run can resolve."""


def doctor(data: "ExtractedDataModule", read: bool) -> "Diagnosis":
    """Look at all raw items of a datamodule; ``read``: and decode every file. Loads no backbone.

    Raises:
        UserError: annotations that cannot be used, of data that has no official layout.
    """
    from datamodules.doctor.diagnosis import Diagnosis, diagnose  # not for --help

    layout = data.layout
    try:
        raw = data.read()
    except UserError as error:
        if layout is None:
            raise
        obtain = "" if layout.obtain in str(error) else layout.obtain
        return Diagnosis(None, [str(error)], [], "cannot be read", obtain)
    return diagnose(_inspected(raw, read), (data.x_name, data.y_name), layout, read)


def _inspected(raw: "dict[str, RawPairs]", read: bool) -> "dict[str, Split]":
    from datamodules.doctor.inspection import inspect
    from datamodules.items.missing import files_there

    n_files = sum(
        int(files_there(items).sum())
        for pairs in raw.values()
        for items in (pairs.x, pairs.y)
        if getattr(items, "paths", None) is not None
    )
    screen = Console(stderr=True)
    columns = TextColumn("reading files"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=screen, transient=True, disable=not (read and screen.is_terminal)) as progress:
        bar = progress.add_task("", total=n_files)
        return {name: inspect(pairs, read, lambda n: progress.advance(bar, n)) for name, pairs in raw.items()}


def built(name: str, overrides: list[str]) -> "ExtractedDataModule | None":
    """The datamodule ``configs/datamodule/NAME.yaml`` under ``overrides``; None for one without raw data.

    Raises:
        UserError, HydraException, OmegaConfBaseException: mistakes in these.
    """
    known = sorted(path.stem for path in (CONFIGS / "datamodule").glob("*.yaml"))
    if name not in known:
        raise UserError(f"unknown datamodule '{name}': {nearest(name, known)}")
    overrides = arguments_at_home(overrides)
    refuse_repeated([f"datamodule={name}", *overrides])
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", overrides=[*UNUSED, f"datamodule={name}", *overrides])
    refuse_additions(overrides, config)
    expand_home(config)
    check(config)
    from datamodules.base.extracted import ExtractedDataModule

    if not issubclass(get_class(config.datamodule._target_), ExtractedDataModule):
        return None
    data: ExtractedDataModule = instantiate(config.datamodule)
    return data


def tell(name: str, found: "Diagnosis") -> None:
    """Print a diagnosis."""
    screen = Console(highlight=False, markup=False, emoji=False)
    if not screen.is_terminal:
        screen.width = 160
    if found.table is not None:
        screen.print(found.table)
    for word, style, lines in (("wrong", "red", found.problems), ("note", "yellow", found.notes)):
        for line in lines:
            screen.print(Text.assemble((f"{word}: ", style), line), soft_wrap=True)
    screen.print(Text(f"{name}: {found.verdict}", style="red" if found.problems else "green"), soft_wrap=True)
    if found.obtain:
        screen.print(Text(f"to get it: {found.obtain}"), soft_wrap=True)


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 sound and complete, 1 something is missing or wrong, 2 a mistake of the user."""
    parser = argparse.ArgumentParser("python -m datamodules.doctor", description=__doc__)
    parser.add_argument("name", help="of a file in configs/datamodule")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for train.py: data_dir=DIR")
    parser.add_argument("--quick", action="store_true", help="look for files without reading them")
    given = parser.parse_intermixed_args(arguments)
    try:
        data = built(given.name, given.overrides)
        if data is None:
            print(f"{given.name}: nothing to check, it has no raw data")
            return 0
        found = doctor(data, read=not given.quick)
        tell(given.name, found)
    except BrokenPipeError:
        end_of_pipe()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        line = user_line(error, [f"datamodule={given.name}", *given.overrides])
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        return 2
    return 1 if found.problems else 0
