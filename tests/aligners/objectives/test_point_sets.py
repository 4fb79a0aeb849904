"""Sets of weighted points by hand, by finite differences, and where they are what is known."""

import math
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.objectives.point_sets import (
    PointKernel,
    PointSets,
    kme_logits,
    kme_similarity,
    point_sets,
    scored,
    sets_of_rows,
    wpse_similarity,
)
from aligners.objectives.softmax import CLIP
from evaluation.scoring import COSINE

X, Y = 3, 4
POSITIVES = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]]).bool()
SIMILARITIES = {
    "kme gaussian": lambda x, y: kme_similarity(x, y, "gaussian", 0.3),
    "kme inverse multiquadric": lambda x, y: kme_similarity(x, y, "inverse_multiquadric", 0.3),
    "wpse gaussian": lambda x, y: wpse_similarity(x, y, "gaussian", 0.5, 0.667),
    "wpse inverse multiquadric": lambda x, y: wpse_similarity(x, y, "inverse_multiquadric", 0.5, 0.667),
}


def drawn(n: int, m: int, r: int, seed: int) -> Tensor:
    return torch.randn(n, m * (r + 1), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def some(m: int = 2) -> tuple[PointSets, PointSets]:
    return point_sets(drawn(X, m, 3, 0), m), point_sets(drawn(Y, m, 3, 1), m)


def by_hand(kernel: PointKernel, square: float, distance: float) -> float:
    if kernel == "gaussian":
        return math.exp(-(distance**2) / (2 * square))
    return math.sqrt(square) / math.sqrt(square + distance**2)


@pytest.mark.parametrize("kernel", ["gaussian", "inverse_multiquadric"])
def test_values_are_the_sums_over_pairs_of_points(kernel: PointKernel) -> None:
    x, y = some()
    logits, similarity = kme_logits(x, y, kernel, 0.3), wpse_similarity(x, y, kernel, 0.5, 0.667)
    assert logits.shape == similarity.shape == (X, Y)
    for i, j in product(range(X), range(Y)):
        mean = mean_of_both = 0.0
        for k, l in product(range(2), range(2)):  # noqa: E741
            u, v = x.points[i, k], y.points[j, l]
            weight = math.exp(x.log_weights[i, k]) * math.exp(y.log_weights[j, l])
            distance = float((u - v).norm())
            mean += weight * by_hand(kernel, 0.3, distance)
            mean_of_both += weight * (0.667 * float(u @ v) + 0.333 * by_hand(kernel, 0.25, distance))
        assert float(logits[i, j]) == pytest.approx(math.log(mean), abs=1e-12)
        assert float(similarity[i, j]) == pytest.approx(mean_of_both, abs=1e-12)


def test_the_loss_is_symmetric_cross_entropy_of_the_logits() -> None:
    x, y = some()
    logits = kme_logits(x, y, "gaussian", 0.3)
    rows = cols = 0.0
    for i in range(X):
        mine = [j for j in range(Y) if POSITIVES[i, j]]
        total = math.log(sum(math.exp(float(logit)) for logit in logits[i]))
        rows += sum(total - float(logits[i, j]) for j in mine) / len(mine) / X
    for j in range(Y):
        (i,) = (i for i in range(X) if POSITIVES[i, j])
        cols += (math.log(sum(math.exp(float(logit)) for logit in logits[:, j])) - float(logits[i, j])) / Y
    similarity = kme_similarity(x, y, "gaussian", 0.3)
    loss = CLIP(tau=1.0).of_cosines(similarity, POSITIVES, torch.tensor(1 / 0.3, dtype=torch.float64))
    assert float(loss) == pytest.approx((rows + cols) / 2, abs=1e-12)


@pytest.mark.parametrize("name", SIMILARITIES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        return CLIP(tau=0.1)(SIMILARITIES[name](point_sets(a, 2), point_sets(b, 2)), POSITIVES)

    assert torch.autograd.gradcheck(loss, (drawn(X, 2, 3, 0).requires_grad_(), drawn(Y, 2, 3, 1).requires_grad_()))


def test_the_width_gets_its_gradient_too() -> None:
    x, y = some()
    tau = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda each: kme_logits(x, y, "gaussian", each), (tau,))


def test_one_point_is_clip() -> None:
    x, y = some(m=1)
    cosine = normalize(x.points[:, 0]) @ normalize(y.points[:, 0]).T
    tau = 0.07
    torch.testing.assert_close(kme_logits(x, y, "gaussian", tau), (cosine - 1) / tau, rtol=0, atol=1e-12)
    ours, clips = (tau * CLIP(1.0)(kme_logits(x, y, "gaussian", tau), POSITIVES), CLIP(tau)(cosine, POSITIVES))
    torch.testing.assert_close(ours, clips, rtol=0, atol=1e-12)
    torch.testing.assert_close(wpse_similarity(x, y, "gaussian", 0.5, 1.0), cosine, rtol=0, atol=1e-12)


def test_points_that_are_one_are_one_point() -> None:
    x, y = some(m=1)
    twice = PointSets(x.points.repeat(1, 3, 1), torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).log().expand(X, 3))
    for similarity in SIMILARITIES.values():
        torch.testing.assert_close(similarity(twice, y), similarity(x, y), rtol=0, atol=1e-12)


