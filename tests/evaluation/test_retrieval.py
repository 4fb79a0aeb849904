"""Ranks against exact integer arithmetic, and every pitfall of retrieval metrics as a case."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMRR

from evaluation.nearest import top_matches
from evaluation.retrieval import evaluate_retrieval, ranks, ranks_both_ways, rates_both_ways, retrieval_metrics
from evaluation.scoring import own
from tests.evaluation.problems import integer_problem


def exact_ranks(x: np.ndarray, y: np.ndarray, x_group: np.ndarray, y_group: np.ndarray) -> list[int]:
    """Brute force on integer vectors without rounding: cosines compare as d |d| / |y|^2, in integers."""
    norm = (y * y).sum(1)
    norm = np.where(norm == 0, 1, norm)
    result = []
    for row, group in zip(x, x_group, strict=True):
        dot = y @ row
        score = dot * abs(dot)  # over norm: the cosine's signed square times |x|^2
        at_least = score[:, None] * norm[None, :] >= score[None, :] * norm[:, None]  # [a, b]: a is at least b
        if at_least.all():
            result.append(1 + int(np.flatnonzero(y_group == group)[0]))
            continue
        positive = y_group == group
        best = next(p for p in np.flatnonzero(positive) if at_least[p, positive].all())
        result.append(1 + int((at_least[:, best] & ~positive).sum()))
    return result


@settings(max_examples=300, deadline=None)
@given(integer_problem(), st.integers(1, 17))
def test_ranks_equal_exact_arithmetic_for_every_block_size(
    problem: tuple[Tensor, Tensor, Tensor, Tensor], block_size: int
) -> None:
    expected = exact_ranks(*(t.numpy() for t in problem))
    x, y, x_group, y_group = problem
    assert ranks(x.float(), y.float(), x_group, y_group, block_size).tolist() == expected


def random_problem(n: int = 300, captions: int = 5, r: int = 24, seed: int = 0) -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, r, generator=g)
    y = x.repeat_interleave(captions, 0) + 2 * torch.randn(n * captions, r, generator=g)
    group = torch.arange(n)
    return x, y, group, group.repeat_interleave(captions)


@pytest.mark.parametrize("block_size", [1, 7, 39, 40, 64, 200, 10_000])
def test_ranks_do_not_depend_on_the_block_size(block_size: int) -> None:
    x, y, x_group, y_group = random_problem(n=40)
    assert torch.equal(ranks(x, y, x_group, y_group, block_size), ranks(x, y, x_group, y_group, block_size=33))
    assert torch.equal(ranks(y, x, y_group, x_group, block_size), ranks(y, x, y_group, x_group, block_size=33))


def test_ranks_do_not_depend_on_the_order_of_the_items() -> None:
    x, y, x_group, y_group = random_problem()
    g = torch.Generator().manual_seed(1)
    p, q = torch.randperm(len(x), generator=g), torch.randperm(len(y), generator=g)
    assert torch.equal(ranks(x[p], y[q], x_group[p], y_group[q], 64), ranks(x, y, x_group, y_group, 64)[p])


@pytest.mark.parametrize("scale", [3.0, 1e-12, 1e12, 1e-200, 1e200])
def test_ranks_do_not_depend_on_the_scale_of_any_row(scale: float) -> None:
    x, y, x_group, y_group = random_problem(n=60)
    x, y = x.double(), y.double()
    own = torch.linspace(0.5, 2.0, len(y), dtype=torch.float64)[:, None]
    expected = ranks(x, y, x_group, y_group, 64)
    assert torch.equal(ranks(x * scale, y * own, x_group, y_group, 64), expected)
    assert torch.equal(ranks(x, y * scale, x_group, y_group, 64), expected)


def test_equal_items_tie_in_any_position() -> None:
    # Every gallery item stands there 40 times, once with each query's group: all 39 others are as good.
    g = torch.Generator().manual_seed(0)
    base = torch.randn(30, 131, generator=g)
    y, y_group = base.repeat(40, 1), torch.arange(30 * 40)
    x, x_group = base, torch.arange(30) + 30 * torch.randint(0, 40, (30,), generator=g)
    for block_size in (37, 256, 5000):
        assert ranks(x, y, x_group, y_group, block_size).tolist() == [40] * 30


def test_a_perfect_model_with_five_captions_is_100_in_both_directions() -> None:
    x, _, x_group, y_group = random_problem()
    metrics = evaluate_retrieval(x, x[y_group], x_group, y_group, "image", "text", 64)
    assert set(metrics) == {
        f"{way}/{key}"
        for way in ("image_to_text", "text_to_image")
        for key in ("R@1", "R@5", "R@10", "median_rank", "mrr")
    } | {"mean_recall"}
    assert all(value == (1.0 if key.endswith("median_rank") else 100.0) for key, value in metrics.items())


def test_both_directions_together_are_the_two_apart() -> None:
    x, y, x_group, y_group = random_problem(n=70, captions=3)
    x, x_group = torch.cat([x, y[:20]]), torch.cat([x_group, y_group[:20]])  # several x of one group
    metrics = evaluate_retrieval(x, y, x_group, y_group, "audio", "text", 16)
    there = retrieval_metrics(ranks(x, y, x_group, y_group, 50))
    back = retrieval_metrics(ranks(y, x, y_group, x_group, 50))
    assert {k: v for k, v in metrics.items() if k.startswith("audio_to_text/")} == {
        f"audio_to_text/{k}": v for k, v in there.items()
    }
    assert {k: v for k, v in metrics.items() if k.startswith("text_to_audio/")} == {
        f"text_to_audio/{k}": v for k, v in back.items()
    }
    six = [d[k] for d in (there, back) for k in ("R@1", "R@5", "R@10")]
    assert metrics["mean_recall"] == pytest.approx(sum(six) / 6)


@pytest.mark.parametrize("which", ["x", "y", "both", "zero"])
def test_collapsed_embeddings_score_chance(which: str) -> None:
    n = 40
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, 8, generator=g), torch.randn(n, 8, generator=g)
    one = torch.randn(1, 8, generator=g) * (which != "zero")
    x = one.repeat(n, 1) if which != "y" else x
    y = one.repeat(n, 1) if which != "x" else y
    group = torch.randperm(n, generator=g)
    metrics = evaluate_retrieval(x, y, group, group, "image", "text", 16)
    for way in ("image_to_text", "text_to_image"):
        assert [metrics[f"{way}/R@{k}"] for k in (1, 5, 10)] == pytest.approx([2.5, 12.5, 25.0])
        assert metrics[f"{way}/median_rank"] == 20.5


def test_collapse_in_the_gallerys_order_with_groups() -> None:
    y_group = torch.tensor([2, 0, 1, 0, 2])
    collapsed = ranks(torch.ones(3, 4), torch.ones(5, 4), torch.tensor([0, 1, 2]), y_group, 2)
    assert collapsed.tolist() == [2, 3, 1]


def test_items_at_right_angles_tie_although_their_cosines_are_rounding_errors() -> None:
    g = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(64, 64, generator=g, dtype=torch.float64)).Q
    x, y = turn[:1] * 3, turn[1:] * torch.arange(1.0, 64.0)[:, None]
    y = torch.cat([y, -x])  # one candidate at -1, so that the rule for equal scores does not come in
    assert not torch.equal(x @ y[:-1].T, torch.zeros(1, 63, dtype=torch.float64))
    for block_size in (1, 10, 100):
        assert ranks(x, y, torch.tensor([5]), torch.arange(64), block_size).tolist() == [63]
        assert top_matches(x, y, 64, block_size).tolist() == [list(range(64))]


def test_a_tie_counts_against_the_query() -> None:
    x = torch.tensor([[1.0, 0.0]])
    y = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])  # the positive, its equal in direction, another
    assert ranks(x, y, torch.tensor([0]), torch.tensor([0, 1, 2]), 8).tolist() == [2]
    assert ranks(x, y, torch.tensor([2]), torch.tensor([0, 1, 2]), 8).tolist() == [3]


def test_positives_of_negative_cosine_count() -> None:
    x = torch.tensor([[1.0, 0.0]])
    y = torch.tensor([[-0.1, 1.0], [-1.0, 1.0], [-1.0, 0.0]])  # cosines -0.1, -0.7, -1
    result = retrieval_metrics(ranks(x, y, torch.tensor([5]), torch.tensor([5, 6, 7]), 8))
    assert result["R@1"] == 100.0
    assert result["mrr"] == 100.0


def test_any_of_several_positives_counts_and_positives_do_not_push_each_other() -> None:
    x = torch.tensor([[1.0, 0.0]])
    y = torch.tensor([[1.0, 0.3], [1.0, 0.1], [1.0, 0.2], [-1.0, 0.0]])  # positive, other, positive, positive
    assert ranks(x, y, torch.tensor([1]), torch.tensor([1, 0, 1, 1]), 2).tolist() == [2]


def test_metrics_agree_with_torchmetrics_where_it_is_right() -> None:
    # torchmetrics drops positives of score <= 0, so its scores are shifted; no ties in random data.
    x, y, x_group, y_group = random_problem(n=50, captions=3)
    score = torch.nn.functional.normalize(x.double(), dim=1) @ torch.nn.functional.normalize(y.double(), dim=1).T
    target = x_group[:, None] == y_group[None, :]
    query = torch.arange(len(x))[:, None].expand_as(target)
    flat = (score.flatten() + 2, target.flatten(), query.flatten())
    own = retrieval_metrics(ranks(x, y, x_group, y_group, 32))
    for k in (1, 5, 10):
        assert own[f"R@{k}"] == pytest.approx(100 * float(RetrievalHitRate(top_k=k)(*flat)))
    assert own["mrr"] == pytest.approx(100 * float(RetrievalMRR()(*flat)))
    assert 0 < own["R@1"] < 100


def test_metrics_by_hand() -> None:
    metrics = retrieval_metrics(torch.tensor([1, 2, 10, 20]))
    assert metrics == pytest.approx(
        {"R@1": 25.0, "R@5": 50.0, "R@10": 75.0, "median_rank": 6.0, "mrr": 100 * (1 + 0.5 + 0.1 + 0.05) / 4}
    )


def test_a_gallery_smaller_than_k() -> None:
    metrics = evaluate_retrieval(torch.eye(2), torch.eye(2), torch.arange(2), torch.arange(2), "a", "b", 8)
    assert metrics["mean_recall"] == 100.0
    assert top_matches(torch.eye(2), torch.eye(2), 10, 8).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_float_dtype_is_scored_in_float64(dtype: torch.dtype) -> None:
    x, y, x_group, y_group = random_problem(n=60)
    x, y = x.to(dtype), y.to(dtype)
    assert torch.equal(ranks(x, y, x_group, y_group, 64), ranks(x.double(), y.double(), x_group, y_group, 64))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused(bad: float) -> None:
    x = torch.eye(3)
    y = x.clone()
    y[1, 2] = bad
    group = torch.arange(3)
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 3 rows"):
        ranks(x, y, group, group, 8)
    with pytest.raises(ValueError, match="NaN or infinity"):
        top_matches(y, x, 1, 8)


def test_a_query_without_positive_is_refused() -> None:
    group = torch.arange(3)
    with pytest.raises(ValueError, match="2 of 3 queries have no positive"):
        ranks(torch.eye(3), torch.eye(3), group, torch.tensor([2, 9, 9]), 8)


def test_other_misuse_is_refused() -> None:
    eye, group = torch.eye(3), torch.arange(3)
    with pytest.raises(ValueError, match="block_size"):
        ranks(eye, eye, group, group, 0)
    with pytest.raises(ValueError, match="differ in width"):
        ranks(eye, torch.ones(3, 2), group, group, 8)
    with pytest.raises(ValueError, match="as many groups"):
        ranks(eye, eye, group[:2], group, 8)
    with pytest.raises(ValueError, match="two names"):
        evaluate_retrieval(eye, eye, group, group, "image", "image", 8)
    with pytest.raises(ValueError, match="at least one row"):
        ranks(eye[:0], eye, group[:0], group, 8)
    with pytest.raises(ValueError, match="at least one query"):
        retrieval_metrics(group[:0])
    with pytest.raises(ValueError, match="k must be"):
        top_matches(eye, eye, 0, 8)


@settings(max_examples=50, deadline=None)
@given(integer_problem(), st.integers(1, 17))
def test_a_score_of_ones_own_ranks_both_directions(
    problem: tuple[Tensor, Tensor, Tensor, Tensor], block_size: int
) -> None:
    """Minus the squared distance, in integers: exact, not symmetric in scale, and no cosine."""
    x, y, x_group, y_group = problem
    x, x_group = torch.cat([x, x[:1]]), torch.cat([x_group, x_group[:1]])
    y, y_group = torch.cat([y, y[: len(x_group)]]), torch.cat([y_group, y_group[: len(x_group)]])
    kept = torch.isin(y_group, x_group)  # every query of both directions has a positive
    y, y_group = y[kept], y_group[kept]
    scorer = own(lambda a, b: 2 * (a @ b.T) - (a * a).sum(1)[:, None] - (b * b).sum(1))
    both = ranks_both_ways(x.float(), y.float(), x_group, y_group, "a", "b", block_size, scorer)
    for way, queries, gallery, of_query, of_gallery in (
        ("a_to_b", x, y, x_group, y_group), ("b_to_a", y, x, y_group, x_group),
    ):  # fmt: skip
        score = -torch.cdist(queries.double(), gallery.double(), compute_mode="donot_use_mm_for_euclid_dist").square()
        score = score.round()
        positive = of_query[:, None] == of_gallery
        best = score.masked_fill(~positive, -torch.inf).amax(1, keepdim=True)
        expected = 1 + ((score >= best) & ~positive).sum(1)
        flat = (score == score[:, :1]).all(1)
        expected[flat] = 1 + positive[flat].int().argmax(1)
        assert torch.equal(both[way], expected)
    assert rates_both_ways(both)["a_to_b/R@1"] == 100 * float((both["a_to_b"] == 1).double().mean())
