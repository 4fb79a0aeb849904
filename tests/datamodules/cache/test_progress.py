"""Progress of extraction, on the first process alone."""

import sys
from pathlib import Path

import pytest

from tests.datamodules.cached import Fake, build, texts


@pytest.mark.parametrize(
    ("ask", "terminal", "rank", "shown"),
    [(True, True, "0", True), (False, True, "0", False), (True, False, "0", False), (True, True, "1", False)],
)
def test_progress_is_shown_to_whoever_looks(
    ask: bool, terminal: bool, rank: str, shown: bool,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    cache = build(tmp_path)
    cache.features(texts(8), Fake(delay=0.01), progress=ask)
    captured = capsys.readouterr()
    assert captured.out == ""
    if shown:
        assert "captions train" in captured.err
        assert "items/s" in captured.err
    else:
        assert captured.err == ""
    cache.features(texts(8), Fake(), progress=ask)
    assert capsys.readouterr() == ("", "")