@pytest.mark.parametrize("tau", [1e-2, 1e-4, 1e-6])
def test_a_narrow_kernel_is_summed_in_the_log_domain(tau: float) -> None:
    """Each term underflows; the largest is what is left."""
    x, y = some()
    single = [PointSets(each.points.float(), each.log_weights.float()) for each in (x, y)]
    logits = kme_logits(*single, "gaussian", tau)
    cosines = torch.einsum("akr,blr->abkl", x.points, y.points)
    weights = x.log_weights[:, None, :, None] + y.log_weights[None, :, None]
    highest = (weights + (cosines - 1) / tau).flatten(2).amax(2)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits.double(), highest, rtol=1e-5, atol=2 * math.log(2))
    leaf = drawn(X, 2, 3, 0).float().requires_grad_()
    kme_logits(point_sets(leaf, 2), single[1], "gaussian", tau).sum().backward()
    assert leaf.grad is not None
    assert torch.isfinite(leaf.grad).all()


@pytest.mark.parametrize("name", SIMILARITIES)
def test_scores_depend_on_neither_blocks_nor_the_order_of_points(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    m, r = 3, 5
    x, y = (point_sets(drawn(n, m, r, seed), m).rows().float() for n, seed in ((31, 2), (37, 3)))
    y[20:30] = y[5]  # equal items
    score = partial(scored, m=m, similarity=SIMILARITIES[name])
    whole = score(x, y)
    assert whole.dtype == torch.float64
    assert whole.abs().max() <= 1
    assert torch.equal(whole[:, 20:30], whole[:, 5:6].expand(-1, 10))
    for size in (1, 4, 13):
        blocks = [torch.cat([score(a, b) for b in y.split(size)], 1) for a in x.split(size + 1)]
        assert torch.equal(torch.cat(blocks), whole)
    order = torch.tensor([2, 0, 1])
    permuted = sets_of_rows(y, m)
    assert torch.equal(score(x, PointSets(permuted.points[:, order], permuted.log_weights[:, order]).rows()), whole)
    monkeypatch.setattr("aligners.objectives.point_sets._IN_MEMORY", 40 * m * m)
    assert torch.equal(score(x, y), whole)


def test_scores_of_one_point_are_the_cosines_that_others_are_ranked_by() -> None:
    x, y = (point_sets(drawn(n, 1, 6, seed), 1) for n, seed in ((20, 4), (30, 5)))
    rows = [each.rows().float() for each in (x, y)]
    cosines = COSINE.score(*(COSINE.prepare(each[:, :6]) for each in rows))
    assert torch.equal(scored(*rows, 1, SIMILARITIES["kme gaussian"]).float(), cosines)
    assert torch.equal(
        scored(*rows, 1, partial(wpse_similarity, kernel="gaussian", width=0.5, linear=1.0)).float(), cosines
    )


def test_rows_are_read_as_they_are_written() -> None:
    sets = point_sets(drawn(X, 4, 3, 0), 4)
    again = sets_of_rows(sets.rows(), 4)
    assert torch.equal(again.points, sets.points)
    assert torch.equal(again.log_weights, sets.log_weights)
    torch.testing.assert_close(sets.log_weights.exp().sum(1), torch.ones(X).double())
    torch.testing.assert_close(sets.points.norm(dim=2), torch.ones(X, 4).double())
