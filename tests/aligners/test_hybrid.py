"""Adapters by gradient, heads by spectral solutions."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from aligners.base.aligner import Aligner
from aligners.closed_form import CCA
from aligners.hybrid import Adapter, Hybrid
from aligners.objectives.softmax import CLIP
from datamodules.pairs.pairs import Pairs
from evaluation.retrieval import evaluate_retrieval
from ground.errors import UserError
from tests.aligners.processes import fit, fit_by_two

RANK = 6


def fitted(aligner: Aligner, pairs: Pairs, max_epochs: int) -> Any:
    return aligner.fit(
        pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, batch_size=20, max_epochs=max_epochs, seed=0
    )


def hybrid(lr: float = 0.0, **changed: Any) -> Hybrid:
    optimizer = {"_target_": "torch.optim.AdamW", "lr": lr}
    return Hybrid(**{"rank": RANK, "optimizer": optimizer, "scheduler": None, "hidden": 32, **changed})


def cosines(aligner: Aligner, pairs: Pairs) -> Tensor:
    return normalize(aligner.encode_x(pairs.x)) @ normalize(aligner.encode_y(pairs.y)).T


@given(n=st.integers(0, 5), d=st.integers(1, 9), hidden=st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_an_adapter_starts_as_the_identity(n: int, d: int, hidden: int) -> None:
    x = torch.randn(n, d)
    adapter = Adapter(d, hidden)
    assert torch.equal(adapter(x), x)
    adapter(x).sum().backward()
    gradient = adapter.out.bias.grad
    assert gradient is not None
    assert torch.equal(gradient, torch.full((d,), float(n)))  # and can leave it


@pytest.mark.parametrize("lam", [0.03, 1.0])
@pytest.mark.parametrize("unit", [True, False])
def test_without_a_step_it_is_cca(pairs: Pairs, lam: float, unit: bool) -> None:
    cca = fitted(CCA(rank=RANK, lam=lam, unit=unit), pairs, 1)
    ours = fitted(hybrid(lam=lam, unit=unit, passes=0), pairs, 1)
    torch.testing.assert_close(cosines(ours, pairs), cosines(cca, pairs), rtol=0, atol=1e-5)


def test_heads_are_cca_of_the_adapted_features(pairs: Pairs) -> None:
    ours = fitted(hybrid(lr=1e-2, lam=0.3, spectral_every=2, passes=0), pairs, 4)
    with torch.no_grad():
        raw = ours.prepare_x(pairs.x).numpy()
        x = ours.adapt_x(ours.prepare_x(pairs.x)).double().numpy()
        y = ours.adapt_y(ours.prepare_y(pairs.y)).double().numpy()
    assert np.abs(x - raw * np.sqrt(24)).max() > 0.1  # they moved
    x, y = x - x.mean(0), y - y.mean(0)
    positives = (pairs.group[:, None] == pairs.y_group).double().numpy()
    weights = positives / positives.sum(1, keepdims=True) / len(x) + positives / positives.sum(0) / len(y)
    C = x.T @ (weights / 2) @ y
    S_x, S_y = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
    S_x += 0.3 * np.trace(S_x) / len(S_x) * np.eye(len(S_x))
    S_y += 0.3 * np.trace(S_y) / len(S_y) * np.eye(len(S_y))
    # the generalised eigenproblem, whose positive half are the canonical pairs
    values, vectors = scipy.linalg.eigh(
        np.block([[np.zeros_like(S_x), C], [C.T, np.zeros_like(S_y)]]), scipy.linalg.block_diag(S_x, S_y)
    )
    A = x @ vectors[: len(S_x), -RANK:] * values[-RANK:]
    B = y @ vectors[len(S_x) :, -RANK:] * values[-RANK:]
    A, B = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (A, B))
    np.testing.assert_allclose(cosines(ours, pairs).numpy(), A @ B.T, atol=2e-5)


def one_to_one() -> Pairs:
    draws, index = torch.Generator().manual_seed(3), torch.arange(70)
    z = torch.randn(70, 9, generator=draws)
    x, y = (z @ torch.randn(9, d, generator=draws) + torch.randn(70, d, generator=draws) for d in (24, 16))
    return Pairs(x, y, index, index)


def whitener(rows: Tensor, lam: float) -> Tensor:
    covariance = rows.T @ rows / len(rows)
    ridged = covariance + lam * covariance.diagonal().mean() * torch.eye(rows.shape[1], dtype=rows.dtype)
    return torch.linalg.inv(torch.linalg.cholesky(ridged)).T


@pytest.mark.parametrize("many", [True, False], ids=["many_to_many", "one_to_one"])
@pytest.mark.parametrize("p", [1.0, 0.5])
def test_an_alternation_is_a_step_at_the_dense_weights(
    pairs: Pairs, many: bool, p: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = pairs if many else one_to_one()
    before: list[tuple[Tensor, Tensor, float]] = []
    solve = Hybrid.solve_heads

    def seen(self: Hybrid, first: bool) -> None:
        tau = 1 / float(self.scale.detach())
        before.append((self.head_x.weight.double().clone(), self.head_y.weight.double().clone(), tau))
        solve(self, first)

    monkeypatch.setattr(Hybrid, "solve_heads", seen)
    eta = 0.3
    ours = fitted(hybrid(lr=1e-2, lam=0.3, tau=0.2, spectral_every=2, passes=1, eta=eta, weight_power=p), pairs, 4)
    with torch.no_grad():
        x, y = ours.adapt_x(ours.prepare_x(pairs.x)).double(), ours.adapt_y(ours.prepare_y(pairs.y)).double()
    x, y = x - x.mean(0), y - y.mean(0)
    W_x, W_y = whitener(x, 0.3), whitener(y, 0.3)
    psi_x, psi_y = x @ W_x, y @ W_y
    H_x, H_y, tau = before[-1]
    positives, objective = pairs.group[:, None] == pairs.y_group, CLIP(tau)

    def best(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        u, s, vt = torch.linalg.svd(matrix)
        return u[:, :RANK], s[:RANK], vt[:RANK].T

    def cosines_at(u: Tensor, s: Tensor, v: Tensor) -> Tensor:
        return normalize(psi_x @ (u * s**p)) @ normalize(psi_y @ (v * s**p)).T

    U, t, V = best(torch.linalg.inv(W_x) @ H_x.T @ H_y @ torch.linalg.inv(W_y).T)
    s = t ** (0.5 / p)
    s /= s.norm()
    current = cosines_at(U, s, V)
    C = psi_x.T @ objective.weights(current, positives) @ psi_y
    T = U @ U.T @ C + C @ V @ V.T - U @ U.T @ C @ V @ V.T
    value = float(objective(current, positives))
    step = eta
    while True:
        following = cosines_at(*best((1 - step) * U * s @ V.T + step * T / T.norm()))
        if float(objective(following, positives)) <= value:
            break
        step /= 2
    assert (following - current).abs().max() > 1e-2  # it moved
    torch.testing.assert_close(cosines(ours, pairs).double(), following, rtol=0, atol=2e-5)
    assert float(objective(cosines(ours, pairs).double(), positives)) <= value


def test_alternations_lower_the_objective_where_adapters_stay(pairs: Pairs) -> None:
    values = []
    for epochs in (1, 2, 3, 4):
        ours = fitted(hybrid(tau=0.1, learn_tau=False, lam=0.3, spectral_every=1, passes=1), pairs, epochs)
        values.append(float(CLIP(0.1)(cosines(ours, pairs), pairs.group[:, None] == pairs.y_group)))
    assert all(after < before for before, after in pairwise(values))
    uniform = fitted(hybrid(tau=0.1, learn_tau=False, lam=0.3, passes=0), pairs, 1)
    assert values[0] < float(CLIP(0.1)(cosines(uniform, pairs), pairs.group[:, None] == pairs.y_group))


def test_heads_are_solved_at_the_start_and_every_so_many_epochs(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    solved: list[int] = []
    solve = Hybrid.solve_heads

    def counted(self: Hybrid, first: bool) -> None:
        solved.append(self.trainer.global_step)
        solve(self, first)

    monkeypatch.setattr(Hybrid, "solve_heads", counted)
    fitted(hybrid(lr=1e-3, spectral_every=2), pairs, 5)
    assert solved == [0, 8, 16]  # four batches an epoch


def test_between_solutions_the_adapters_move_and_the_heads_stay(pairs: Pairs) -> None:
    start, later = (fitted(hybrid(lr=lr, spectral_every=100), pairs, 3) for lr in (0.0, 1e-2))
    assert torch.equal(start.head_x.weight, later.head_x.weight)
    assert torch.equal(start.head_y.bias, later.head_y.bias)
    for adapter in (later.adapter_x, later.adapter_y):
        assert adapter.out.weight.abs().max() > 1e-3
    assert later.log_scale != start.log_scale


def test_it_learns_what_no_linear_head_can() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1200, 3, generator=generator)
    x = torch.cat([z, torch.ones(1200, 1)], 1)
    y = z.square() @ torch.randn(3, 8, generator=generator)  # even in z: uncorrelated with x
    test = slice(1000, None)

    def recall(aligner: Aligner) -> float:
        a, b = aligner.encode_x(x[test]), aligner.encode_y(y[test])
        group = torch.arange(200)
        return evaluate_retrieval(a, b, group, group, "x", "y", 200)["mean_recall"]

    linear = CCA(rank=2, unit=False).fit(x[:1000], y[:1000])
    ours = hybrid(lr=1e-2, rank=2, unit=False, lam=0.1, spectral_every=5).fit(x[:1000], y[:1000], max_epochs=40)
    assert recall(linear) < 10
    assert recall(ours) > 40


def test_a_period_below_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"aligner.spectral_every must be at least 1, got 0"):
        Hybrid(spectral_every=0)


def test_passes_need_weights_to_go_on_from() -> None:
    with pytest.raises(UserError, match=r"aligner.weight_power=0 leaves no weights .* or aligner.passes=0"):
        hybrid(passes=1, weight_power=0.0)
    hybrid(passes=0, weight_power=0.0)


@pytest.mark.parametrize("passes", [0, 1])
def test_two_processes_have_the_heads_of_one(pairs: Pairs, tmp_path: Path, passes: int) -> None:
    changed = {"rank": RANK, "hidden": 16, "spectral_every": 2, "passes": passes, "optimizer": {"lr": 1e-3}}
    one = fit("hybrid", changed, pairs, 4)
    states = fit_by_two(tmp_path, "hybrid", changed, pairs, 4)
    for key, value in one.items():
        assert torch.isfinite(value).all()
        assert torch.equal(states[0][key], states[1][key])
        torch.testing.assert_close(states[0][key], value, rtol=0, atol=1e-4)
