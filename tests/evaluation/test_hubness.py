"""Hubness against exact integer arithmetic, by hand, and where there is none."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from evaluation.hubness import evaluate_hubness, k_occurrences, skewness
from evaluation.scoring import own
from tests.evaluation.problems import integer_problem


def exact_counts(queries: np.ndarray, items: np.ndarray, k: int) -> list[int] | None:
    """Brute force without rounding: an item counts where fewer than k items are better, in integers."""
    if len(items) <= k:
        return None
    norm = np.maximum((items * items).sum(1), 1)
    counts = np.zeros(len(items), dtype=int)
    for row in queries:
        dot = items @ row
        score = dot * abs(dot)  # over norm: the cosine's signed square times |row|^2
        better = score[None, :] * norm[:, None] > score[:, None] * norm[None, :]  # [a, b]: b is better than a
        counts += better.sum(1) < k
    return counts.tolist()


@settings(max_examples=300, deadline=None)
@given(integer_problem(), st.integers(1, 17), st.integers(1, 6))
def test_counts_equal_exact_arithmetic_for_every_block_size(
    problem: tuple[Tensor, Tensor, Tensor, Tensor], block_size: int, k: int
) -> None:
    x, y, *_ = problem
    of_y, of_x = k_occurrences(x.float(), y.float(), k, block_size)
    assert (None if of_y is None else of_y.tolist()) == exact_counts(x.numpy(), y.numpy(), k)
    assert (None if of_x is None else of_x.tolist()) == exact_counts(y.numpy(), x.numpy(), k)


def test_counts_of_other_scores_than_cosines() -> None:
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 5, generator=g), torch.randn(90, 5, generator=g)
    scores = -torch.cdist(x, y)
    nearest = scores.topk(10).indices.flatten().bincount(minlength=90)
    by_distance = own(lambda a, b: -torch.cdist(a, b))
    of_y, _ = k_occurrences(x, y, 10, 16, by_distance)
    assert of_y is not None
    assert of_y.tolist() == nearest.tolist()
    assert evaluate_hubness(x, y, "image", "text", 10, 16, by_distance)["image_to_text"] == skewness(nearest)


@pytest.mark.parametrize("counts", [[0, 0, 0, 4], [3, 1, 1, 1, 9], list(range(50))])
def test_skewness_is_scipys(counts: list[int]) -> None:
    assert skewness(torch.tensor(counts)) == pytest.approx(scipy.stats.skew(counts), abs=1e-12)


def test_a_hub_is_seen() -> None:
    g = torch.Generator().manual_seed(0)
    x, y = (torch.nn.functional.normalize(torch.randn(200, 40, generator=g)) for _ in range(2))
    middle = x.mean(0, keepdim=True)
    drawn = y + 3 * middle / middle.norm() * (torch.arange(200) < 5)[:, None]  # five y lie towards all x
    x = x + 0.5 * middle / middle.norm()
    before, after = (evaluate_hubness(x, each, "a", "b", 10, 64)["a_to_b"] for each in (y, drawn))
    assert after > before + 2


def test_collapsed_embeddings_have_none_and_small_galleries_are_not_asked() -> None:
    same = torch.ones(20, 3)
    assert evaluate_hubness(same, same, "a", "b", 10, 8) == {"a_to_b": 0.0, "b_to_a": 0.0}
    assert list(evaluate_hubness(same, same[:10], "a", "b", 10, 8)) == ["b_to_a"]
    assert evaluate_hubness(same[:3], same[:10], "a", "b", 10, 8) == {}
    with pytest.raises(ValueError, match="NaN"):
        evaluate_hubness(same / 0, same, "a", "b", 10, 8)
