"""The number of inputs of each kind and what became of them, at the end of a run."""

from typing import Any

from tests.fuzz.outcome import TALLIES


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not TALLIES:
        return
    terminalreporter.section("fuzz")
    terminalreporter.write_line(f"{'kind':<28} {'examples':>9} {'results':>9} {'one line':>9}")
    for kind, tally in sorted(TALLIES.items()):
        terminalreporter.write_line(f"{kind:<28} {tally.examples:>9,} {tally.results:>9,} {tally.refusals:>9,}")
    terminalreporter.write_line(f"{'all':<28} {sum(each.examples for each in TALLIES.values()):>9,}")
