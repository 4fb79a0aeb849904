"""Objectives of transport over all pairs by tiles, against the same on the whole matrix."""

from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from aligners.objectives import sweep
from aligners.objectives.names import named_objective
from aligners.objectives.streamed import TransportContrast, over_all_pairs
from aligners.objectives.sweep import Contrast
from ground.errors import UserError
from tests.aligners.objectives.test_softmax import Largest
from tests.aligners.spectral.drawn import grouped, normal

STREAMED: list[tuple[str, dict[str, Any]]] = [
    ("gca_ince", {}),
    ("gca_ince", {"iterations": 5000, "tolerance": 1e-11}),
    ("iot", {}),
    ("iot", {"iterations": 40, "tolerance": 1e-3}),
    ("gca_rince", {}),
    ("gca_rince", {"iterations": 1, "q": 1.0}),
    ("gca_uot", {}),
    ("gca_uot", {"entropy_sign": -1, "unbalanced": 3.0}),
]
each = pytest.mark.parametrize(("name", "options"), STREAMED)


@each
@pytest.mark.parametrize(("tau", "block_size", "tile_rows"), [(0.3, 10_000, 4), (0.05, 12, 4), (0.01, 1, 16)])
def test_tiles_give_the_whole_objective_and_its_weights(
    name: str, options: dict[str, Any], tau: float, block_size: int, tile_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "TILE_ROWS", tile_rows)
    if "tolerance" in options and tau < 0.3:
        options = options | {"iterations": 30}  # not reached: the loop's own gradient
    x_group, y_group = grouped(5, 11, 17)
    x, y, A, B = normal(11, 4), normal(17, 4, seed=1), normal(11, 6, seed=2), normal(17, 6, seed=3)
    positives, similarity = x_group[:, None] == y_group, normalize(x) @ normalize(y).T
    objective = named_objective(name, tau, **options)
    contrast = over_all_pairs(objective, x_group, y_group, block_size)
    at = contrast.value(x, y)
    assert at.value == pytest.approx(float(objective(similarity, positives)), rel=1e-12)
    if name == "iot" and options.get("tolerance") and tau == 0.3:
        options = options | {"iterations": loops(tau, options, similarity, positives), "tolerance": 0.0}
    S = named_objective(name, tau, **options).weights(similarity, positives)
    SB, StA = contrast.products(x, y, A, B, at)
    within = 1e-11 * float(S.abs().max())
    torch.testing.assert_close(SB, S @ B, rtol=0, atol=within)
    torch.testing.assert_close(StA, S.T @ A, rtol=0, atol=within)


def loops(tau: float, options: dict[str, Any], *given: torch.Tensor) -> int:
    """How many iterations a tolerance takes: the first number of them with its value."""
    early = named_objective("iot", tau, **options)(*given)
    return next(
        t for t in range(1, options["iterations"])
        if named_objective("iot", tau, iterations=t)(*given).item() == pytest.approx(early.item(), abs=1e-15)
    )  # fmt: skip


@pytest.mark.parametrize("tau", [0.003, 0.02, 0.05, 0.1, 1.0])
@pytest.mark.parametrize("name", ["gca_ince", "gca_rince", "gca_uot"])
def test_float32_is_finite_and_right_at_any_temperature(name: str, tau: float) -> None:
    """Opposite embeddings: the least similarity there is."""
    x, y = torch.eye(6).repeat(2, 1), torch.cat([torch.eye(6), -torch.eye(6)])
    x[0] += 1e-3
    group, objective = torch.arange(12), named_objective(name, tau)
    contrast = TransportContrast(objective, group, group, 50)  # type: ignore[arg-type]
    at = contrast.value(x, y)
    similarity, positives = normalize(x.double()) @ normalize(y.double()).T, torch.eye(12, dtype=torch.bool)
    assert at.value == pytest.approx(float(objective(similarity, positives)), rel=1e-5)
    S = objective.weights(similarity, positives)
    SB, StA = contrast.products(x, y, x, y, at)
    assert SB.dtype == torch.float32
    within = 1e-4 * float(S.abs().max())
    torch.testing.assert_close(SB, (S @ y.double()).float(), rtol=1e-3, atol=within)
    torch.testing.assert_close(StA, (S.T @ x.double()).float(), rtol=1e-3, atol=within)


@each
def test_memory_is_some_tiles(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "TILE_ROWS", 8)
    group, x, y = torch.arange(100), normal(100, 2), normal(100, 2, seed=1)
    contrast = TransportContrast(named_objective(name, 0.5, **options | {"iterations": 3}), group, group, 64)  # type: ignore[arg-type]
    with Largest() as largest:
        contrast.products(x, y, x, y, contrast.value(x, y))
    assert largest.elements <= 100 * 16  # vectors of all sweeps beside each other; all pairs are 10,000


def test_what_has_no_stream_or_too_small_a_temperature_is_told() -> None:
    group = torch.arange(3)
    assert type(over_all_pairs(named_objective("rince", 0.5), group, group, 9)) is Contrast
    with pytest.raises(
        UserError, match=r"aligner\.tau=0\.001: transport over all pairs takes temperatures from 0\.003"
    ):
        over_all_pairs(named_objective("iot", 0.001), group, group, 9)
