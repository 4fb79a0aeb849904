"""The exact gradient's norm against autograd."""

from itertools import product
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from aligners.unicon import UniConSpectral
from tests.aligners.fixed import FIXED
from tests.aligners.objectives.named import OBJECTIVES
from tests.problems import random_features


def fitted(**changed: Any) -> tuple[UniConSpectral, torch.Tensor, torch.Tensor, torch.Tensor]:
    x, y, x_of_y = random_features(30, 2, 9, 7, seed=1)
    x, y = x.double(), y.double()
    settings: dict[str, Any] = {**FIXED, "passes": 2, "rank": 4, "feature_map": "identity"} | changed
    return UniConSpectral(**settings).fit(x, y, x_of_y=x_of_y, batch_size=30), x, y, x_of_y


@pytest.mark.parametrize(("objective", "negatives"), [*product(OBJECTIVES, ["all", "batch"])])
def test_it_is_autograds(objective: str, negatives: str) -> None:
    aligner, x, y, x_of_y = fitted(objective=objective, objective_options=OBJECTIVES[objective], negatives=negatives)
    U, V, s = aligner.U, aligner.V, aligner.singular_values
    heads = [(side * s).clone().requires_grad_() for side in (U, V)]  # weight_power is 1
    # whitened rows: the projection is W U s, and U has full column rank
    mapped = [rows - rows.mean(0) for rows in (aligner.prepare_x(x), aligner.prepare_y(y))]
    W = [whitening(rows) for rows in mapped]
    a, b = (normalize(rows @ w @ head) for rows, w, head in zip(mapped, W, heads, strict=True))
    loss = aligner.fitted_objective(a @ b.T, torch.arange(30)[:, None] == x_of_y)  # type: ignore[misc]
    gradients = torch.autograd.grad(loss, heads)
    expected = sum(float(g.norm() * head.detach().norm()) ** 2 for g, head in zip(gradients, heads, strict=True)) ** 0.5
    assert aligner.facts["gradient_norm"] == pytest.approx(expected, rel=1e-6)


def whitening(rows: torch.Tensor) -> torch.Tensor:
    """The inverse Cholesky factor of the covariance with the ridge of ``FIXED``."""
    centred = rows - rows.mean(0)
    covariance = centred.T @ centred / len(rows)
    covariance += torch.eye(len(covariance)).double() * covariance.diagonal().mean()
    return torch.linalg.inv(torch.linalg.cholesky(covariance)).T


def test_only_the_last_pass_has_it() -> None:
    passes = fitted()[0].solution.passes
    assert ["gradient_norm" in each for each in passes] == [False, False, True]


def test_a_fixed_point_of_the_surrogate_is_no_minimum() -> None:
    """The objective falls along the exact gradient from where many passes end."""
    aligner, _, _, _ = fitted(passes=200, tolerance=0.0)
    assert aligner.facts["gradient_norm"] > 1e-3
