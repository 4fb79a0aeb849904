"""The experiments on the latent-factor models: new data with each seed, and sweeps by their name alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from ground.configs import CONFIGS
from tests.cli import call

SWEEPS = sorted(
    path.stem
    for path in (CONFIGS / "experiment").glob("synthetic_*.yaml")
    if path.stem.endswith(("_paper", "_fair", "_passes"))
)
TINY = (
    "datamodule.n_train=60", "datamodule.n_val=20", "datamodule.n_test=20", "aligner.rank=8", "trainer.max_epochs=2",
    "trainer.enable_progress_bar=false", "trainer.accelerator=cpu", "report.sheet_items=1",
)  # fmt: skip


def composed(*overrides: str) -> Any:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("train", overrides=list(overrides), return_hydra_config=True)


@pytest.mark.parametrize("name", SWEEPS)
def test_seeds_of_a_sweep_draw_new_data(name: str) -> None:
    config = composed(f"experiment={name}", "seed=3", "run_dir=run")
    assert config.datamodule.data_seed == 3
    assert config.hydra.sweeper.params.seed == "0,1,2,3,4"


def test_a_sweep_experiment_is_run_by_its_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = ["experiment=synthetic_linear_paper", "report.tsne_items=5", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    assert call(*sweep, *TINY, "seed=0") == 0
    runs = json.loads((tmp_path / "sweep" / "sweep.json").read_text(encoding="utf-8"))
    assert [run["aligner"] for run in runs] == ["unicon_paper", "sgd_clip_paper"]
    assert all((Path(run["run_dir"]) / "figures" / "embedding_map.png").is_file() for run in runs)
    assert {path.stem for path in (tmp_path / "sweep" / "figures").iterdir()} >= {"accuracy_over_passes", "by_setting"}


def test_the_command_line_replaces_what_an_experiment_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("experiment=synthetic_linear_paper", "hydra.mode=RUN", "aligner=cca", *TINY, "run_dir=run") == 0
    assert (tmp_path / "run" / "metrics.json").is_file()
    assert not (tmp_path / "outputs").exists()
    sweep = ["experiment=synthetic_linear_paper", "aligner=pls", "seed=1", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    assert call(*sweep, *TINY) == 0
    (run,) = json.loads((tmp_path / "sweep" / "sweep.json").read_text(encoding="utf-8"))
    assert (run["aligner"], run["seed"]) == ("pls", 1)
