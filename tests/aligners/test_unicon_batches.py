import logging
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.base.arrays import fit_arrays
from aligners.spectral import aggregation
from aligners.unicon_batches import Aggregate, UniConBatches
from datamodules.pairs.batches import GroupBatches
from datamodules.pairs.pairs import PairBatch, Pairs
from ground.errors import UserError
from tests.aligners.processes import fit_by_two

RANK = 6


def fitted(pairs: Pairs, batch_size: int, **changed: object) -> UniConBatches:
    return logged(pairs, batch_size, **changed)[0]


def logged(pairs: Pairs, batch_size: int, **changed: object) -> tuple[UniConBatches, dict[str, Tensor]]:
    """A fitted aligner, and what its fit logged."""
    aligner = UniConBatches(**{"rank": RANK, "lam": 0.3, "weight_power": 1.0, **changed})
    trainer = fit_arrays(
        aligner, pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, batch_size=batch_size
    )  # fmt: skip
    return aligner, trainer.callback_metrics


def cosines(x: Tensor, y: Tensor) -> Tensor:
    return normalize(x) @ normalize(y).T


def whitened(pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """The whole split's rows in the shared feature space, and its cross-covariance there, from definitions."""
    rows = []
    for features in (pairs.x, pairs.y):
        phi = normalize(features.double() - features.double().mean(0))
        phi = phi - phi.mean(0)
        covariance = phi.T @ phi / len(phi)
        m = len(covariance)
        ridged = covariance + 0.3 * covariance.trace() / m * torch.eye(m, dtype=torch.float64)
        rows.append(phi @ torch.linalg.inv(torch.linalg.cholesky(ridged)).T)
    x, y = rows
    return x, y, aggregation.batch_covariance(x, y, pairs.group[:, None] == pairs.y_group)


@pytest.mark.parametrize("aggregate", get_args(Aggregate))  # majority's one model has an embedding too
@pytest.mark.parametrize("weight_power", [0.5, 1.0])
def test_one_batch_gives_the_closed_form_of_the_whole_split(pairs: Pairs, aggregate: str, weight_power: float) -> None:
    pairs = replace(pairs, x=pairs.x.double(), y=pairs.y.double())
    aligner = fitted(pairs, batch_size=61, aggregate=aggregate, weight_power=weight_power)
    x, y, C = whitened(pairs)
    U, s, Vt = torch.linalg.svd(C)
    weights = s[:RANK] ** weight_power
    expected = cosines(x @ U[:, :RANK] * weights, y @ Vt[:RANK].T * weights)
    ours = cosines(aligner.embed_x(aligner.prepare_x(pairs.x)), aligner.embed_y(aligner.prepare_y(pairs.y)))
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-8)
    torch.testing.assert_close(aligner.singular_values[0] / aligner.singular_values, s[0] / s[:RANK])


def batches_of(pairs: Pairs, batch_size: int) -> list[tuple[Tensor, Tensor]]:
    """Rows of x and of y of each of the first epoch's batches."""
    rows = GroupBatches(pairs.group, batch_size, seed=0)
    return [(batch.x_index, batch.y_index) for batch in (pairs[index] for index in rows)]


@pytest.mark.parametrize("aggregate", ["accuracy", "softmax"])
def test_without_validation_a_batch_is_judged_within_each_other_batch(pairs: Pairs, aggregate: str) -> None:
    aligner, metrics = logged(pairs, batch_size=16, aggregate=aggregate)
    x, y, _ = whitened(pairs)
    batches = batches_of(pairs, 16)
    assert len(batches) == 4
    solutions, accuracies = [], []
    for i, j in batches:
        C = aggregation.batch_covariance(x[i], y[j], pairs.group[i, None] == pairs.y_group[j])
        solutions.append(aggregation.batch_solution(C, RANK))
    for number, solution in enumerate(solutions):
        others = [batch for other, batch in enumerate(batches) if other != number]
        each = [
            aggregation.retrieval_accuracy(solution, PairBatch(x[i], y[j], pairs.group[i], pairs.y_group[j], i, j), 1.0)
            for i, j in others
        ]
        accuracies.append(sum(each) / len(each))
    accuracies = torch.tensor(accuracies, dtype=torch.float64)
    assert len(accuracies.unique()) > 1
    assert float(metrics["fit/accuracy"]) == pytest.approx(float(accuracies.mean()))
    if aggregate == "accuracy":
        weights = accuracies / accuracies.sum()
    else:
        weights = aggregation.softmax_weights(accuracies, aligner.temperature)
    U, s, Vt = torch.linalg.svd(sum(w * (Z.U * Z.s @ Z.V.T) for w, Z in zip(weights, solutions, strict=True)))
    expected = cosines(x @ U[:, :RANK] * s[:RANK], y @ Vt[:RANK].T * s[:RANK])
    torch.testing.assert_close(cosines(aligner.encode_x(pairs.x), aligner.encode_y(pairs.y)), expected.float())


