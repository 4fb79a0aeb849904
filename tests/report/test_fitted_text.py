"""Text of any kind fits its box."""

import pytest

from report.figures.fitted_text import fit_text, text_width
from tests.report.drawing import HARD


@pytest.mark.parametrize("text", HARD)
@pytest.mark.parametrize("n_lines", [1, 2])
def test_fit_text_fits(text: str, n_lines: int) -> None:
    lines = fit_text(text, 120, n_lines, 10)
    assert 1 <= len(lines) <= n_lines
    assert all(text_width(line, 10) <= 120 for line in lines)


def test_fit_text_by_example() -> None:
    assert fit_text("  a\n b ", 100, 2, 10) == ["a b"]
    assert fit_text("two words", 40, 2, 10) == ["two", "words"]
    assert fit_text("two, words", 45, 1, 10) == ["two…"]
    assert fit_text("日 a", 100, 1, 10) == ["□ a"]
