import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aligners.objectives.softmax import CLIP
from aligners.spectral import aggregation
from aligners.spectral.aggregation import BatchSolution
from datamodules.pairs.pairs import PairBatch

AGGREGATES = ("sum", "accuracy", "softmax", "subspaces")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grouped(n_groups: int, n_x: int, n_y: int) -> tuple[Tensor, Tensor]:
    return torch.arange(n_x) % n_groups, torch.arange(n_y) % n_groups


def paired(n: int, coupling: Tensor, noise: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """x (n, m_x) white, y (n, m_y) = x coupling + noise, groups (n,): one to one."""
    x = normal(n, len(coupling), seed=seed)
    return x, x @ coupling + noise * normal(n, coupling.shape[1], seed=seed + 1), torch.arange(n)


def covariance(x: Tensor, y: Tensor, group: Tensor) -> Tensor:
    return aggregation.batch_covariance(x, y, group[:, None] == group)


def rows_of(x: Tensor, y: Tensor, x_group: Tensor, y_group: Tensor) -> PairBatch:
    return PairBatch(x, y, x_group, y_group, torch.arange(len(x)), torch.arange(len(y)))


def matrix(solution: BatchSolution) -> Tensor:
    return solution.U * solution.s @ solution.V.T


def aggregated(kind: str, covariances: list[Tensor], accuracies: Tensor, rank: int) -> Tensor:
    """Z (m_x, m_y) of the aggregate before its truncation, batches of equal size."""
    solutions = [aggregation.batch_solution(C, rank) for C in covariances]
    if kind == "sum":
        return sum(covariances) / len(covariances)
    if kind == "accuracy":
        return aggregation.weighted_mean(solutions, aggregation.accuracy_weights(accuracies))
    if kind == "softmax":
        return aggregation.weighted_mean(solutions, aggregation.softmax_weights(accuracies, 0.05))
    Q_x, _ = aggregation.majority_directions([solution.U for solution in solutions], rank)
    Q_y, _ = aggregation.majority_directions([solution.V for solution in solutions], rank)
    return aggregation.restricted(solutions, Q_x, Q_y)[0]


def truncated(Z: Tensor, rank: int) -> Tensor:
    """``P_r(Z)`` at norm 1."""
    U, s, Vt = torch.linalg.svd(Z)
    best = U[:, :rank] * s[:rank] @ Vt[:rank]
    return best / best.norm()


def test_a_batch_has_clips_weights_at_equal_similarities() -> None:
    x, y = normal(9, 4) + 3, normal(15, 3, seed=1) - 2  # not centred: the constant part counts
    x_group, y_group = grouped(5, 9, 15)
    positives = x_group[:, None] == y_group
    S = CLIP(1.0).weights(torch.zeros(9, 15, dtype=torch.float64), positives)
    torch.testing.assert_close(aggregation.batch_covariance(x, y, positives), x.T @ S @ y)


def test_a_batch_of_one_group_says_nothing() -> None:
    C = aggregation.batch_covariance(normal(3, 4), normal(5, 6, seed=1), torch.ones(3, 5, dtype=torch.bool))
    assert not C.any()
    solution = aggregation.batch_solution(C, 2)
    assert solution.U.shape == (4, 0)
    assert solution.V.shape == (6, 0)
    group = torch.arange(3)
    assert aggregation.retrieval_accuracy(solution, rows_of(normal(3, 4), normal(3, 6), group, group), 1.0) == 0


def test_the_sum_lacks_the_covariance_between_batches() -> None:
    x = normal(24, 4)
    y = x[:, :3].repeat_interleave(2, 0) + normal(48, 3, seed=1)
    x, y = x - x.mean(0), y - y.mean(0)
    group = torch.arange(24)
    y_group = group.repeat_interleave(2)
    whole = aggregation.batch_covariance(x, y, group[:, None] == y_group)
    within, between = torch.zeros_like(whole), torch.zeros_like(whole)
    for rows in torch.randperm(24, generator=torch.Generator().manual_seed(0)).split([5, 12, 7]):
        columns = torch.isin(y_group, rows)
        share = len(rows) / 24
        C = aggregation.batch_covariance(x[rows], y[columns], group[rows, None] == y_group[columns])
        within += share * C
        between += share * torch.outer(x[rows].mean(0), y[columns].mean(0))
    assert between.norm() > 0.01 * whole.norm()
    torch.testing.assert_close(within + between, whole)


def test_a_batch_solution_is_the_best_approximation_of_norm_one_at_full_rank() -> None:
    C = normal(7, 5)
    torch.testing.assert_close(matrix(aggregation.batch_solution(C, 5)), C / C.norm())
    U, s, Vt = torch.linalg.svd(C)
    torch.testing.assert_close(matrix(aggregation.batch_solution(C, 2)), U[:, :2] * s[:2] @ Vt[:2] / C.norm())


@settings(deadline=None, max_examples=25)
@given(n=st.integers(2, 9), rank=st.integers(1, 8), repeated=st.booleans())
def test_a_small_batch_has_the_rank_it_has(n: int, rank: int, repeated: bool) -> None:
    x, y, group = paired(n, normal(10, 6, seed=5), 0.1, seed=n)
    if repeated:
        x, y = torch.cat([x, x]), torch.cat([y, y])
        group = torch.arange(2 * n)
    solution = aggregation.batch_solution(covariance(x, y, group), rank)
    assert len(solution.s) == min(rank, n - 1, 6)  # centring takes one, repeats give none
    torch.testing.assert_close(solution.U.T @ solution.U, torch.eye(len(solution.s), dtype=torch.float64))


@pytest.mark.parametrize("kind", AGGREGATES)
@pytest.mark.parametrize("copies", [1, 2, 5])
def test_identical_batches_give_the_solution_of_one(kind: str, copies: int) -> None:
    C = covariance(*paired(40, normal(8, 6, seed=3), 0.5, seed=1))
    Z = aggregated(kind, [C] * copies, torch.full((copies,), 0.3, dtype=torch.float64), 4)
    torch.testing.assert_close(truncated(Z, 4), truncated(C, 4), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", AGGREGATES)
def test_the_order_of_the_batches_does_not_matter(kind: str) -> None:
    coupling = normal(8, 6, seed=3)
    covariances = [covariance(*paired(20, coupling, 1.0, seed=10 * b)) for b in range(5)]
    accuracies = torch.tensor([0.5, 0.1, 0.9, 0.2, 0.3], dtype=torch.float64)
    order = [3, 0, 4, 2, 1]
    one = aggregated(kind, covariances, accuracies, 3)
    other = aggregated(kind, [covariances[b] for b in order], accuracies[order], 3)
    torch.testing.assert_close(truncated(one, 3), truncated(other, 3), rtol=0, atol=1e-10)


def test_weights_of_accuracies() -> None:
    accuracies = torch.tensor([0.6, 0.2, 0.0], dtype=torch.float64)
    assert aggregation.accuracy_weights(accuracies).tolist() == pytest.approx([0.75, 0.25, 0.0])
    assert aggregation.accuracy_weights(torch.zeros(4)).tolist() == [0.25] * 4
    weights = aggregation.softmax_weights(accuracies, 0.2)
    assert float(weights[0] / weights[1]) == pytest.approx(torch.e**2)
    assert float(weights.sum()) == pytest.approx(1)
    assert aggregation.softmax_weights(accuracies, 1e-4).tolist() == pytest.approx([1, 0, 0])
    assert aggregation.softmax_weights(accuracies, 1e6).tolist() == pytest.approx([1 / 3] * 3, abs=1e-6)


def test_accuracy_is_the_mean_of_both_directions() -> None:
    # x 0 and x 1 find their y, x 2 does not; the y of group 1 finds its x, that of group 0 does not
    solution = BatchSolution(torch.eye(2).double(), torch.ones(2).double(), torch.eye(2).double())
    x = torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]]).double()
    y = torch.tensor([[0.6, 0.8], [-1.0, 0.0]]).double()
    x_group, y_group = torch.tensor([0, 0, 1]), torch.tensor([0, 1])
    accuracy = aggregation.retrieval_accuracy(solution, rows_of(x, y, x_group, y_group), 1.0)
    assert accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_batch_of_noise_is_weighed_down_and_its_directions_voted_out() -> None:
    # four batches couple the directions 0 to 2; the fifth couples 3 to 5 and holds nothing else
    signal, noise = torch.zeros(8, 8, dtype=torch.float64), torch.zeros(8, 8, dtype=torch.float64)
    signal[range(3), range(3)] = 1
    noise[range(3, 6), range(3, 6)] = 1
    couplings = [signal, signal, noise, signal, signal]
    covariances = [covariance(*paired(400, M, 0.05, seed=10 * b)) for b, M in enumerate(couplings)]
    solutions = [aggregation.batch_solution(C, 3) for C in covariances]
    x, y, group = paired(60, signal, 0.05, seed=99)
    accuracies = torch.tensor(
        [aggregation.retrieval_accuracy(Z, rows_of(x, y, group, group), 0.0) for Z in solutions], dtype=torch.float64
    )
    assert accuracies[[0, 1, 3, 4]].min() > 0.7
    assert accuracies[2] < 0.1
    assert aggregation.accuracy_weights(accuracies)[2] < 0.05
    assert aggregation.softmax_weights(accuracies, 0.05)[2] < 1e-5

    def share_of_noise(kind: str) -> float:
        Z = aggregated(kind, covariances, accuracies, 3)
        return float(Z[3:6, 3:6].norm() / Z.norm())

    assert share_of_noise("sum") > 0.2
    assert share_of_noise("accuracy") < 0.05
    assert share_of_noise("softmax") < 1e-3
    assert share_of_noise("subspaces") < 0.01
    Q, majority = aggregation.majority_directions([Z.U for Z in solutions], 3)
    assert majority == 3
    assert (Q[:3].norm(dim=0) > 0.99).all()


