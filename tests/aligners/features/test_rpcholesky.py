from functools import partial

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from aligners.features import rpcholesky as module
from aligners.features.kernels import KERNELS
from aligners.features.landmarks import select
from aligners.features.rpcholesky import rpcholesky


def residual_shares(factor: Tensor, diagonal: Tensor) -> Tensor:
    """The share of the kernel's trace that the first 1, ..., m pivots leave, (m,), from F (k, m)."""
    return 1 - factor.square().sum(0).cumsum(0) / diagonal.sum()


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=draws(seed), dtype=torch.float64)


def linear(sample: Tensor, landmarks: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    gram = partial(KERNELS["linear"], bandwidth=1.0)
    return rpcholesky(sample, landmarks, gram, sample.square().sum(1), draws(seed))


def literal(gram: Tensor) -> Tensor:
    """Probability of each ordered pair of first pivots: one row at a time, as printed."""
    pairs = torch.zeros_like(gram)
    for i in range(len(gram)):
        residual = gram - torch.outer(gram[:, i], gram[i]) / gram[i, i]
        pairs[i] = gram[i, i] / gram.trace() * residual.diagonal() / residual.trace()
        pairs[i, i] = 0
    return pairs / pairs.sum()


@pytest.mark.parametrize("proposals", [1, 3, 64])
def test_first_pivots_and_pairs_are_drawn_as_one_at_a_time(proposals: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROPOSALS", proposals)
    sample = torch.tensor([[1.0, 0, 0], [1.0, 0.7, 0], [0, 1.2, 0.6], [0.3, 0, 1.5]], dtype=torch.float64)
    counts = torch.zeros(4, 4, dtype=torch.float64)
    n = 2000
    for seed in range(n):
        first, second = linear(sample, 2, seed)[0].tolist()
        counts[first, second] += 1
    expected = n * literal(sample @ sample.T)
    assert chisquare(counts.sum(1), expected.sum(1)).pvalue > 0.01
    off = ~torch.eye(4, dtype=torch.bool)
    assert chisquare(counts[off], expected[off]).pvalue > 0.01
    assert not counts.diagonal().any()


def test_as_many_landmarks_as_rank_leave_nothing() -> None:
    sample = normal(300, 90)
    pivots, factor = linear(sample, 150)
    assert len(pivots) == len(pivots.unique()) == 90
    torch.testing.assert_close(factor @ factor.T, sample @ sample.T)
    shares = residual_shares(factor, sample.square().sum(1))
    assert (shares.diff() < 0).all()
    assert abs(float(shares[-1])) < 1e-12


def test_factor_and_shares_are_those_of_its_pivots() -> None:
    sample = normal(200, 40)
    pivots, factor = linear(sample, 25)
    gram = sample @ sample.T
    nystrom = gram[:, pivots] @ torch.linalg.solve(gram[pivots][:, pivots], gram[pivots])
    torch.testing.assert_close(factor @ factor.T, nystrom)
    share = residual_shares(factor, gram.diagonal())[-1]
    torch.testing.assert_close(share, (gram - nystrom).trace() / gram.trace())


def test_residual_is_below_uniform_on_spiky_data() -> None:
    sample = normal(400, 60)
    sample[:, 10:] *= 0.01
    sample[torch.arange(20), 10 + torch.arange(20)] = 30.0  # a few rows with directions of their own
    gram = sample @ sample.T
    for seed in range(5):
        uniform = torch.randperm(400, generator=draws(seed))[:35]
        explained = (gram[:, uniform] @ torch.linalg.pinv(gram[uniform][:, uniform]) @ gram[uniform]).trace()
        shares = residual_shares(linear(sample, 35, seed)[1], gram.diagonal())
        assert shares[-1] < 0.1 * (1 - explained / gram.trace())


@pytest.mark.parametrize("kernel", KERNELS)
def test_duplicates_are_never_taken_twice(kernel: str) -> None:
    sample = normal(3, 6).repeat(40, 1)
    chosen = select("rpcholesky", sample, 10, kernel, 2.0, draws())
    assert sorted((chosen % 3).tolist()) == [0, 1, 2]


def test_no_row_is_taken_twice_when_its_residual_is_rounding() -> None:
    sample = normal(80, 70)
    pivots, _ = rpcholesky(sample, 40, lambda a, b: 0.9 * (a @ b.T), sample.square().sum(1), draws())
    assert len(pivots.unique()) == 40


def test_zero_rows_are_never_taken() -> None:
    sample = torch.zeros(50, 6, dtype=torch.float64)
    assert linear(sample, 4)[0].tolist() == []
    sample[::10] = normal(5, 6)
    assert sorted(linear(sample, 20)[0].tolist()) == [0, 10, 20, 30, 40]
