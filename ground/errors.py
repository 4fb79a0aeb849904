"""The one error that a user sees as a single line: what was wrong, what was got, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake in what the user gave. The command line prints its one line and ends with exit code 2.

    Example:
        >>> try:
        ...     raise UserError(f"unknown key 'rnak': {nearest('rnak', ['rank', 'tau'])}")
        ... except UserError as error:
        ...     print(error)
        unknown key 'rnak': did you mean 'rank'?
    """


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
    shown = [name for name in known if "." not in name] or known
    return "known are " + ", ".join(shown)
