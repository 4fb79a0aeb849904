"""Text of any kind in a given width: measured with the font that draws it."""

from functools import cache

from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import text_to_path

_FONT = FontProperties(family="DejaVu Sans")  # comes with matplotlib, so text looks the same everywhere


def fit_text(text: str, width: float, n_lines: int, size: float) -> list[str]:
    """``text`` as at most ``n_lines`` lines of at most ``width`` points at font size ``size``.

    White space becomes single spaces, a character that the font lacks a box; what does not fit ends in an
    ellipsis.
    """
    words = "".join(c if _known(c) else "□" for c in " ".join(text.split())).split(" ")
    lines: list[str] = []
    while words and len(lines) < n_lines:
        n_words = next(
            (n for n in range(1, len(words)) if text_width(" ".join(words[: n + 1]), size) > width), len(words)
        )
        line, words = " ".join(words[:n_words]), words[n_words:]
        if text_width(line, size) > width:  # one word, longer than a line: broken anywhere
            n = next((n for n in range(1, len(line)) if text_width(line[: n + 1], size) > width), 1)
            line, words = line[:n], [line[n:], *words]
        lines.append(line)
    if words:
        last = lines[-1]
        while last and text_width(last + "…", size) > width:
            last = last[:-1]
        lines[-1] = last.rstrip(" ,.;:") + "…"
    return lines


def text_width(text: str, size: float) -> float:
    """Width in points of ``text`` at font size ``size``. Drawn in whole pixels, it is some 3 % off."""
    return size * sum(map(_advance, text))


@cache
def _advance(character: str) -> float:
    """Width of a character in a line, at font size 1."""
    with_it, without = (
        text_to_path.get_text_width_height_descent(t, _FONT, ismath=False)[0] for t in (f"n{character}n", "nn")
    )
    return float(with_it - without) / _FONT.get_size_in_points()


@cache
def _known(character: str) -> bool:
    """Whether the font has a glyph for it."""
    return ord(character) in get_font(findfont(_FONT)).get_charmap()
