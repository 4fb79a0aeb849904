"""The objective never rises, on real features, whatever the objective and the temperature."""

from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from aligners.unicon import UniConSpectral
from tests.aligners.fixed import FIXED
from tests.aligners.objectives.named import OBJECTIVES
from tests.problems import CLIPART_FEATURES

IMAGES = 120


@pytest.fixture(scope="module")
def data() -> dict[str, torch.Tensor]:
    if not CLIPART_FEATURES.exists():
        pytest.skip("the clip-art features file is not here")
    tensors = load_file(CLIPART_FEATURES)
    x_of_y = tensors["x_of_y"].long()
    mine = x_of_y < IMAGES
    return {
        "x": tensors["x"][:IMAGES], "y": tensors["y"][mine], "x_of_y": x_of_y[mine],
        "group": tensors["group"][:IMAGES].long(),
    }  # fmt: skip


@pytest.mark.parametrize("tau", [0.01, 0.05, 0.1, 1.0])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("one_to_one", "step"), [(False, "tangent"), (True, "tangent"), (False, "full")])
def test_objective_does_not_rise(
    data: dict[str, torch.Tensor], objective: str, tau: float, one_to_one: bool, step: str
) -> None:
    aligner = UniConSpectral(
        **{**FIXED, "tau": tau, "step": step, "feature_map": "identity"}, rank=16, objective=objective,
        objective_options=OBJECTIVES[objective],
    )  # fmt: skip
    if one_to_one:
        first = torch.tensor([int((data["x_of_y"] == i).nonzero()[0]) for i in range(IMAGES)])
        aligner.fit(data["x"], data["y"][first])
    else:
        aligner.fit(data["x"], data["y"], x_of_y=data["x_of_y"], group=data["group"])
    values = [entry["objective"] for entry in aligner.solution.passes]
    assert len(values) > 1
    assert all(later <= earlier for earlier, later in pairwise(values))
