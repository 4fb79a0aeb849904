"""docs/adding.md: the package of a user's own that stands there, by its commands, without a change of the project."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from tests.cli import SMALL, TRAIN, call, metrics_of
from tests.problems import random_features

TEXT = (TRAIN.parent / "docs" / "adding.md").read_text(encoding="utf-8")
FILES = re.findall(r"^`(own/[\w./]+)`:\n\n```\w+\n(.*?)```$", TEXT, re.DOTALL | re.MULTILINE)
COMMANDS = [
    shlex.split(line)[2:] for block in re.findall(r"^```console\n(.*?)```$", TEXT, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]  # fmt: skip


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package, in the current folder and importable."""
    for name, content in FILES:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "own"
    for name in [name for name in sys.modules if name.partition(".")[0] == "own"]:
        del sys.modules[name]


def test_the_package_is_small() -> None:
    assert [name for name, _ in FILES] == [
        "own/soft_margin.py", "own/conf/aligner/soft_margin.yaml", "own/soft_cca.py", "own/conf/aligner/soft_cca.yaml",
    ]  # fmt: skip
    assert all(len(content.splitlines()) <= 30 for _, content in FILES)
    assert len(COMMANDS) == 3


@pytest.mark.parametrize("command", COMMANDS, ids=["solved", "trained", "closed form"])
def test_a_command_finds_it(command: list[str], own: Path, tmp_path: Path) -> None:
    quick = [each for each in SMALL if not each.startswith("aligner=")]
    if "aligner=unicon" in command:
        quick += ["aligner.feature_map=identity", "aligner.passes=2"]
    assert call(*command, *quick, "trainer.max_epochs=20", f"run_dir={tmp_path / 'run'}") == 0
    metrics = metrics_of(tmp_path / "run")
    assert metrics["test/mean_recall"] > 40  # chance is some 27
    aligner = OmegaConf.load(tmp_path / "run" / "config.yaml").aligner
    assert aligner.rank == 8
    assert aligner.unit is True  # of the project's bases


def test_a_mistake_in_its_keys_is_told(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [f"hydra.searchpath=[file://{own / 'conf'}]", "aligner=soft_cca"]
    quick = [each for each in SMALL if not each.startswith("aligner=")]
    assert call(*found, *quick, "aligner.treshold=1") == 2
    assert "unknown key 'aligner.treshold': did you mean 'aligner.threshold'" in capsys.readouterr().err
    assert call(*found, *quick, "aligner.threshold=-1") == 2
    assert "aligner.threshold must be at least 0, got -1" in capsys.readouterr().err


def test_both_engines_and_a_notebook_have_the_same_objective(own: Path) -> None:
    from own.soft_cca import SoftCCA  # type: ignore[import-not-found]
    from own.soft_margin import SoftMargin  # type: ignore[import-not-found]

    from aligners.gradient import OfCosines
    from aligners.unicon import UniConSpectral

    x, y, x_of_y = random_features(40, 2, 12, 10, seed=0)
    name = {"objective": "own.soft_margin.SoftMargin", "objective_options": {"margin": 0.3}, "rank": 4}
    solved = UniConSpectral(**name, feature_map="identity", lam=1.0, tau=0.2, passes=2, weight_power=1.0)
    solved.fit(x, y, x_of_y=x_of_y)
    trained = OfCosines(**name, tau=0.2, learn_tau=False).fit(x, y, x_of_y=x_of_y, max_epochs=2)
    positives = x_of_y == torch.arange(40)[:, None]
    for aligner in (solved, trained):
        objective = aligner.fitted_objective
        assert isinstance(objective, SoftMargin)
        assert (objective.tau, objective.margin) == (pytest.approx(0.2), 0.3)
        value = objective(aligner.similarity(x, y), positives)
        if aligner is solved:
            assert value.item() == pytest.approx(solved.solution.passes[-1]["objective"], rel=1e-4)
    plain, shrunk = SoftCCA(rank=4, threshold=0.0), SoftCCA(rank=4, threshold=0.05)
    for aligner in (plain, shrunk):
        aligner.fit(x, y, x_of_y=x_of_y)
    torch.testing.assert_close(shrunk.singular_values, (plain.singular_values - 0.05).clamp_min(0))
