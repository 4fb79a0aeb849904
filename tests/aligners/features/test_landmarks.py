from functools import partial

import pytest
import torch
from torch import Tensor

from aligners.features import landmarks
from aligners.features.kernels import KERNELS
from aligners.features.landmarks import (
    AUTO_PRODUCTS,
    ROW_SELECTIONS,
    Size,
    kmeans,
    kmeans_plus_plus,
    leverage,
    number_of,
    sample_size,
    select,
    selected,
)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=draws(seed), dtype=torch.float64)


def clusters(sizes: list[int], d: int = 8) -> tuple[Tensor, Tensor]:
    """Rows around far-apart centres in random order, and the cluster of each."""
    of = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    of = of[torch.randperm(len(of), generator=draws(5))]
    return 10 * normal(len(sizes), d, seed=6)[of] + 0.01 * normal(len(of), d, seed=7), of


def linear(sample: Tensor) -> dict[str, object]:
    return {"gram": partial(KERNELS["linear"], bandwidth=1.0), "diagonal": sample.square().sum(1)}


@pytest.mark.parametrize("selection", ROW_SELECTIONS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_rule_chooses_m_different_rows_by_the_seed(selection: str, kernel: str) -> None:
    sample = normal(sample_size(selection, 30, [Size(1000, 12)]), 50)
    first, again = (select(selection, sample, 30, kernel, 3.0, draws(2)) for _ in range(2))
    assert torch.equal(first, again)
    assert len(first.unique()) == 30
    other = select(selection, sample, 30, kernel, 3.0, draws(3))
    assert torch.equal(first, other) == (selection == "uniform")  # the sample itself is drawn


@pytest.mark.parametrize("selection", ROW_SELECTIONS)
def test_fewer_rows_than_landmarks_are_all_taken(selection: str) -> None:
    for number in (5, 9):
        assert select(selection, normal(5, 3), number, "linear", 1.0, draws()).tolist() == [0, 1, 2, 3, 4]


def test_uniform_takes_the_first_rows() -> None:
    assert select("uniform", normal(9, 3), 4, "linear", 1.0, draws()).tolist() == [0, 1, 2, 3]
    assert sample_size("uniform", 7, [Size(1000, 12)]) == 7


@pytest.mark.parametrize("selection", ["kmeans++", "leverage", "rpcholesky"])
def test_small_clusters_get_a_landmark(selection: str) -> None:
    sample, of = clusters([380, 5, 5, 5, 5])
    distinct = [len(of[select(selection, sample, 20, "linear", 1.0, draws(seed))].unique()) for seed in range(20)]
    uniform = [len(of[torch.randperm(400, generator=draws(seed))[:20]].unique()) for seed in range(20)]
    assert sum(distinct) / 20 > 4
    assert sum(uniform) / 20 < 3


def test_kmeans_plus_plus_draws_in_proportion_to_the_squared_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first three landmarks against the probabilities of the sequential draw, many seeds."""
    monkeypatch.setattr(landmarks, "CANDIDATES", 4)
    sample = torch.tensor([[0.0], [1.0], [2.0], [4.0]], dtype=torch.float64)
    counts = torch.zeros(4, 4)
    n = 2000
    for seed in range(n):
        first, second, third = kmeans_plus_plus(sample, 3, draws=draws(seed), **linear(sample)).tolist()
        assert first == 0
        counts[second, third] += 1
    from_0 = torch.tensor([0.0, 1.0, 4.0, 16.0])
    expected = torch.zeros(4, 4)
    for second in (1, 2, 3):
        left = torch.minimum(from_0, (sample[:, 0] - sample[second]).square().float())
        expected[second] = from_0[second] / from_0.sum() * left / left.sum()
    torch.testing.assert_close(counts / n, expected, rtol=0, atol=0.035)  # three standard errors


def test_kmeans_plus_plus_ends_where_only_duplicates_are_left() -> None:
    sample = normal(3, 6).repeat(40, 1)
    for kernel in KERNELS:
        chosen = select("kmeans++", sample, 10, kernel, 2.0, draws())
        assert sorted((chosen % 3).tolist()) == [0, 1, 2], kernel


def test_leverage_is_the_ridge_leverage_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the pilot the whole of the data's span, the scores are diag(K (K + gamma I)^-1)."""
    weights: list[Tensor] = []

    def multinomial(scores: Tensor, number: int, generator: torch.Generator) -> Tensor:
        weights.append(scores)
        return torch.arange(number)

    monkeypatch.setattr(landmarks.torch, "multinomial", multinomial)
    half = normal(40, 40)
    sample = torch.cat([half, half])  # the pilot is one half: k = 2 s, and S S^T has weights 2
    gram = half @ half.T
    leverage(sample, 40, draws=draws(), **linear(sample))
    values, q = torch.linalg.eigvalsh(gram), 3  # ceil(40 / (4 log 41))
    gamma = 2 * values[:-q].sum() / q
    full = sample @ sample.T
    expected = torch.linalg.solve(full + gamma * torch.eye(80, dtype=torch.float64), full).diagonal()
    torch.testing.assert_close(weights[0], expected)


def test_leverage_needs_no_more_than_m_rows_of_weight() -> None:
    sample = torch.zeros(40, 3, dtype=torch.float64)
    sample[:2, :2] = torch.eye(2, dtype=torch.float64)
    assert len(leverage(sample, 10, draws=draws(), **linear(sample)).unique()) == 10


def test_kmeans_plus_plus_takes_no_row_twice_when_its_distance_to_itself_is_rounding() -> None:
    sample = normal(20, 5)

    def rough(a: Tensor, b: Tensor) -> Tensor:
        return a @ b.T - 2.0  # every squared distance, also to itself, is 4 too large

    for seed in range(10):
        chosen = kmeans_plus_plus(sample, 18, rough, sample.square().sum(1), draws(seed))
        assert len(chosen.unique()) == 18


def test_kmeans_is_one_iteration_of_lloyds_from_the_first_rows() -> None:
    sample = normal(50, 3)
    nearest = torch.cdist(sample, sample[:7]).argmin(1)
    expected = torch.stack([sample[nearest == each].mean(0) for each in range(7)])
    centres = kmeans(sample, 7)
    assert centres.dtype == sample.dtype
    torch.testing.assert_close(centres, expected, rtol=1e-5, atol=1e-6)


def test_kmeans_leaves_a_cluster_without_rows_as_it_is() -> None:
    sample = torch.tensor([[0.0], [0.0], [1.0]])  # the second centre ties with the first, which takes all
    assert kmeans(sample, 2).tolist()[1] == [0.0]


def test_kmeans_of_as_many_rows_as_landmarks_are_the_rows() -> None:
    sample = normal(9, 3).float().double()
    assert torch.equal(kmeans(sample, 9), sample)


@pytest.mark.parametrize("selection", ROW_SELECTIONS)
def test_rules_of_rows_give_rows(selection: str) -> None:
    sample = normal(200, 12)
    rows = selected(selection, sample, 20, "rbf", 3.0, draws(1))
    assert {tuple(row) for row in rows.tolist()} <= {tuple(row) for row in sample.tolist()}


def test_auto_takes_as_many_as_the_products_allow() -> None:
    numbers = [number_of("auto", [Size(rows, 500)]) for rows in (10, 1024, 3000, 14_000, 10**6)]
    assert numbers == [10, 1024, 3000, 3312, 1024]
    assert 14_000 * 3312 * (500 + 3312 / 2) <= AUTO_PRODUCTS < 14_000 * 3313 * (500 + 3313 / 2)
    assert number_of(30, [Size(20, 500)]) == 20
    many = [Size(10**6, 500)]
    assert [sample_size(selection, "auto", many) for selection in ("uniform", "kmeans")] == [1024, 4096]
    assert sample_size("kmeans", "auto", [Size(5000, 500)]) == 5000


def test_auto_gives_both_modalities_as_many() -> None:
    x, y = Size(6000, 1280), Size(30_000, 768)
    m = number_of("auto", [x, y])
    assert m == number_of("auto", [y, x])
    assert sum(n * m * (d + m / 2) for n, d in (x, y)) <= AUTO_PRODUCTS
    assert sum(n * (m + 1) * (d + (m + 1) / 2) for n, d in (x, y)) > AUTO_PRODUCTS
    few = Size(1100, 1280)
    assert number_of("auto", [few, y]) == 1100 < number_of("auto", [y, few])
