"""The feature map, chosen by first solutions on validation, and what is kept of it."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from aligners.spectral import first_pass
from aligners.unicon import UniConSpectral
from ground.errors import UserError
from tests.problems import random_features

ONE_OF_EACH: dict[str, Any] = {"lam": 1.0, "tau": 0.1, "passes": 1, "weight_power": 1.0}
USELESS: dict[str, Any] = {"kernel": "rbf", "bandwidth": 1e-3}
"""A kernel that is 0 between any two rows."""


def fitted(**settings: Any) -> tuple[UniConSpectral, torch.Tensor]:
    x, y, x_of_y = random_features(120, 2, 9, 9, seed=1, noise=1.0)
    return UniConSpectral(**{"rank": 4, **ONE_OF_EACH, **settings}).fit(x, y, x_of_y=x_of_y), x


@pytest.mark.parametrize("order", [["nystrom", "identity"], ["identity", "nystrom"]])
def test_the_better_map_is_taken_and_loaded_again(order: list[str], tmp_path: Path) -> None:
    aligner, x = fitted(feature_map=order, **USELESS)
    assert aligner.solution.chosen["feature_map"] == aligner.features.kind == "identity"
    assert [trial["feature_map"] for trial in aligner.solution.trials] == order
    assert aligner.U.shape == (9, 4)
    assert "feature_map" not in aligner.facts  # a name is no number
    aligner.save(tmp_path / "aligner.safetensors")
    again = UniConSpectral.load(tmp_path / "aligner.safetensors")
    assert again.features.kind == "identity"
    assert torch.equal(again.encode_x(x), aligner.encode_x(x))


def test_a_fit_again_chooses_again() -> None:
    aligner, x = fitted(feature_map=["nystrom", "identity"], **USELESS)
    before = aligner.encode_x(x)
    _, y, x_of_y = random_features(120, 2, 9, 9, seed=1, noise=1.0)
    aligner.fit(x, y, x_of_y=x_of_y)
    assert [trial["feature_map"] for trial in aligner.solution.trials] == ["nystrom", "identity"]
    torch.testing.assert_close(aligner.encode_x(x), before)


def test_a_map_without_the_rank_is_left_out() -> None:
    aligner, _ = fitted(feature_map=["identity", "nystrom"], rank=12)
    assert aligner.solution.chosen["feature_map"] == aligner.features.kind == "nystrom"
    with pytest.raises(UserError, match="rank 12 is above what the data allows: features of 9"):
        fitted(feature_map="identity", rank=12)


@pytest.mark.parametrize("order", [["nystrom", "identity"], ["identity", "nystrom"]])
def test_a_map_that_has_no_solution_is_left_out(order: list[str], caplog: pytest.LogCaptureFixture) -> None:
    constant: dict[str, Any] = {"kernel": "rbf", "bandwidth": 1e-3, "landmark_selection": "kmeans", "landmarks": 20}
    with caplog.at_level("INFO"):
        aligner, _ = fitted(feature_map=order, **constant)  # 0 between any row and any centre
    assert aligner.solution.chosen["feature_map"] == aligner.features.kind == "identity"
    assert "feature_map=nystrom is left out: whitening needs features that vary" in caplog.text
    with pytest.raises(UserError, match="whitening needs features that vary"):
        fitted(feature_map="nystrom", **constant)


@pytest.mark.parametrize(
    ("listed", "best"),
    [
        ({"kernel": ["rbf", "arc_cosine_1"], "bandwidth": 1e-3}, {"kernel": "arc_cosine_1"}),
        ({"landmarks": [4, "auto"]}, {"landmarks": "auto"}),
        ({"kernel": ["rbf", "linear"], "bandwidth": [1e-3, 1.0]}, {"kernel": "rbf", "bandwidth": 1.0}),
    ],
)
def test_kernel_and_landmarks_are_chosen_and_loaded_again(
    listed: dict[str, Any], best: dict[str, Any], tmp_path: Path
) -> None:
    # beside a choice that both fits make, so that both leave out the same rows for it
    aligner, x = fitted(feature_map="nystrom", tau=[0.1, 0.2], **listed)
    chosen = aligner.solution.chosen
    assert {name: chosen[name] for name in best} == best
    assert {name for name in ("kernel", "landmarks", "bandwidth") if name in chosen} == set(best)
    of_maps = [set(trial) for trial in aligner.solution.trials if "tau" not in trial]
    assert of_maps == [{*best, "recall"}] * math.prod(len(listed[name]) for name in best)
    alone, _ = fitted(feature_map="nystrom", tau=[0.1, 0.2], **listed | best)
    torch.testing.assert_close(aligner.projection_x, alone.projection_x)
    aligner.save(tmp_path / "aligner.safetensors")
    again = UniConSpectral.load(tmp_path / "aligner.safetensors")
    assert torch.equal(again.encode_x(x), aligner.encode_x(x))


def test_a_map_that_is_given_is_no_choice() -> None:
    aligner, _ = fitted(feature_map="nystrom")
    assert "feature_map" not in aligner.solution.chosen
    assert aligner.solution.trials == []


@pytest.mark.parametrize(("clearly", "left"), [(3.0, ["identity"]), (1000.0, ["nystrom", "identity"])])
def test_a_map_that_is_clearly_worse_after_some_items_is_let_go(
    clearly: float, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_pass, "JUDGED_ITEMS", 30)
    monkeypatch.setattr(first_pass, "CLEARLY", clearly)
    monkeypatch.setattr(UniConSpectral, "batches_in_run", 1)
    x, y, x_of_y = random_features(120, 2, 9, 9, seed=1, noise=1.0)
    aligner = UniConSpectral(rank=4, **ONE_OF_EACH, **USELESS, feature_map=["nystrom", "identity"])
    aligner.fit(x, y, x_of_y=x_of_y, batch_size=20)
    early = [trial["feature_map"] for trial in aligner.solution.trials if "share" in trial]
    judged = [trial["feature_map"] for trial in aligner.solution.trials if "share" not in trial]
    assert early == (["nystrom", "identity"] if left == ["identity"] else [])
    assert judged == ([] if left == ["identity"] else left)  # of one map and one of each setting there is no choice
    assert aligner.solution.chosen["feature_map"] == aligner.features.kind == "identity"
    assert aligner.U.shape == (9, 4)
