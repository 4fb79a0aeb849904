import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from aligners.objectives import sweep as module
from aligners.objectives.base import Objective
from aligners.objectives.names import named_objective
from aligners.objectives.sweep import Contrast
from tests.aligners.objectives.named import OBJECTIVES
from tests.aligners.spectral.drawn import grouped, normal


@pytest.fixture(params=OBJECTIVES)
def objective(request: pytest.FixtureRequest) -> Objective:
    return named_objective(request.param, 0.3, **OBJECTIVES[request.param])


@pytest.mark.parametrize("block_size", [10_000, 3, 1])
def test_blocks_give_the_whole_objective_and_its_weights(
    objective: Objective, block_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TILE_ROWS", min(block_size, 4))
    x_group, y_group = grouped(5, 11, 17)
    x, y, A, B = normal(11, 4), normal(17, 4, seed=1), normal(11, 6, seed=2), normal(17, 6, seed=3)
    positives, similarity = x_group[:, None] == y_group, normalize(x) @ normalize(y).T
    contrast = Contrast(objective, x_group, y_group, block_size)
    at = contrast.value(x, y)
    assert at.value == pytest.approx(float(objective(similarity, positives)), rel=1e-12)
    S = objective.weights(similarity, positives)
    SB, StA = contrast.products(x, y, A, B, at)
    torch.testing.assert_close(SB, S @ B, rtol=0, atol=1e-12)
    torch.testing.assert_close(StA, S.T @ A, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tau", [1.0, 0.1, 0.01, 0.003, 0.001, 1e-4])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_small_temperature_is_finite_and_right(name: str, tau: float, dtype: torch.dtype) -> None:
    x_group, y_group = grouped(5, 11, 17)
    x, y = normal(11, 4).to(dtype), normal(17, 4, seed=1).to(dtype)
    x[0] = -y[y_group == x_group[0]].mean(0)  # far from its positives: exp(-2 / tau) is nothing
    objective = named_objective(name, tau, **OBJECTIVES[name])
    positives, similarity = x_group[:, None] == y_group, normalize(x.double()) @ normalize(y.double()).T
    contrast = Contrast(objective, x_group, y_group, 50)
    at = contrast.value(x, y)
    rounding = 1e-6 if dtype == torch.float32 else 1e-12
    assert at.value == pytest.approx(float(objective(similarity, positives)), rel=rounding, abs=rounding)
    S = objective.weights(similarity, positives)
    SB, StA = contrast.products(x, y, x, y, at)
    torch.testing.assert_close(SB.double(), S @ y.double(), rtol=100 * rounding, atol=rounding * float(S.abs().max()))
    torch.testing.assert_close(
        StA.double(), S.T @ x.double(), rtol=100 * rounding, atol=rounding * float(S.abs().max())
    )


@given(n_groups=st.integers(1, 6), n_x=st.integers(6, 12), n_y=st.integers(6, 15), tau=st.floats(0.01, 1.0))
def test_tiles_of_any_shape_agree_with_the_objective(n_groups: int, n_x: int, n_y: int, tau: float) -> None:
    x_group, y_group = grouped(n_groups, n_x, n_y)
    x, y = normal(n_x, 3), normal(n_y, 3, seed=1)
    objective = named_objective("clip", tau)
    similarity = normalize(x) @ normalize(y).T
    expected = float(objective(similarity, x_group[:, None] == y_group))
    assert Contrast(objective, x_group, y_group, 7).value(x, y).value == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("tau", [0.01, 0.02, 0.03, 0.1, 1.0])
@pytest.mark.parametrize("name", ["clip", "info_nce"])
def test_float32_is_exact_to_float32_at_any_temperature(tau: float, name: str) -> None:
    # opposite embeddings: the least similarity there is, exp(-2 / tau) away from the greatest
    x, y = torch.eye(6).repeat(2, 1), torch.cat([torch.eye(6), -torch.eye(6)])
    x[0] += 1e-3
    group = torch.arange(12)
    objective = named_objective(name, tau)
    contrast = Contrast(objective, group, group, 50)
    at = contrast.value(x, y)
    positives, similarity = torch.eye(12, dtype=torch.bool), normalize(x.double()) @ normalize(y.double()).T
    assert at.value == pytest.approx(float(objective(similarity, positives)), rel=1e-6)
    S = objective.weights(similarity, positives)
    SB, StA = contrast.products(x, y, x, y, at)
    assert SB.dtype == torch.float32
    torch.testing.assert_close(SB, (S @ y.double()).float(), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(StA, (S.T @ x.double()).float(), rtol=1e-4, atol=1e-7)
