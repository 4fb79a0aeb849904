"""The objective that an aligner reports is the one it was fitted on."""

from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from aligners.base.aligner import Aligner
from aligners.gradient import OfCosines
from aligners.objectives.base import minus_gradient
from aligners.objectives.softmax import UniCon
from datamodules.pairs.pairs import Pairs
from tests.aligners.made import make


def fitted(name: str, pairs: Pairs, **changed: Any) -> Aligner:
    aligner = make(name, rank=6, **changed)
    return aligner.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, batch_size=61, max_epochs=5)


@pytest.mark.parametrize("name", ["sgd_clip", "sgd_siglip", "triplet", "hybrid", "dcl", "spectral_contrastive"])
def test_weights_are_minus_the_gradient_of_the_loss(pairs: Pairs, name: str) -> None:
    aligner = fitted(name, pairs, optimizer={"lr": 0.05})
    assert isinstance(aligner, OfCosines)
    with torch.no_grad():
        cosines = normalize(aligner.encode_x(pairs.x)) @ normalize(aligner.encode_y(pairs.y)).T
    positives = pairs.group[:, None] == pairs.y_group
    expected = minus_gradient(aligner.loss_of_cosines, cosines, positives)
    assert aligner.fitted_objective is not None
    weights = aligner.fitted_objective.weights(cosines, positives)
    # up to the objectives' own factor, tau for CLIP
    torch.testing.assert_close(weights / weights.norm(), expected / expected.norm(), rtol=1e-4, atol=1e-6)
    at_start = make(name, rank=6).fitted_objective
    assert at_start is not None
    if name != "triplet":
        assert at_start.tau == pytest.approx(aligner.hparams["tau"])
        assert aligner.fitted_objective.tau != pytest.approx(at_start.tau, rel=1e-3)  # it was learned


def test_a_learned_temperature_stays_above_its_bound() -> None:
    objective = make("sgd_clip", tau=0.001, tau_min=0.02).fitted_objective
    assert objective is not None
    assert objective.tau == pytest.approx(0.02)


def test_the_spectral_objective_is_at_the_chosen_temperature(pairs: Pairs) -> None:
    options = {"objective": "unicon", "objective_options": {"nu": 1.0}, "feature_map": "identity"}
    aligner = fitted("unicon", pairs, tau=[0.3, 0.1], lam=1.0, weight_power=1.0, passes=2, **options)
    objective = aligner.fitted_objective
    assert isinstance(objective, UniCon)
    assert objective.tau == aligner.facts["tau"]
    assert make("unicon").fitted_objective is None  # nothing is chosen before a fit


def test_what_has_no_contrastive_objective_says_none(pairs: Pairs) -> None:
    assert fitted("cca", pairs).fitted_objective is None
