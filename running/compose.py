"""What the user set on the command line."""

import re
import sys
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from ground.errors import UserError
from ground.home import at_home
from ground.mistakes import SEARCH_PATH, search_path

TAKES_VALUE = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p", "--cfg", "-c",
               "--info", "-i", "--experimental-rerun")  # fmt: skip
"""Options of Hydra's whose value is a word of its own."""


def options_first(arguments: list[str]) -> list[str]:
    """The arguments with options before overrides, which Hydra cannot read when they stand among these.

    Example:
        >>> options_first(["seed=0,1", "-m", "aligner=cca", "--config-dir", "conf"])
        ['-m', '--config-dir', 'conf', 'seed=0,1', 'aligner=cca']
    """
    before = ["", *arguments][: len(arguments)]
    is_option = [each.startswith("-") or last in TAKES_VALUE for last, each in zip(before, arguments, strict=True)]
    options = [each for each, of in zip(arguments, is_option, strict=True) if of]
    return options + [each for each, of in zip(arguments, is_option, strict=True) if not of]


def overrides() -> list[str]:
    """The overrides of the command line, ``--config-dir`` among them as one of ``hydra.searchpath``.

    Raises:
        UserError: an unknown flag, or one without its value.
    """
    parser = get_args_parser()
    parser.error = _refused  # type: ignore[method-assign]  # it would print all flags
    arguments = parser.parse_args(sys.argv[1:])
    given: list[str] = arguments.overrides
    folders = [at_home(folder) for folder in search_path(given)]
    if arguments.config_dir is not None:
        folders = [f"file://{Path(at_home(arguments.config_dir)).resolve()}", *folders]
    values = ",".join(map(quoted, folders))
    rest = [each for each in given if not each.startswith(f"{SEARCH_PATH}=")]
    return [*rest, f"{SEARCH_PATH}=[{values}]"] if folders else rest


def _refused(message: str) -> NoReturn:
    raise UserError(f"{message}: write key=value; --hydra-help tells the flags")


def quoted(text: str) -> str:
    """``text`` as a value of an override that Hydra reads as it is, whatever it holds.

    Example:
        >>> quoted("it's")
        "'it\\\\'s'"
    """
    # a backslash stands for itself unless a quote follows it
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"
