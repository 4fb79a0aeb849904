"""Passes in the span of the leading directions, over a sample of the items."""

from typing import Any

import pytest
import torch

from aligners import spectral
from aligners.spectral.coordinates import uniform_solution
from aligners.spectral.ridges import Ridges
from aligners.spectral.rows import ItemSample
from aligners.spectral.span import Span
from aligners.spectral.whitening import Whitening
from aligners.unicon import UniConSpectral
from datamodules.pairs import PairBatch, pairs_of_tensors
from tests.aligners.fixed import FIXED
from tests.aligners.spectral.drawn import normal
from tests.problems import random_features


def fitted(**changed: Any) -> UniConSpectral:
    x, y, x_of_y = random_features(120, 2, 9, 9, seed=1, noise=1.0)
    settings: dict[str, Any] = {**FIXED, "rank": 3, "feature_map": "identity"} | changed
    return UniConSpectral(**settings).fit(x.double(), y.double(), x_of_y=x_of_y)


@pytest.mark.parametrize("step", ["tangent", "full"])
@pytest.mark.parametrize("negatives", ["all", "batch"])
def test_a_span_of_all_directions_is_no_restriction(step: str, negatives: str) -> None:
    whole, within = (fitted(step=step, negatives=negatives, subspace=subspace) for subspace in ("all", 3))
    for one, other in zip(whole.solution.passes, within.solution.passes, strict=True):
        assert other == pytest.approx(one, rel=1e-6, abs=1e-9)
    torch.testing.assert_close(within.projection_x, whole.projection_x, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(within.U * within.singular_values @ within.V.T,
                               whole.U * whole.singular_values @ whole.V.T, rtol=1e-6, atol=1e-8)  # fmt: skip


def test_in_a_narrow_span_the_objective_falls_less_and_never_rises() -> None:
    whole, within = (fitted(subspace=subspace, passes=8) for subspace in ("all", 1))
    of_all, objectives = ([each["objective"] for each in of.solution.passes] for of in (whole, within))
    assert objectives == sorted(objectives, reverse=True)
    assert objectives[:2] == pytest.approx(of_all[:2], rel=1e-9)  # the first pass is the same: its pull is in the span
    assert objectives[-1] == pytest.approx(of_all[-1], rel=1e-2)  # no longer the same
    assert objectives[-1] != pytest.approx(of_all[-1], rel=1e-6)
    one = fitted(subspace=1, passes=1).U  # of rank 3: with the start's the whole span, 6 of 9
    start = fitted(subspace=1, passes=0).U
    span, _ = torch.linalg.qr(torch.cat([start, one], 1))
    torch.testing.assert_close(span @ (span.T @ within.U), within.U, rtol=1e-6, atol=1e-8)


def test_columns_beside_a_span_of_everything_add_nothing() -> None:
    eye, zero = torch.eye(3).double(), torch.zeros(3).double()
    whole = spectral.Coordinates(Whitening(None), Whitening(None), zero, zero, shared=False)
    directions = spectral.Factors(eye, torch.ones(3).double(), eye[:, :2], gap=1.0)
    span = Span(whole, directions, normal(3, 2), normal(3, 2, seed=1))
    assert (span.U.shape[1], span.V.shape[1]) == (3, 3)
    torch.testing.assert_close(span.V @ span.V.T, eye)


def test_the_embedding_of_a_place_is_that_of_its_lifted_factors() -> None:
    x, y = normal(60, 8), normal(60, 7, seed=1)
    moments = spectral.Moments(8, 7, 60, 60, "cpu")
    moments.add(PairBatch(x, y, *4 * [torch.arange(60)]))
    moments.tensors()
    statistics = spectral.statistics(moments)
    whole = statistics.coordinates(0.5)
    directions = uniform_solution(statistics.cross, whole.W_x, whole.W_y, 2, most=5)
    span = Span(whole, directions)
    inside = spectral.truncated_svd(normal(5, 5, seed=3), 2)
    for one, other in zip(span.embedding(inside, 0.5), whole.embedding(span.lifted(inside), 0.5), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(span.within(span.lifted(inside)).U, inside.U)
    rows = PairBatch(x, y, *4 * [torch.arange(60)])
    for one, other in zip(
        span.projector(inside.U, inside.V)(span.rows(rows)), span.embedding(inside, 0.0)(rows), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("lam", [0.0, 0.1, 3.0])
def test_ridges_within_a_span_of_everything_are_those_of_their_own_whitening(lam: float, shared: bool) -> None:
    x = normal(60, 7)
    y = x + 0.5 * normal(60, 7, seed=1)
    moments = spectral.Moments(7, 7, 60, 60, "cpu")
    moments.add(PairBatch(x, y, *4 * [torch.arange(60)]))
    moments.tensors()
    statistics = spectral.statistics(moments, shared=shared)
    factorise = spectral.positive_part if shared else spectral.truncated_svd

    def solved(at: float, rank: int, most: int) -> tuple[spectral.Coordinates, spectral.Factors]:
        coordinates = statistics.coordinates(at)
        return coordinates, uniform_solution(statistics.cross, coordinates.W_x, coordinates.W_y, rank, factorise, most)

    here, directions = solved(1.0, 3, 7)
    assert directions.U.shape[1] == 7
    within = Ridges(statistics, 1.0, Span(here, directions), directions, factorise).at(lam, 3)(0.0)
    there, factors = solved(lam, 3, 3)
    torch.testing.assert_close(within.P_x, there.embedding(factors, 0.0).P_x * torch.sign(
        (within.P_x * there.embedding(factors, 0.0).P_x).sum(0)), rtol=1e-6, atol=1e-8)  # fmt: skip


@pytest.mark.parametrize("feature_map", ["identity", "nystrom"])
def test_without_whitening_a_ridge_changes_nothing(feature_map: str) -> None:
    x, y, x_of_y = random_features(120, 2, 9, 9, seed=1, noise=1.0)
    settings: dict[str, Any] = {"rank": 3, "feature_map": feature_map, "landmarks": 40, "whiten": False, "subspace": 2}
    aligner = UniConSpectral(**settings, lam=[100.0, 0.01, 1.0], tau=0.1, passes=0, weight_power=1.0)
    recalls = [trial["recall"] for trial in aligner.fit(x, y, x_of_y=x_of_y).solution.trials]
    assert len(recalls) == 3
    assert len(set(recalls)) == 1


def test_a_sample_has_whole_groups_and_as_many_items_as_asked() -> None:
    x, y = normal(40, 2), normal(120, 2)
    pairs = pairs_of_tensors(x, y, x_of_y=torch.arange(120) % 40, group=torch.arange(40) // 3)
    sample = ItemSample(pairs, 7)
    assert 7 <= sample.n_x < 10
    assert sample.n_x * 3 == sample.n_y
    assert set(sample.x_group.tolist()) == set(sample.y_group.tolist())
    assert torch.equal(ItemSample(pairs, 7).x_group, sample.x_group)  # by the seed
    halves = [sample.of(pairs[part]) for part in (torch.arange(21), torch.arange(21, 40))]
    assert torch.cat([half.x_index for half in halves]).sort().values.tolist() == list(range(sample.n_x))
    assert torch.cat([half.y_index for half in halves]).sort().values.tolist() == list(range(sample.n_y))
    for half in halves:
        assert torch.equal(sample.x_group[half.x_index], half.x_group)
        assert torch.equal(sample.y_group[half.y_index], half.y_group)


@pytest.mark.parametrize("items", [None, 40, 1000])
def test_a_sample_of_all_is_all(items: Any) -> None:
    pairs = pairs_of_tensors(normal(40, 2), normal(40, 2))
    sample, batch = ItemSample(pairs, items), pairs[torch.arange(5, 15)]
    assert (sample.n_x, sample.n_y) == (40, 40)
    assert torch.equal(sample.of(batch).x, batch.x)


def test_passes_over_a_sample_lower_its_objective_and_moments_are_of_all() -> None:
    whole, sampled = (fitted(contrast_items=items, contrast_redraw=False) for items in ("all", 30))
    objectives = [each["objective"] for each in sampled.solution.passes]
    assert objectives == sorted(objectives, reverse=True)
    assert objectives[0] != whole.solution.passes[0]["objective"]
    assert sampled.solution.passes[0]["gap"] == whole.solution.passes[0]["gap"]  # the first solution is of all


@pytest.mark.parametrize("memory_mb", [0, 100])
@pytest.mark.parametrize("subspace", ["all", 2])
@pytest.mark.parametrize("contrast_items", ["all", 30])
def test_rows_that_are_read_again_are_those_that_were_kept(memory_mb: int, subspace: Any, contrast_items: Any) -> None:
    kept, other = (
        fitted(subspace=subspace, contrast_items=contrast_items, memory_mb=memory, feature_map="nystrom", landmarks=40)
        for memory in (100, memory_mb)
    )
    torch.testing.assert_close(other.projection_x, kept.projection_x, rtol=1e-6, atol=1e-9)
