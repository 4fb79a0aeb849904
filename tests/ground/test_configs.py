"""YAML files with their bases, composed without Hydra."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from ground.configs import CONFIGS, composed
from ground.errors import UserError

ALIGNERS = sorted(path.stem for path in (CONFIGS / "aligner").glob("*.yaml"))


def by_hydra(name: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        aligner: DictConfig = compose("train", overrides=["run_dir=r", f"aligner={name}", *overrides]).aligner
    return aligner


@pytest.mark.parametrize("name", ALIGNERS)
def test_bases_are_composed_as_hydra_does(name: str) -> None:
    mine = OmegaConf.to_container(composed(CONFIGS / "aligner" / f"{name}.yaml", "aligner"))
    assert mine == OmegaConf.to_container(by_hydra(name, "name=n", "aligner_name=a"))


@pytest.mark.parametrize(
    ("defaults", "rank"),
    [("[base/common@_here_, _self_]", 7), ("[base/common@_here_]", 7), ("[_self_, base/common@_here_]", 128)],
)
def test_a_file_of_ones_own_has_the_bases_of_the_project(tmp_path: Path, defaults: str, rank: int) -> None:
    file = tmp_path / "aligner" / "own.yaml"
    file.parent.mkdir()
    file.write_text(f"defaults: {defaults}\nrank: 7\nwidth: 2.0\n", encoding="utf-8")
    of_memory = OmegaConf.to_container(OmegaConf.load(CONFIGS / "aligner" / "base" / "memory.yaml"))
    assert isinstance(of_memory, dict)
    expected = {"rank": rank, "unit": True, "width": 2.0, **of_memory}
    assert composed(file, "aligner") == expected
    searched = f"hydra.searchpath=[file://{tmp_path}]"
    assert by_hydra("own", "name=n", "aligner_name=a", searched) == expected


def test_a_base_beside_a_file_is_taken_first(tmp_path: Path) -> None:
    (tmp_path / "cca.yaml").write_text("lam: 5\n", encoding="utf-8")
    (tmp_path / "own.yaml").write_text("defaults: [cca@_here_, _self_]\nrank: 3\n", encoding="utf-8")
    assert composed(tmp_path / "own.yaml", "aligner") == {"lam": 5, "rank": 3}


def test_what_does_not_exist_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("defaults: [base/comon@_here_, _self_]\n", encoding="utf-8")
    with pytest.raises(UserError, match="unknown aligner 'comon': did you mean 'common'"):
        composed(tmp_path / "own.yaml", "aligner")
    with pytest.raises(UserError, match="unknown aligner 'on': did you mean 'own'"):
        composed(tmp_path / "on.yaml", "aligner")
