"""What the user set on the command line."""

import re
import sys
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from ground.errors import UserError
from ground.home import at_home
from ground.mistakes import SEARCH_PATH, search_path


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
