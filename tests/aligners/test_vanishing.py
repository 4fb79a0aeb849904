"""Weights that vanish: a pass that nothing is left to do for ends the fit where it stands."""

from typing import Any

import pytest
import torch

from tests.aligners.made import make

NOTHING_LEFT: dict[str, dict[str, Any]] = {
    "temperature": {"objective": "clip", "tau": 1e-4},
    "hinge": {"objective": "triplet", "objective_options": {"margin": 1e-6}},
}


@pytest.mark.parametrize("loss", NOTHING_LEFT)
@pytest.mark.parametrize("negatives", ["all", "batch"])
@pytest.mark.parametrize("step", ["tangent", "full"])
@pytest.mark.parametrize("dense_sweeps", [12, 0], ids=["whole", "sweeps"])
def test_nothing_left_to_tell_apart_ends_an_undamped_fit(
    loss: str, negatives: str, step: str, dense_sweeps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aligners.spectral.krylov.DENSE_SWEEPS", dense_sweeps)
    x = torch.linalg.qr(torch.randn(16, 12, generator=torch.Generator().manual_seed(0)).double()).Q
    # of equal variances rounding would choose the eight, and on some machines leave two items all but alike
    x = x * torch.linspace(2, 1, 12, dtype=x.dtype)
    settings = {"rank": 8, "shared": False, "step": step, "negatives": negatives, **NOTHING_LEFT[loss]}
    start, end = (make("unicon_paper", passes=passes, **settings).fit(x, x.clone()) for passes in (0, 4))
    assert len(end.passes_record) == 2  # the start and the pass that found nothing
    assert end.passes_record[-1]["step"] == 0
    assert torch.equal(end.encode_x(x), start.encode_x(x))
    assert end.encode_x(x).norm(dim=1).min() > 0
