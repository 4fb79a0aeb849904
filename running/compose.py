"""What the user set on the command line."""

import sys
from pathlib import Path

from hydra._internal.utils import get_args_parser

from ground.mistakes import SEARCH_PATH, search_path


def overrides() -> list[str]:
    """The overrides of the command line, ``--config-dir`` among them as one of ``hydra.searchpath``."""
    arguments = get_args_parser().parse_args(sys.argv[1:])
    given: list[str] = arguments.overrides
    folders = search_path(given)
    if arguments.config_dir is not None:
        folders = [f"file://{Path(arguments.config_dir).resolve()}", *folders]
    quoted = ",".join("'" + folder.replace("'", "\\'") + "'" for folder in folders)
    rest = [each for each in given if not each.startswith(f"{SEARCH_PATH}=")]
    return [*rest, f"{SEARCH_PATH}=[{quoted}]"] if folders else rest
