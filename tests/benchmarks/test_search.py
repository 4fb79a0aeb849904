"""The benchmark of the search page, on a small run."""

from pathlib import Path

import pytest

from benchmarks import search
from ground.errors import UserError
from tests.benchmarks.records import record_of
from tests.cli import small


def test_it_measures_every_text_at_every_size(picture_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search.main(["--run", str(picture_run), "--items", "50", "3000", "--queries", "4", "--exact-items", "1000"])
    found = record_of("search")["summary"]
    assert {name: of["index"] for name, of in found.items()} == {"50": "ExactIndex", "3,000": "ListedIndex"}
    assert all(len(of["ms"]["values"]) == 4 for of in found.values())
    assert "4 texts" in capsys.readouterr().out


def test_a_run_of_features_has_no_texts() -> None:
    assert small("run_dir=run") == 0
    with pytest.raises(UserError, match=r"^run is no run on images and texts$"):
        search.main(["--run", "run"])
