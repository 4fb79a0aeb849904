"""train.py: objectives, their options, and aligners that are a short YAML."""

import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from aligners.base.yaml_defaults import aligner_config
from tests.cli import GRADIENT, SMALL, TRAIN, call, small


@pytest.mark.parametrize("aligner", [("aligner=unicon", "aligner.feature_map=identity", "aligner.passes=1"), GRADIENT])
@pytest.mark.parametrize(
    ("overrides", "bias"),
    [
        ([], -10.0),
        (["aligner.objective_options.bias=-3"], -3),
        (["aligner.objective_options={bias:-3}"], -3),  # as in README.md
        (["+aligner.objective_options={bias:-3}"], -3),
    ],
)
def test_options_of_an_objective(aligner: tuple[str, ...], overrides: list[str], bias: float, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    assert small(*overrides, *aligner, "aligner.objective=siglip", f"run_dir={run_dir}") == 0
    assert OmegaConf.load(run_dir / "config.yaml").aligner.objective_options == {"bias": bias}
    checkpoint = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["objective_options"] == {"bias": bias}
    if "bias" in checkpoint["state_dict"]:  # trained from there
        assert checkpoint["state_dict"]["bias"].item() == pytest.approx(bias, abs=0.1)


def test_readmes_example_of_an_objective_is_among_the_tested() -> None:
    line = "python train.py aligner=unicon aligner.objective=siglip aligner.objective_options={bias:-10}"
    assert line in (TRAIN.parent / "README.md").read_text(encoding="utf-8").splitlines()


def test_an_aligner_of_three_lines_has_a_complete_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "conf" / "aligner" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("defaults: [base/of_cosines@_here_, _self_]\nobjective: unicon\n", encoding="utf-8")
    folder, run_dir = f"--config-dir={file.parents[1]}", tmp_path / "run"
    assert call(folder, *SMALL, *GRADIENT[1:], "aligner=mine", f"run_dir={run_dir}") == 0
    written = OmegaConf.load(run_dir / "config.yaml").aligner
    assert written.pop("_target_") == "aligners.gradient.OfCosines"
    expected = aligner_config("base/of_cosines") | {"objective": "unicon", "objective_options": {"nu": 1.0}, "rank": 8}
    assert written == expected
    assert call(folder, *SMALL, "aligner=mine", "aligner.rnak=3") == 2
    assert "unknown key 'aligner.rnak': did you mean 'aligner.rank'" in capsys.readouterr().err


def test_a_sweep_over_objectives(tmp_path: Path) -> None:
    overrides = ["aligner.feature_map=identity", "aligner.passes=1", "aligner.objective_options.bias=-3,-4"]
    folder = [f"run_dir={tmp_path}/${{aligner.objective}}${{hydra:job.num}}", f"hydra.sweep.dir={tmp_path}"]
    assert small("-m", "aligner=unicon", "aligner.objective=siglip", *overrides, *folder) == 0
    assert small("-m", "aligner=unicon", "aligner.objective=clip,siglip,triplet", *overrides[:2], *folder) == 0
    swept = {
        path.name: OmegaConf.load(path / "config.yaml").aligner
        for path in tmp_path.iterdir()
        if (path / "config.yaml").is_file()
    }
    options = {name: dict(aligner.objective_options) for name, aligner in swept.items()}
    assert options == {
        "siglip0": {"bias": -3}, "siglip1": {"bias": -10.0}, "siglip1.1": {"bias": -4}, "clip0": {},
        "triplet2": {"margin": 0.2},
    }  # fmt: skip
    runs = json.loads((tmp_path / "sweep.json.1").read_text(encoding="utf-8"))
    assert "aligner.objective_options.bias=-3" in runs[0]["overrides"]