def test_majority_keeps_what_more_than_half_contain() -> None:
    e = torch.eye(6, dtype=torch.float64)
    bases = [e[:, [0, 1]], e[:, [0, 1]], e[:, [0, 2]], e[:, [0, 3]], e[:, :0]]  # the last has no vote
    Q, majority = aggregation.majority_directions(bases, 3)
    assert majority == 1  # e_1 is in two of four: no majority
    torch.testing.assert_close(Q.abs(), e[:, [0]])
    bases[3] = e[:, [1, 3]]
    Q, majority = aggregation.majority_directions(bases, 3)
    assert majority == 2
    torch.testing.assert_close(Q @ Q.T, e[:, :2] @ e[:, :2].T)
    assert aggregation.majority_directions(bases, 1)[0].shape == (6, 1)


def test_without_a_majority_the_most_common_directions_are_taken() -> None:
    e = torch.eye(6, dtype=torch.float64)
    Q, majority = aggregation.majority_directions([e[:, [0, 1]], e[:, [0, 2]][:, 1:], e[:, [3, 1]][:, :1]], 2)
    assert majority == 0
    assert Q.shape == (6, 2)


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 6), m=st.integers(3, 8), k=st.integers(1, 3), rank=st.integers(1, 8), seed=st.integers(0, 99))
def test_majority_directions_are_orthonormal_and_all_there_are(n: int, m: int, k: int, rank: int, seed: int) -> None:
    rank = min(rank, m)
    bases = [torch.linalg.qr(normal(m, k, seed=seed + 100 * b)).Q for b in range(n)]
    Q, majority = aggregation.majority_directions(bases, rank)
    assert Q.shape[1] == (majority or rank)
    torch.testing.assert_close(Q.T @ Q, torch.eye(Q.shape[1], dtype=torch.float64))
    support = sum((U.T @ Q).square().sum(0) for U in bases) / n
    assert (support[:majority] > 0.5).all()
    if majority < rank:  # all that is left has no majority
        beside = (
            torch.linalg.svd(Q[:, :majority], full_matrices=True)[0][:, majority:]
            if majority
            else torch.eye(m).double()
        )
        mean_projector = sum(U @ U.T for U in bases) / n
        assert torch.linalg.eigvalsh(beside.T @ mean_projector @ beside).max() < 0.5 + 1e-8


def test_restricted_is_the_mean_solution_in_the_two_subspaces() -> None:
    solutions = [aggregation.batch_solution(normal(7, 5, seed=b), 3) for b in range(4)]
    Q_x, Q_y = torch.linalg.qr(normal(7, 4)).Q, torch.linalg.qr(normal(5, 2)).Q
    Z, rank = aggregation.restricted(solutions, Q_x, Q_y)
    mean = sum(matrix(solution) for solution in solutions) / 4
    torch.testing.assert_close(Z, Q_x @ Q_x.T @ mean @ Q_y @ Q_y.T)
    assert rank == 2
