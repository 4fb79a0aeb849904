"""Losses of embeddings: values by hand, gradients by differences, limits, and what pairs of many weigh."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.objectives.embeddings import (
    barlow_twins,
    consistencies,
    nt_xent,
    pair_weights,
    participation_ratio,
    regression,
    vicreg,
)
from aligners.objectives.softmax import CLIP
from ground.errors import UserError
from tests.aligners.objectives.small_problems import asymmetric
from tests.aligners.objectives.three_by_four import PAIRS, POSITIVES, X_GROUP, Y_GROUP, X, Y

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Embeddings and groups of both sides to a scalar."""


def of_positives(loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Loss:
    return lambda x, y, x_group, y_group: loss(x, y, x_group[:, None] == y_group)


LOSSES: dict[str, Loss] = {
    "nt_xent": lambda x, y, x_group, y_group: nt_xent(x, y, x_group, y_group, tau=0.5),
    "regression": of_positives(regression),
    "vicreg": of_positives(lambda x, y, P: vicreg(x, y, P, invariance=25.0, variance=25.0, covariance=1.0)),
    "barlow_twins": of_positives(lambda x, y, P: barlow_twins(x, y, P, off_diagonal=0.5)),
    "in_modal": of_positives(lambda x, y, P: consistencies(x, y, P)[0]),
    "cross_modal": of_positives(lambda x, y, P: consistencies(x, y, P)[1]),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
ONE_TO_ONE = torch.eye(4, dtype=torch.bool)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whitened(n: int, r: int) -> Tensor:
    """(n, r) centred, of variance 1 and uncorrelated."""
    centred = normal(n, r) - normal(n, r).mean(0)
    return torch.linalg.qr(centred).Q * n**0.5


# values by hand


def test_weights_of_the_pairs_by_hand() -> None:
    expected = torch.zeros(3, 4, dtype=torch.float64)
    for i, k, parts in PAIRS:
        expected[i, k] = parts / 24
    torch.testing.assert_close(pair_weights(POSITIVES, X), expected, rtol=1e-14, atol=0)
    assert torch.equal(pair_weights(ONE_TO_ONE, X), torch.eye(4, dtype=torch.float64) / 4)


def test_weights_of_the_pairs_are_those_of_clips_positives() -> None:
    s, positives = asymmetric(5, 8, 0.3, 0)
    clip = CLIP(1.0)
    negatives = -(torch.softmax(s, 1) / 5 + torch.softmax(s, 0) / 8) / 2
    torch.testing.assert_close(pair_weights(positives, s), clip.weights(s, positives) - negatives)


def test_nt_xent_by_hand() -> None:
    def row(positive: float, *cosines: float) -> float:
        return math.log(sum(math.exp(cosine) for cosine in cosines)) - positive

    rows = [
        row(1.0, 0, 0.6, 1, 0, 0.8, 0),
        row(0.8, 0, 0.8, 0, 1, 0.6, -1),
        row(-0.8, 0.6, 0.8, 0.6, 0.8, 0.96, -0.8),
    ]
    columns = [
        row(1.0, 1, 0, 0.6, 0, 0.8, 0),
        row(0.8, 0, 1, 0.8, 0, 0.6, -1),  # its positives: the second x at 1, the third y at .6
        row(0.6, 0.8, 0.6, 0.96, 0.8, 0.6, -0.6),
        row(-0.8, 0, -1, -0.8, 0, -1, -0.6),
    ]
    expected = (sum(rows) / 3 + sum(columns) / 4) / 2
    assert nt_xent(X, Y, X_GROUP, Y_GROUP, tau=1.0).item() == pytest.approx(expected, rel=1e-13)


def test_regression_by_hand() -> None:
    expected = 2 - 2 * (7 * 1 + 5 * 1 + 5 * 0.6 + 7 * -0.8) / 24
    assert regression(X, Y, POSITIVES).item() == pytest.approx(expected, rel=1e-13)


CROSS = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
LINE = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)


def test_vicreg_by_hand() -> None:
    """Each pair is 1 apart in one of two dimensions; covariances diag(2/3, 2/3), and 4/3 everywhere."""
    parts = (0.5, 1 - math.sqrt(2 / 3 + 1e-4), 2 * (4 / 3) ** 2 / 2)
    for weights in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (25.0, 25.0, 1.0)):
        expected = sum(weight * part for weight, part in zip(weights, parts, strict=True))
        assert vicreg(CROSS, LINE, ONE_TO_ONE, *weights).item() == pytest.approx(expected, rel=1e-13)
        moved = vicreg(CROSS + 3, LINE + 3, ONE_TO_ONE, *weights)
        assert moved.item() == pytest.approx(expected, rel=1e-12)


