"""The feature map, chosen by first solutions on validation, and what is kept of it."""

from pathlib import Path
from typing import Any

import pytest
import torch

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


def test_a_map_that_is_given_is_no_choice() -> None:
    aligner, _ = fitted(feature_map="nystrom")
    assert "feature_map" not in aligner.solution.chosen
    assert aligner.solution.trials == []
