"""The title of an image, as far as it tells one drawing from another."""

from __future__ import annotations

import re


def normalise_title(title: str) -> str:
    """The key under which titles count as one: 'Frog 01', 'frog_2' and 'Frog (B and W)' all give 'frog'."""
    text = re.sub(r"[\W\d_]+", " ", title.casefold())
    return " ".join(re.sub(r"\b(b and w|black and white|b w|bw)\b", " ", text).split())
