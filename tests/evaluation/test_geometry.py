"""Geometry against numbers worked out by hand and against full matrices."""

import math

import pytest
import torch

from evaluation.geometry import (
    alignment,
    centroids,
    effective_rank,
    evaluate_geometry,
    potential,
    shuffled,
    uniformity,
)

GROUP = torch.arange(2)


def test_alignment_by_hand() -> None:
    x = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    y = torch.tensor([[5.0, 0.0], [0.0, -1.0]])  # together (0) and opposite (4)
    assert alignment(x, y, GROUP, GROUP) == pytest.approx(2.0)
    assert alignment(x, x * 7, GROUP, GROUP) == pytest.approx(0.0, abs=1e-12)
    assert alignment(x, y, GROUP, GROUP.flip(0)) == pytest.approx(2.0)  # right angles: 2 and 2


def test_alignment_of_many_to_many_groups_is_the_mean_over_all_pairs() -> None:
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 6, generator=g), torch.randn(33, 6, generator=g)
    x[3] = 0.0
    x_group, y_group = torch.randint(0, 5, (20,), generator=g), torch.randint(2, 8, (33,), generator=g)
    u, v = (torch.nn.functional.normalize(z.double(), dim=1) for z in (x, y))
    square = (u[:, None] - v[None]).square().sum(2)
    expected = float(square[x_group[:, None] == y_group[None]].mean())
    assert alignment(x, y, x_group, y_group) == pytest.approx(expected, rel=1e-12)


def test_potential_is_minus_the_mean_cosine_to_an_items_positives() -> None:
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 6, generator=g).double(), torch.randn(33, 6, generator=g).double()
    x_group, y_group = torch.randint(0, 5, (20,), generator=g), torch.randint(1, 7, (33,), generator=g)
    cosines = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(y).T
    positive = x_group[:, None] == y_group[None]
    means = []
    for c, p in ((cosines, positive), (cosines.T, positive.T)):
        some = p.any(1)
        means.append(float(((c * p).sum(1)[some] / p.sum(1)[some]).mean()))
    assert potential(x, 3 * y, x_group, y_group) == pytest.approx(-sum(means) / 2, rel=1e-12)
    one_to_one = torch.arange(20)
    of_pairs = alignment(x, y[:20], one_to_one, one_to_one)
    assert potential(x, y[:20], one_to_one, one_to_one) == pytest.approx(of_pairs / 2 - 1, rel=1e-12)


def test_shuffled_groups_pair_none_with_its_own_and_keep_a_groups_items_together() -> None:
    group = torch.tensor([4, 4, 9, 1, 1, 1, 9, 7])
    for seed in range(20):
        other = shuffled(group, seed)
        assert other is not None
        assert not (other == group).any()
        assert len(set(zip(group.tolist(), other.tolist(), strict=True))) == 4
        assert set(other.tolist()) == {1, 4, 7, 9}
        assert torch.equal(other, shuffled(group, seed))  # type: ignore[arg-type]
    assert len({tuple(shuffled(group, seed).tolist()) for seed in range(20)}) > 1  # type: ignore[union-attr]
    assert shuffled(torch.zeros(3, dtype=torch.int64), 0) is None


def test_effective_rank() -> None:
    isotropic = torch.randn(20_000, 12, generator=torch.Generator().manual_seed(0))
    assert effective_rank(isotropic) == pytest.approx(12, rel=1e-3)
    assert effective_rank(isotropic[:9]) == pytest.approx(effective_rank(isotropic[:9] * 7), rel=1e-6)
    assert 1 < effective_rank(isotropic[:9]) <= 9
    assert effective_rank(torch.ones(5, 40)) == pytest.approx(1, abs=1e-6)
    assert effective_rank(torch.zeros(5, 4)) == 0
    values = torch.tensor([3.0, 1.0]) ** 0.5  # unit rows: three along an axis, one along another
    share = values / values.sum()
    rows = torch.tensor([[1.0, 0.0], [-2.0, 0.0], [3.0, 0.0], [0.0, 1.0]])
    assert effective_rank(rows) == pytest.approx(math.exp(-float((share * share.log()).sum())), rel=1e-6)
    assert effective_rank(rows) == pytest.approx(effective_rank(rows @ torch.linalg.qr(torch.randn(2, 2)).Q), rel=1e-6)


def test_uniformity_by_hand() -> None:
    assert uniformity(torch.ones(4, 3), 2) == pytest.approx(0.0)
    assert uniformity(torch.tensor([[1.0, 0.0], [-9.0, 0.0]]), 8) == pytest.approx(-8.0)  # squared distance 4
    four = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])  # four at 2, two at 4
    assert uniformity(four, 8) == pytest.approx(math.log((4 * math.exp(-4) + 2 * math.exp(-8)) / 6))


@pytest.mark.parametrize("block_size", [1, 7, 20, 41, 100])
def test_uniformity_is_the_papers_for_every_block_size(block_size: int) -> None:
    z = torch.randn(41, 5, generator=torch.Generator().manual_seed(0)).double()
    unit = torch.nn.functional.normalize(z, dim=1)
    expected = float(torch.pdist(unit).square().mul(-2).exp().mean().log())
    assert uniformity(z, block_size) == pytest.approx(expected, rel=1e-12)


def test_centroids_by_hand() -> None:
    x = torch.tensor([[2.0, 0.0], [0.0, 2.0]])  # mean of unit rows (1/2, 1/2)
    y = torch.tensor([[3.0, 0.0], [3.0, 0.0], [3.0, 0.0]])  # mean (1, 0)
    assert centroids(x, y) == pytest.approx((math.sqrt(0.5), math.sqrt(0.5)))
    assert centroids(x, x * 3) == pytest.approx((0.0, 1.0))
    assert centroids(x, -x) == pytest.approx((math.sqrt(2.0), -1.0))
    assert centroids(torch.tensor([[1.0], [-1.0]]), torch.ones(1, 1)) == pytest.approx((1.0, 0.0))


def test_all_by_name() -> None:
    x, y = torch.eye(2), torch.eye(2)
    assert evaluate_geometry(x, y, GROUP, GROUP, "image", "text", 8) == pytest.approx(
        {
            "alignment": 0,
            "potential": -1,
            "centroid_gap": 0,
            "cosine_of_means": 1,
            "image/uniformity": -4,
            "text/uniformity": -4,
            "image/effective_rank": 2,
            "text/effective_rank": 2,
        }
    )


def test_misuse_is_refused() -> None:
    eye = torch.eye(2)
    with pytest.raises(ValueError, match="no positive pair"):
        alignment(eye, eye, GROUP, GROUP + 2)
    with pytest.raises(ValueError, match="as many groups"):
        alignment(eye, eye, GROUP[:1], GROUP)
    with pytest.raises(ValueError, match="two rows"):
        uniformity(eye[:1], 8)
    with pytest.raises(ValueError, match="NaN"):
        uniformity(eye * float("nan"), 8)
    with pytest.raises(ValueError, match="NaN"):
        centroids(eye, eye * float("inf"))
    with pytest.raises(ValueError, match="two names"):
        evaluate_geometry(eye, eye, GROUP, GROUP, "text", "text", 8)


def test_one_item_alone_has_no_uniformity() -> None:
    x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    group = torch.zeros(2, dtype=torch.int64)
    metrics = evaluate_geometry(x, y, group[:1], group, "image", "text", 8)
    assert metrics["alignment"] == pytest.approx(1.0)
    assert [key for key in metrics if key.endswith("uniformity")] == ["text/uniformity"]
