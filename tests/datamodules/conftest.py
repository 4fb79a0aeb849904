"""What the tests of several rooms of datamodules ask for."""

from pathlib import Path

import pytest
from PIL import Image

from datamodules.images import policies
from tests.datamodules.clotho_layout import write_clotho


class Same:
    """In the place of an augmentation: the image as it is."""

    description = "same"

    def __init__(self, size: int | None) -> None:
        pass

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        return image


@pytest.fixture
def same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "SimCLR", Same)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A Clotho of version 2, on disk."""
    write_clotho(tmp_path / "clotho")
    return tmp_path / "clotho"
