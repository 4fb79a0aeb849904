"""The one error that a user sees as a single line: what was wrong, what was got, what to do."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 2000
"""Characters of a line: of a longer one, which quotes a whole cell or file, the middle is left out."""
UNSHOWN = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Ends of lines, what steers a terminal, and halves of characters."""


class UserError(Exception):
    """A mistake in what the user gave. The command line prints its one line and ends with exit code 2.

    What the line quotes is made fit for one: ends of lines and the like are escaped, the middle of a long one left out.

    Example:
        >>> try:
        ...     raise UserError(f"unknown key 'rnak': {nearest('rnak', ['rank', 'tau'])}")
        ... except UserError as error:
        ...     print(error)
        unknown key 'rnak': did you mean 'rank'?
    """

    def __init__(self, line: str):
        super().__init__(shown(line))


def shown(text: str) -> str:
    """``text`` as one line that any terminal shows.

    Example:
        >>> shown("two\\nlines")
        'two\\\\nlines'
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} [...] {text[-LONGEST // 2 :]}"
    return UNSHOWN.sub(lambda found: repr(found[0])[1:-1], text)


def nearest(name: str, known: Iterable[str]) -> str:
    """The names closest to a mistyped one, as a phrase: ``did you mean 'rank' or 'seed'?``; else a few of them.

    Example:
        >>> nearest("rnak", ["rank", "tau"])
        "did you mean 'rank'?"
    """
    known = sorted(known)
    if not known:
        return "there are none"
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    top = [name for name in known if "." not in name] or known
    return "known are " + ", ".join(top)
