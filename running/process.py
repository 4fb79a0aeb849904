"""The process of a command line: its logs, its errors in one line, and its exit code."""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from io import StringIO
from typing import Any

from ground.configs import CONFIGS
from ground.home import arguments_at_home
from ground.mistakes import opened, refuse_repeated, user_line
from ground.pipe import end_of_pipe
from ground.progress import is_rank_zero
from running.compose import options_first, overrides
from running.directory import journal
from running.rejudge import with_run


def command_line(main: Callable[[], Any], failures: list[tuple[int, str]]) -> None:
    """Call Hydra's ``main`` with what the command line says; it adds to ``failures``, exit code and line of each.

    Exit code 2 and one line for a user's mistake, 1 and a traceback for ours, 130 at Ctrl-C.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing its own report
    given: list[str] = []
    with ExitStack() as parts, _told(failures, given):  # an error is told while the run of test=RUN can be composed
        sys.argv[1:] = opened(arguments_at_home(options_first(sys.argv[1:])))
        given += overrides()
        refuse_repeated(given)
        further = parts.enter_context(with_run(given))
        given += further
        if further:  # where processes that are started find them too, beside the one that asks for them
            place = next(i for i, each in enumerate(sys.argv) if each.lstrip("+").startswith("test="))
            sys.argv[place:place] = further
        with _help_without_bases():
            main()


def plain_command_line(name: str, main: Callable[[list[str]], None]) -> None:
    """Call ``main`` with the arguments of a command line that composes no config; exit codes as ``command_line``.

    ``--help`` prints ``configs/NAME.yaml``, which has its keys.
    """
    with _told([], []):
        if {"--help", "-h"} & set(sys.argv[1:]):
            print((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"), end="")
        else:
            main(sys.argv[1:])


@contextmanager
def _told(failures: list[tuple[int, str]], given: list[str]) -> Iterator[None]:
    """A block whose logs go to the screen, and whose errors end the process, told in one line where they can be."""
    console = logging.StreamHandler()
    # in train.log alone: warnings of libraries, and what the screen shows in another form
    console.addFilter(lambda record: record.name not in ("py.warnings", "hydra.utils", journal.name))
    logging.getLogger().addHandler(console)
    logging.getLogger().setLevel(logging.INFO)
    logging.captureWarnings(True)
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)  # it tells of each model that it loads
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted: what was written before is kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        end_of_pipe()
    except Exception as error:
        line = user_line(error, given)
        if line is None:
            raise
        failures.append((2, line))
    finally:
        logging.getLogger().removeHandler(console)
    if is_rank_zero():
        for _, line in failures:
            print(f"error: {line}", file=sys.stderr)
    if failures:
        sys.exit(min(code for code, _ in failures))


@contextmanager
def _help_without_bases() -> Iterator[None]:
    """Leave out of ``--help`` the folders of what files share, from which nothing is picked."""
    if not {"--help", "-h"} & set(sys.argv[1:]):
        yield
        return
    text = StringIO()
    try:
        with redirect_stdout(text):
            yield
    finally:
        for line in text.getvalue().splitlines():
            if not re.match(r"\S+/base: ", line):
                print(line)
