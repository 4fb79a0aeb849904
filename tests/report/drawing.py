"""What the tests of figures share: texts of any kind, and a figure drawn for real."""

import io

from matplotlib.figure import Figure

HARD = [
    "costs $5 or $6",
    "日本語 🎉 \x00\u200d",
    "x_1^2 \\frac{",
    "",
    "  a\n\tb ",
    "w" * 400,
    "many words " * 60,
]


def draw(figure: Figure) -> list[str]:
    """All texts of the figure, drawn for real."""
    figure.savefig(io.BytesIO(), format="png")
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
