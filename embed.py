"""Embed new items with a finished run: ``python embed.py --help``. What that is stands in ``searching/``."""

from running.process import plain_command_line

__all__ = ["cli"]


def main(arguments: list[str]) -> None:
    """The work, whose libraries take seconds to import."""
    from searching.embed import embed

    embed(arguments)


def cli() -> None:
    """The command line: exit code 2 and one line for a user's mistake, 1 and a traceback for ours, 130 at Ctrl-C."""
    plain_command_line("embed", main)


if __name__ == "__main__":
    cli()
