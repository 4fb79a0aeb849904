import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from aligners.objectives.softmax import CLIP
from aligners.spectral.moments import STRIP_ROWS, Moments
from datamodules.pairs import PairBatch
from tests.aligners.spectral.drawn import grouped, normal


def rows_of(x: Tensor, y: Tensor, x_group: Tensor, y_group: Tensor) -> PairBatch:
    return PairBatch(x, y, x_group, y_group, torch.arange(len(x)), torch.arange(len(y)))


def moments_of(x: Tensor, y: Tensor, x_group: Tensor, y_group: Tensor) -> Moments:
    moments = Moments(x.shape[1], y.shape[1], len(x), len(y), "cpu")
    moments.add(rows_of(x, y, x_group, y_group))
    moments.tensors()
    return moments


def value(moments: Moments, name: str) -> Tensor:
    found = getattr(moments, name)
    return found() if callable(found) else found


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("centre", [True, False])
def test_more_features_than_a_strip_has_rows(centre: bool, dtype: torch.dtype) -> None:
    m = STRIP_ROWS + 44
    x, y = normal(20, m) + 1, normal(20, 3, seed=1) - 1
    moments = moments_of(x, y, torch.arange(20), torch.arange(20))
    a, b = (side - side.mean(0) if centre else side for side in (x, y))
    close = {"rtol": 0, "atol": 1e-12 if dtype == torch.float64 else 1e-6}
    covariance = moments.covariance_x(centre, dtype)
    assert covariance.equal(covariance.T)
    torch.testing.assert_close(covariance, (a.T @ a / 20).to(dtype), **close)
    torch.testing.assert_close(moments.covariance_y(centre, dtype), (b.T @ b / 20).to(dtype), **close)
    expected = (x - x.mean(0)).T @ (y - y.mean(0)) / 20  # one-to-one the same, centred or not
    torch.testing.assert_close(moments.cross_covariance(centre, dtype), expected.to(dtype), **close)


def test_moments_are_torchs_covariances_far_from_zero() -> None:
    x, y = normal(50, 4) + 1000, normal(50, 3, seed=1) - 500
    moments = moments_of(x, y, torch.arange(50), torch.arange(50))
    torch.testing.assert_close(moments.covariance_x(), torch.cov(x.T, correction=0), rtol=0, atol=1e-8)
    joint = torch.cov(torch.cat([x, y], 1).T, correction=0)
    torch.testing.assert_close(moments.cross_covariance(), joint[:4, 4:], rtol=0, atol=1e-8)


@given(n_groups=st.integers(1, 6), n_x=st.integers(6, 12), n_y=st.integers(6, 15), block=st.integers(1, 7))
def test_moments_add_over_batches_of_whole_groups(n_groups: int, n_x: int, n_y: int, block: int) -> None:
    x, y = normal(n_x, 5), normal(n_y, 3, seed=1)
    x_group, y_group = grouped(n_groups, n_x, n_y)
    whole = moments_of(x, y, x_group, y_group)
    parts = Moments(5, 3, n_x, n_y, "cpu", batches_in_block=block)
    for group in torch.unique(x_group).flip(0):
        i, j = x_group == group, y_group == group
        parts.add(rows_of(x[i], y[j], x_group[i], y_group[j]))
    parts.tensors()
    for name in ("covariance_x", "covariance_y", "cross_covariance", "mean_x", "mean_y"):
        torch.testing.assert_close(value(parts, name), value(whole, name), rtol=0, atol=1e-12)


def test_cross_moment_is_clips_weights_at_equal_similarities() -> None:
    x, y = normal(9, 4), normal(15, 3, seed=1)
    x_group, y_group = grouped(5, 9, 15)
    S = CLIP(1.0).weights(torch.zeros(9, 15, dtype=torch.float64), x_group[:, None] == y_group)
    expected = (x - x.mean(0)).T @ S @ (y - y.mean(0))
    torch.testing.assert_close(moments_of(x, y, x_group, y_group).cross_covariance(), expected)


def test_a_sample_of_the_items_has_its_own_moments() -> None:
    x, y, group = normal(30, 4), normal(30, 3, seed=1), torch.arange(30)
    sample = Moments(4, 3, 30, 30, "cpu")
    sample.add(rows_of(x[:20], y[:20], group[:20], group[:20]))
    alone = moments_of(x[:20], y[:20], group[:20], group[:20])
    sample.tensors()
    for name in ("covariance_x", "cross_covariance", "mean_y"):
        torch.testing.assert_close(value(sample, name), value(alone, name))


def test_float32_blocks_are_summed_in_float64() -> None:
    x = torch.rand(40_000, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    moments = Moments(3, 3, 40_000, 40_000, "cpu", batches_in_block=8)
    for part, group in zip(x.split(1000), torch.arange(40_000).split(1000), strict=True):
        moments.add(rows_of(part, part, group, group))
    moments.tensors()
    exact = torch.cov(x.double().T, correction=0)
    torch.testing.assert_close(moments.covariance_x(), exact, rtol=0, atol=1e-7)
    torch.testing.assert_close(moments.cross_covariance(), exact, rtol=0, atol=3e-7)


def test_exact_moments_of_float32_rows_are_those_of_float64() -> None:
    x, y, group = normal(2500, 4).float() + 3, normal(2500, 3, seed=1).float(), torch.arange(2500)  # three parts
    exact, whole = (Moments(4, 3, 2500, 2500, "cpu", exact=exact) for exact in (True, False))
    exact.add(rows_of(x, y, group, group))
    whole.add(rows_of(x.double(), y.double(), group, group))
    exact.tensors(), whole.tensors()
    for name in ("covariance_x", "covariance_y", "mean_x"):
        torch.testing.assert_close(value(exact, name), value(whole, name), rtol=0, atol=1e-12)
    # its weighted means, which no product squares, are of float32 sums
    torch.testing.assert_close(exact.cross, whole.cross, rtol=0, atol=1e-12)


def test_pooled_is_both_modalities_as_one() -> None:
    x, y = normal(9, 4), normal(15, 4, seed=1)
    x_group, y_group = grouped(5, 9, 15)
    pooled = moments_of(x, y, x_group, y_group).pooled()
    both = torch.cat([x, y])
    torch.testing.assert_close(pooled.covariance_x(), torch.cov(both.T, correction=0))
    S = CLIP(1.0).weights(torch.zeros(9, 15, dtype=torch.float64), x_group[:, None] == y_group)
    weights = S + 1 / (9 * 15)  # of the positives alone
    a, b = x - both.mean(0), y - both.mean(0)
    torch.testing.assert_close(pooled.cross_covariance(), (a.T @ weights @ b + b.T @ weights.T @ a) / 2)


def test_squares_of_some_rows_are_their_covariance_wherever_they_are_added() -> None:
    x, y = normal(900, 3), normal(900, 2, seed=1)
    index = torch.arange(900)
    whole, parts = (Moments(3, 2, 900, 900, "cpu", square_rows=300) for _ in range(2))
    whole.add(PairBatch(x, y, index, index, index, index))
    for part in index.flip(0).split(50):
        parts.add(PairBatch(x[part], y[part], part, part, part, part))
    for moments in (whole, parts):
        moments.tensors()
    assert 290 < float(whole.count_x) < 310
    torch.testing.assert_close(parts.covariance_x(), whole.covariance_x())
    torch.testing.assert_close(whole.covariance_x(), torch.cov(x.T), rtol=0, atol=0.2)
    torch.testing.assert_close(
        whole.cross_covariance(), moments_of(x, y, index, index).cross_covariance(), rtol=0, atol=0.1
    )
