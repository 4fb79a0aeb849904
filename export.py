"""Take a finished run out of the project: ``python export.py --help``. What that is stands in ``exporting/``."""

from running.process import plain_command_line

__all__ = ["cli"]


def main(arguments: list[str]) -> None:
    """The work, whose libraries take seconds to import."""
    from exporting.command import export

    export(arguments)


def cli() -> None:
    """The command line: exit code 2 and one line for a user's mistake, 1 and a traceback for ours, 130 at Ctrl-C."""
    plain_command_line("export", main)


if __name__ == "__main__":
    cli()
