"""Recall over a setting, end to end on tiny data."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks import curves, speed_contestants, timed_fit
from ground.configs import CONFIGS
from ground.errors import UserError
from tests.benchmarks.records import record_of


def test_each_value_is_fitted_and_drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[list[str]] = []

    def fitted(checkout: Path, overrides: list[str], limit: float) -> dict[str, Any]:
        asked.append(overrides)
        if "aligner.contrast_items=64" in overrides:
            return {"note": "stopped"}
        return timed_fit.measure(CONFIGS, overrides)

    monkeypatch.setattr(speed_contestants, "fitted", fitted)
    curves.main(["--shapes", "flickr30k", "--quick", "--repeats", "2"])
    record = record_of("curves")
    of = record["summary"]["flickr30k"]
    assert list(of) == ["16", "64"]
    assert of["64"] == {"note": "stopped"}
    assert len(of["16"]["val"]["values"]) == 2
    assert 0 < of["16"]["test"]["median"] <= 100
    assert [each[-2].rpartition("=")[2] for each in asked] == ["16", "64", "16"]  # what failed is not asked again
    (picture,) = Path("outputs/benchmarks/curves").glob("*_flickr30k.png")
    with Image.open(picture) as image:
        assert image.width > 800
    assert "contrast_items" in capsys.readouterr().out


def test_features_that_are_not_given() -> None:
    with pytest.raises(UserError, match="needs its features"):
        curves.main(["--shapes", "clipart"])
