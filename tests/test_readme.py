"""The README's code, as it stands there."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from datamodules.clipart import DATA
from tests.problems import random_features

README = Path(__file__).parents[1] / "README.md"


def code(section: str) -> str:
    """The first Python of a section."""
    text = README.read_text(encoding="utf-8")
    found = re.search(rf"^## {section}\n.*?```python\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def test_what_was_fitted_is_used(picture_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, x_of_y = (rows.numpy() for rows in random_features(60, 2, 24, 20, seed=0))
    Image.open(DATA / "images" / "animals" / "a-simple-pig.webp").convert("RGB").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"x": x, "y": y, "x_of_y": x_of_y, "RUN": str(picture_run)}
    exec(compile(code("Use what was fitted"), str(README), "exec"), names)
    assert names["cosines"].shape == (60, 120)
    assert torch.equal(names["same"].encode_x(x), names["aligner"].encode_x(x))
    assert (tmp_path / "aligner.safetensors").is_file()
    assert names["photos"].shape == (1, 8)
    assert names["best"] in names["captions"]