def test_barlow_twins_by_hand() -> None:
    """All four correlations are the root of a half."""
    expected = 2 * (1 - math.sqrt(0.5)) ** 2 + 0.005 * 2 * 0.5
    assert barlow_twins(CROSS, LINE, ONE_TO_ONE, 0.005).item() == pytest.approx(expected, rel=1e-12)
    scaled = barlow_twins(CROSS * torch.tensor([3.0, 0.1]) + 7, LINE - 2, ONE_TO_ONE, 0.005)
    assert scaled.item() == pytest.approx(expected, rel=1e-12)


def test_consistencies_by_hand() -> None:
    """Over the pairs of the pairs (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3); n = 3.5."""
    weights = [35, 35, 49, 25, 35, 35]
    within = [0.0, 0 - 0.8, 0.6 - 0, 1 - 0.6, 0.8 + 1, 0.8 + 0.6]
    across = [0.0, 0.8 - 0, 0 - 0.6, 0.6 - 1, -1 - 0.8, -1 - 0.96]
    for found, differences in zip(consistencies(X, Y, POSITIVES), (within, across), strict=True):
        total = sum(weight * each**2 for weight, each in zip(weights, differences, strict=True))
        assert found.item() == pytest.approx(3.5 * 2 * total / 24**2, rel=1e-13)


def test_participation_ratio_by_hand() -> None:
    assert participation_ratio(X[:2]).item() == pytest.approx(2)
    assert participation_ratio(torch.tensor([[1.0, 0], [-3, 0]])).item() == pytest.approx(1)
    # unit vectors (1, 0), (0, 1), (.6, .8): M = [[1.36, .48], [.48, 1.64]] / 3
    assert participation_ratio(X).item() == pytest.approx(9 / (1.36**2 + 1.64**2 + 2 * 0.48**2))


# gradients and invariances


@each_loss
def test_gradients_are_those_of_differences(loss: Loss) -> None:
    x, y = normal(3, 2, seed=1).requires_grad_(), normal(4, 2, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: loss(x, y, X_GROUP, Y_GROUP), (x, y))


