"""Tuning: as many trials for every row, the defaults first, the same again."""

import math

import pytest
from omegaconf import OmegaConf

from comparison.tuning import Setting, open_keys, tuned
from ground.configs import CONFIGS

SPACE = {
    "aligner.lam": {"low": 1e-3, "high": 10.0, "log": True},
    "aligner.weight_power": {"low": 0.0, "high": 4.0, "log": False},
    "trainer.max_epochs": {"low": 4, "high": 120, "log": True},
}
CONFIG = OmegaConf.create({"aligner": {"lam": 0.01, "weight_power": [1, 2], "on": True}, "trainer": {"max_epochs": 30}})


def peak(setting: Setting) -> float:
    """Best at lam 1 and 60 epochs."""
    return -abs(math.log(setting["aligner.lam"])) - abs(math.log(setting["trainer.max_epochs"] / 60))


def test_what_is_one_number_is_open() -> None:
    assert open_keys(CONFIG, SPACE) == {"aligner.lam": 0.01, "trainer.max_epochs": 30}
    assert open_keys(CONFIG, {"aligner.on": {}, "aligner.not_there": {}}) == {}
    assert open_keys(CONFIG, {"aligner.lam": {"with": "aligner.optimizer"}}) == {}
    assert open_keys(CONFIG, {"aligner.lam": {"with": "trainer"}}) == {"aligner.lam": 0.01}
    assert open_keys(CONFIG, {"aligner.lam": {"unless": {"trainer.max_epochs": [10, 30]}}}) == {}
    assert open_keys(CONFIG, {"aligner.lam": {"unless": {"trainer.max_epochs": [10], "no.key": [1]}}}) != {}
    assert open_keys(CONFIG, {"aligner.lam": {"unless": {"trainer.max_epochs": [30], "no.key": [1]}}}) != {}
    assert open_keys(CONFIG, {"aligner.lam": {"unless": {"trainer.max_epochs": [30], "aligner.on": [True]}}}) == {}


@pytest.mark.parametrize(("features", "read"), [("raw", False), ("kernel", False), ("whitened", True)])
def test_a_ridge_is_tuned_where_it_is_read(features: str, read: bool) -> None:
    space = OmegaConf.to_container(OmegaConf.load(CONFIGS / "compare.yaml").tuning)
    config = OmegaConf.create({"aligner": {"lam": 0.1, "features": features, "head": "mlp"}})
    assert ("aligner.lam" in open_keys(config, space)) == read  # type: ignore[arg-type]
    del config.aligner.head  # a closed form, whose own ridge it is
    assert "aligner.lam" in open_keys(config, space)  # type: ignore[arg-type]


def test_the_best_of_as_many_trials_the_defaults_first() -> None:
    found = tuned(CONFIG, SPACE, 25, 0, peak)
    assert len(found.tried) == 25
    assert found.tried[0].setting == {"aligner.lam": 0.01, "trainer.max_epochs": 30}
    assert found.score == max(each.score for each in found.tried if each.score is not None)
    assert found.score > peak(found.tried[0].setting) + 3
    assert isinstance(found.setting["trainer.max_epochs"], int)
    assert found == tuned(CONFIG, SPACE, 25, 0, peak)  # again, as a contest that goes on finds them
    assert found != tuned(CONFIG, SPACE, 25, 1, peak)


def test_nothing_to_tune_is_one_trial() -> None:
    found = tuned(OmegaConf.create({"aligner": {"lam": [1, 2]}}), SPACE, 25, 0, lambda setting: 1.0)
    assert (len(found.tried), found.setting) == (1, {})


def test_trials_that_cannot_run_are_the_worst() -> None:
    found = tuned(CONFIG, SPACE, 12, 0, lambda setting: None if setting["aligner.lam"] > 0.05 else peak(setting))
    assert found.setting["aligner.lam"] <= 0.05
    assert tuned(CONFIG, SPACE, 3, 0, lambda setting: None).score is None


def test_a_default_outside_the_range_is_tried_and_the_edge_is_told() -> None:
    config = OmegaConf.create({"aligner": {"lam": 0.0}})
    found = tuned(config, SPACE, 15, 0, lambda setting: setting["aligner.lam"])
    assert found.tried[0].setting == {"aligner.lam": 0.0}
    assert found.at_edge == ["aligner.lam"]
    assert found.setting["aligner.lam"] > 5


@pytest.mark.parametrize("key", OmegaConf.load(CONFIGS / "compare.yaml").tuning)
def test_the_space_of_the_project_is_of_keys_that_rows_have(key: str) -> None:
    group, _, rest = key.partition(".")
    files = (CONFIGS / group).rglob("*.yaml")
    assert any(OmegaConf.select(OmegaConf.load(file), rest) is not None for file in files)
