"""Diagnoses of small Clothos, and what their tables say."""

from pathlib import Path

import pytest

from datamodules import clotho as clotho_module
from datamodules.doctor.command import doctor
from datamodules.doctor.diagnosis import Diagnosis
from tests.datamodules.clotho_layout import SIZES, clotho


def expect(monkeypatch: pytest.MonkeyPatch, **sizes: int) -> None:
    """Make the sizes of the fixture those of the whole Clotho, but for ``sizes``."""
    version_1 = {folder: SIZES[folder] for folder in ("development", "evaluation")}
    monkeypatch.setattr(clotho_module, "CLIPS", {1: version_1, 2: SIZES | sizes})


def found(root: Path, read: bool = True) -> Diagnosis:
    return doctor(clotho(root, root / "cache"), read)


def table_of(diagnosis: Diagnosis) -> dict[str, list[str]]:
    """The cells of each row of the table."""
    assert diagnosis.table is not None
    columns = [list(column.cells) for column in diagnosis.table.columns]
    return {str(what): [str(cell) for cell in cells] for what, *cells in zip(*columns, strict=True)}
