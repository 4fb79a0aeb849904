"""What an input of any kind may come to: a result, or a refusal in one line; and how many came to which."""

import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings

from datamodules.items.items import Unreadable
from ground.errors import UserError

T = TypeVar("T")

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "1500"))
"""Examples in all, which the kinds share."""
MOST_MEMORY = 4 * 2**30
LONGEST = 2500
"""Characters of a line: a longer one holds the whole of what it complains of."""


@dataclass
class Tally:
    """Examples of a kind, and what became of them."""

    examples: int = 0
    results: int = 0
    refusals: int = 0


TALLIES: dict[str, Tally] = {}


def share(of_all: float) -> Callable[[T], T]:
    """Settings of a test that has this share of the examples: the same ones in every run."""
    few: Any = settings(
        max_examples=max(1, round(of_all * EXAMPLES)),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return few  # type: ignore[no-any-return]


def outcome(kind: str, act: Callable[[], T]) -> T | None:
    """What ``act`` returns, or None where it is refused in one line; whatever else it raises is a fault.

    Raises:
        AssertionError: the refusal is no short line, or the process has taken more than 4 GB.
    """
    tally = TALLIES.setdefault(kind, Tally())
    tally.examples += 1
    result = None
    try:
        result = act()
        tally.results += 1
    except (UserError, Unreadable) as error:
        assert_line(str(error))
        tally.refusals += 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < MOST_MEMORY
    return result


def assert_line(text: str) -> None:
    """One line, not empty, not endless, which any terminal shows."""
    assert text.strip()
    assert len(text.splitlines()) == 1, text
    assert len(text) < LONGEST, f"{len(text)} characters: {text[:200]}"
    assert "\0" not in text, text