def test_the_sum_nears_the_closed_form_where_batches_are_few(pairs: Pairs) -> None:
    x, y, whole = whitened(pairs)
    U, s, Vt = torch.linalg.svd(whole)
    exact = cosines(x @ U[:, :RANK] * s[:RANK], y @ Vt[:RANK].T * s[:RANK]).float()

    def distance(batch_size: int) -> float:
        aligner = fitted(pairs, batch_size, aggregate="sum")
        return float((cosines(aligner.encode_x(pairs.x), aligner.encode_y(pairs.y)) - exact).abs().mean())

    assert distance(61) < 1e-5 < distance(31) < distance(4) < 0.2


def test_a_majority_below_the_rank_leaves_dimensions_zero(pairs: Pairs, caplog: pytest.LogCaptureFixture) -> None:
    aligner, metrics = logged(pairs, batch_size=8, aggregate="subspaces", rank=8)
    majorities = [int(metrics[f"fit/majority_{name}"]) for name in "xy"]
    kept = min(majorities)
    assert 0 < kept < 8
    assert "more than half" not in caplog.text
    for embeddings in (aligner.encode_x(pairs.x), aligner.encode_y(pairs.y)):
        assert embeddings.shape[1] == 8
        assert (embeddings[:, :kept].abs().amax(0) > 0).all()
        assert not embeddings[:, kept:].any()
    assert not aligner.singular_values[kept:].any()


def test_where_no_direction_has_a_majority_it_says_so(caplog: pytest.LogCaptureFixture) -> None:
    x, y = torch.eye(24), torch.eye(24)  # the batches' items are at right angles: nothing is in two of them
    with caplog.at_level(logging.WARNING):
        aligner = UniConBatches(rank=2, unit=False, aggregate="subspaces").fit(x, y, batch_size=4)
    assert "no direction of x is in more than half of the 6 batch solutions: the 2 most common are taken" in caplog.text
    assert aligner.encode_x(x).any()


def test_mistakes_are_told(pairs: Pairs) -> None:
    with pytest.raises(UserError, match=r"unknown aligner.aggregate 'majorit': did you mean 'majority'"):
        UniConBatches(aggregate="majorit")
    with pytest.raises(UserError, match=r"aligner.temperature must be above 0, got 0"):
        UniConBatches(temperature=0)
    with pytest.raises(UserError, match=r"aligner.lam must be at least 0, got -1"):
        UniConBatches(lam=-1)
    for aggregate in get_args(Aggregate):
        with pytest.raises(UserError, match=r"every batch holds a single group: take a larger datamodule.batch_size"):
            fitted(pairs, batch_size=1, aggregate=aggregate)


def test_two_processes_give_the_solution_of_one(pairs: Pairs, tmp_path: Path) -> None:
    double = replace(pairs, x=pairs.x.double(), y=pairs.y.double())
    changed = {"rank": RANK, "lam": 0.3, "weight_power": 1.0, "aggregate": "accuracy"}
    single = fitted(double, batch_size=20, aggregate="accuracy").state_dict()
    for state in fit_by_two(tmp_path, "unicon_batches", changed, double, max_epochs=1):
        assert state.keys() == single.keys()
        for key, value in state.items():
            torch.testing.assert_close(value, single[key], rtol=0, atol=1e-9)
