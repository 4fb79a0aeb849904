"""Damage to the bytes of a file, and planted names that tell whether a pairing is the one that was written."""

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

PLACES = 10_000
FEW = 6
"""Bytes that an edit takes away or repeats: fewer than stand between the two names of a row."""


class Edit(NamedTuple):
    """``kind`` of damage at ``place`` of ``PLACES`` of the file; ``data`` is put in."""

    kind: str
    place: int
    data: bytes

    def on(self, content: bytes) -> bytes:
        at = self.place * len(content) // PLACES
        match self.kind:
            case "over":
                return content[:at] + self.data + content[at + len(self.data) :]
            case "in":
                return content[:at] + self.data + content[at:]
            case "out":
                return content[:at] + content[at + len(self.data) :]
            case "again":
                return content[: at + FEW] + content[at:]
            case _:
                return content[:at]


def edits(words: Sequence[bytes], most: int = 3, cut: bool = True) -> st.SearchStrategy[list[Edit]]:
    """Up to ``most`` edits with ``words`` or any few bytes; none in about half of the cases."""
    kinds = ["over", "in", "out", "again", *(["cut"] if cut else [])]
    data = st.sampled_from(words) | st.binary(min_size=1, max_size=3)
    one = st.builds(Edit, st.sampled_from(kinds), st.integers(0, PLACES), data)
    return st.just([]) | st.lists(one, min_size=1, max_size=most)


def edited(content: bytes, changes: Sequence[Edit]) -> bytes:
    for change in changes:
        content = change.on(content)
    return content


def planted(number: int) -> str:
    """A name of a number that no damage of a few bytes makes of another one."""
    return f"{number:02d}-{hashlib.sha256(str(number).encode()).hexdigest()[:12]}"


PLANTED = {planted(number): number for number in range(100)}


def number_of(text: str, form: str) -> int | None:
    """The number whose planted name stands at ``{}`` of ``form``, where ``text`` is exactly that; else None."""
    found = re.fullmatch(re.escape(form).replace(r"\{\}", r"(\d\d-[0-9a-f]{12})"), text)
    return PLANTED.get(found[1]) if found else None
