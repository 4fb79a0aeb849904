"""Compare aligners head to head: ``python compare.py --help``. What a contest is stands in ``comparison/``."""

from comparison.command import compare
from running.process import command_line

__all__ = ["cli"]


def cli() -> None:
    """The command line: exit code 2 and one line for a user's mistake, 1 and a traceback for ours, 130 at Ctrl-C."""
    command_line(compare, [])


if __name__ == "__main__":
    cli()
