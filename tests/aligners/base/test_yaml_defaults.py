"""Constructor arguments from a YAML."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aligners.base.yaml_defaults import aligner_config, defaults_from
from aligners.gradient import OfCosines
from aligners.unicon import UniConSpectral
from ground.configs import CONFIGS
from ground.errors import UserError


@pytest.fixture
def own(tmp_path: Path) -> type[OfCosines]:
    """A class of one's own with a YAML of three lines beside it."""
    (tmp_path / "own.yaml").write_text(
        "defaults: [base/of_cosines@_here_, _self_]\nobjective: siglip\nwidth: 3\n", encoding="utf-8"
    )

    @defaults_from(tmp_path / "own.yaml")
    class Own(OfCosines):
        def __init__(self, *, width: int, **common: Any):
            super().__init__(**common)
            self.width = width

    return Own


def test_a_file_of_ones_own_gives_the_defaults(own: type[OfCosines]) -> None:
    aligner = own(rank=4)
    assert (aligner.rank, aligner.width, aligner.tau_min) == (4, 3, 0.01)
    expected = aligner_config("base/of_cosines") | {"objective": "siglip", "width": 3, "rank": 4}
    assert aligner.hparams == expected | {"objective_options": {"bias": -10.0}}
    with pytest.raises(UserError, match="Own has no argument 'wdth': did you mean 'width'"):
        own(wdth=4)


def test_options_of_an_objective_are_kept_whole() -> None:
    assert UniConSpectral(objective="siglip").hparams["objective_options"] == {"bias": -10.0}
    given = UniConSpectral(objective="siglip", objective_options={"bias": -3})
    assert given.hparams["objective_options"] == {"bias": -3}
    assert UniConSpectral().hparams["objective_options"] == {}


def test_bases_are_no_aligners() -> None:
    bases = {path.stem for path in (CONFIGS / "aligner" / "base").glob("*.yaml")}
    assert bases
    assert not bases & {path.stem for path in (CONFIGS / "aligner").glob("*.yaml")}


def test_configs_are_found_beside_another_folder_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "__init__.py").touch()
    (tmp_path / "script.py").write_text(
        "import torch\nfrom aligners import CCA\n"
        "x = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))\n"
        "print(CCA(rank=2).fit(x, x).encode_x(x).shape)\n",
        encoding="utf-8",
    )
    root = str(CONFIGS.parent)
    ended = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "torch.Size([30, 2])" in ended.stdout
