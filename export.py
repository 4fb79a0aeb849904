"""Take a finished run out of the project: ``python export.py --help``. What that is stands in ``exporting/``."""

from exporting.command import export
from running.process import plain_command_line

__all__ = ["cli"]


def cli() -> None:
    """The command line: exit code 2 and one line for a user's mistake, 1 and a traceback for ours, 130 at Ctrl-C."""
    plain_command_line(export)


if __name__ == "__main__":
    cli()
