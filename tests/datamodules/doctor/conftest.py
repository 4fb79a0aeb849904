from pathlib import Path

import pytest

from tests.datamodules.clotho_layout import Sound, write_clotho
from tests.datamodules.doctor.diagnoses import expect


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Sound]]:
    """A sound Clotho of both versions' sizes, in ``tmp_path``."""
    expect(monkeypatch)
    return write_clotho(tmp_path)