@each_loss
def test_neither_the_order_of_the_items_nor_of_the_sides_matters(loss: Loss) -> None:
    x, y, x_group, y_group = normal(6, 3), normal(9, 3, seed=1), torch.arange(6) % 4, torch.arange(9) % 4
    i, k = torch.randperm(6), torch.randperm(9)
    permuted = loss(x[i], y[k], x_group[i], y_group[k])
    torch.testing.assert_close(permuted, loss(x, y, x_group, y_group), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(loss(y, x, y_group, x_group), permuted, rtol=1e-12, atol=1e-12)


@each_loss
def test_single_precision(loss: Loss) -> None:
    x, y, group = normal(40, 8), normal(120, 8, seed=1), torch.arange(40)
    expected = loss(x, y, group, group.repeat(3))
    found = loss(x.float(), y.float(), group, group.repeat(3))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


# many-to-many: a pair counts as often as it weighs


def repeated() -> tuple[Tensor, Tensor]:
    """24 pairs one-to-one: each of the three by four as often as its weight says."""
    return tuple(torch.cat([side[p[at]].repeat(p[2], 1) for p in PAIRS]) for at, side in enumerate((X, Y)))


def test_many_to_many_is_one_to_one_of_pairs_as_often_as_they_weigh() -> None:
    x, y = repeated()
    P = torch.eye(24, dtype=torch.bool)
    torch.testing.assert_close(regression(X, Y, POSITIVES), regression(x, y, P))
    torch.testing.assert_close(barlow_twins(X, Y, POSITIVES, 0.1), barlow_twins(x, y, P, 0.1))
    torch.testing.assert_close(vicreg(X, Y, POSITIVES, 1.0, 0.0, 0.0), vicreg(x, y, P, 1.0, 0.0, 0.0))
    for many, one in zip(consistencies(X, Y, POSITIVES), consistencies(x, y, P), strict=True):
        torch.testing.assert_close(many / 3.5, one / 24)  # n is the number of items, not of repeats
    # the unbiased covariances: n / (n - 1) of repeats, 1 / (1 - the sum of squared weights) of items
    of_x, of_y = 1 - (7**2 + 10**2 + 7**2) / 24**2, 1 - 2 * (7**2 + 5**2) / 24**2
    expected = sum(
        2 * (side.T.cov(correction=0)[0, 1] / unbiased) ** 2 / 2 for side, unbiased in ((x, of_x), (y, of_y))
    )
    torch.testing.assert_close(vicreg(X, Y, POSITIVES, 0.0, 0.0, 1.0), expected)


# limits


def test_nt_xent_without_in_view_negatives_is_clip() -> None:
    """Two opposite items a side: their own side's negatives weigh exp(-20) against what CLIP sees."""
    x = torch.tensor([[1.0, 0.1], [-1.0, -0.1]], dtype=torch.float64)
    y = torch.tensor([[0.2, 1.0], [-0.2, -1.0]], dtype=torch.float64)
    group = torch.arange(2)
    clip = CLIP(0.1)(normalize(x) @ normalize(y).T, torch.eye(2, dtype=torch.bool)) / 0.1
    assert nt_xent(x, y, group, group, tau=0.1).item() == pytest.approx(clip.item(), rel=2e-3)


def test_nt_xent_has_twice_the_negatives_of_clip() -> None:
    """Of many unrelated items: a logarithm of 2 more."""
    x, y, group = normal(1500, 64), normal(1500, 64, seed=1), torch.arange(1500)
    clip = CLIP(1.0)(normalize(x) @ normalize(y).T, group[:, None] == group)
    assert nt_xent(x, y, group, group, tau=1.0).item() - clip.item() == pytest.approx(math.log(2), abs=2e-3)


def test_what_has_no_loss() -> None:
    z, P = whitened(12, 4), torch.eye(12, dtype=torch.bool)
    assert barlow_twins(z, z * 3 + 1, P, 0.005).item() == pytest.approx(0, abs=1e-24)
    assert barlow_twins(z, -z, P, 0.005).item() == pytest.approx(4 * 4)
    unbiased = z * (11 / 12) ** 0.5  # of unbiased variance 1
    assert vicreg(unbiased, unbiased, P, 25.0, 25.0, 1.0).item() == pytest.approx(0, abs=1e-24)
    for found in consistencies(z, z, P):
        assert found.item() == pytest.approx(0, abs=1e-13)
    rotation = torch.linalg.qr(normal(4, 4)).Q
    within, across = consistencies(z, z @ rotation, P)
    assert within.item() == pytest.approx(0, abs=1e-13)  # the cosines of a side are what they were
    assert across.item() > 0.1
    assert regression(z, 5 * z, P).item() == pytest.approx(0, abs=1e-13)


def test_a_constant_dimension_has_no_gradient_to_infinity() -> None:
    x = CROSS.clone()
    x[:, 1] = 2.0
    x.requires_grad_()
    for loss in (barlow_twins(x, LINE, ONE_TO_ONE, 0.1), vicreg(x, LINE, ONE_TO_ONE, 25.0, 25.0, 1.0)):
        (gradient,) = torch.autograd.grad(loss, x)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["vicreg", "barlow_twins"])
def test_one_item_alone_has_no_variance(name: str) -> None:
    group = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(UserError, match=r"a batch of one item .* take a larger datamodule.batch_size"):
        LOSSES[name](X[:1], Y[:1], group, group)
