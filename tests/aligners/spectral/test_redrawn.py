"""Other contrasted items for each pass."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aligners.objectives import named_objective
from aligners.spectral.coordinates import statistics, uniform_solution
from aligners.spectral.moments import Moments
from aligners.spectral.negatives import AllPairs
from aligners.spectral.pull import places
from aligners.spectral.redrawn import Redrawn
from aligners.spectral.rows import ItemSample, KeptRows
from aligners.spectral.step import Damping, Rule
from aligners.unicon import UniConSpectral
from datamodules.pairs import pairs_of_tensors
from tests.aligners.fixed import FIXED
from tests.aligners.spectral.drawn import normal
from tests.problems import random_features


def fitted(**changed: Any) -> UniConSpectral:
    x, y, x_of_y = random_features(120, 2, 9, 9, seed=1, noise=1.0)
    settings: dict[str, Any] = {**FIXED, "rank": 3, "feature_map": "identity"} | changed
    return UniConSpectral(**settings).fit(x.double(), y.double(), x_of_y=x_of_y)


@given(st.lists(st.integers(0, 20), min_size=2, max_size=60), st.integers(1, 60))
def test_samples_one_after_the_other_are_whole_groups_and_hold_every_item(ids: list[int], items: int) -> None:
    n, group = len(ids), torch.tensor(ids)
    largest = int(torch.bincount(group).max())
    pairs = pairs_of_tensors(normal(n, 2), normal(2 * n, 2), x_of_y=torch.arange(2 * n) % n, group=group)
    seen = torch.zeros(n, dtype=torch.int64)
    for start in range(0, n, items):
        sample = ItemSample(pairs, items, start)
        rows = sample.of(pairs[torch.arange(n)])
        assert sample.n_x < items + largest
        assert torch.equal(rows.x_group, sample.x_group)
        assert torch.equal(rows.y_group, sample.y_group[rows.y_index])
        assert rows.x_index.tolist() == list(range(sample.n_x))
        whole = torch.isin(group, sample.x_group)
        assert (sample.n_x, sample.n_y) == (int(whole.sum()), 2 * int(whole.sum()))
        seen += whole
    assert int(seen.min()) >= 1
    assert int(seen.max()) <= 2  # the last goes on with the first ones


def test_each_pass_is_that_of_its_own_items() -> None:
    x, y, x_of_y = random_features(120, 2, 9, 9, seed=1, noise=1.0)
    pairs = pairs_of_tensors(x.double(), y.double(), x_of_y=x_of_y)
    batch = pairs[torch.arange(pairs.n_x)]
    moments = Moments(9, 9, pairs.n_x, pairs.n_y, "cpu")
    moments.add(batch)
    moments.tensors()
    found = statistics(moments)
    coordinates = found.coordinates(lam=1.0)
    first = uniform_solution(found.cross, coordinates.W_x, coordinates.W_y, rank=3)
    rule = Rule(named_objective("clip", 0.1), 1.0, Damping(0.1, True, 10, 1e-4), 2**20, "tangent", True)
    samples = [ItemSample(pairs, 50, start) for start in (0, 50)]
    parts = [
        AllPairs(rule, coordinates, KeptRows([sample.of(batch)]), sample.x_group, sample.y_group) for sample in samples
    ]
    redrawn = Redrawn([lambda: parts[0], lambda: parts[1]])
    place = first
    for number, here in zip(range(3), places(redrawn, redrawn.at(first)), strict=False):
        part = parts[number % 2]
        alone = next(places(part, part.at(place)))
        torch.testing.assert_close(here.factors.U, alone.factors.U)
        torch.testing.assert_close(here.factors.s, alone.factors.s)
        assert here.number == number + 1
        assert here.contrasted.value == pytest.approx(parts[(number + 1) % 2].at(here.factors).contrasted.value)
        place = here.factors


def test_of_no_more_items_than_a_pass_contrasts_nothing_is_redrawn() -> None:
    whole, redrawn = fitted(), fitted(contrast_items=120, contrast_redraw=True)
    assert redrawn.solution.passes == whole.solution.passes
    assert torch.equal(redrawn.projection_x, whole.projection_x)


def test_the_first_pass_is_that_of_a_sample_and_later_ones_are_not() -> None:
    # two passes of 60 are all items: the order of groups is that of the sample of 60 too
    once, redrawn = (fitted(contrast_items=60, passes=2, contrast_redraw=redraw) for redraw in (False, True))
    first, of_another = ([each["step"] for each in of.solution.passes] for of in (once, redrawn))
    assert of_another[:2] == first[:2]
    objectives = [[each["objective"] for each in of.solution.passes] for of in (once, redrawn)]
    assert objectives[1][0] == pytest.approx(objectives[0][0])
    assert objectives[1][1] != pytest.approx(objectives[0][1], rel=1e-3)  # of the next pass's items


@pytest.mark.parametrize("subspace", ["all", 2])
def test_redrawn_rows_that_are_read_again_are_those_that_were_kept(subspace: Any) -> None:
    kept, other = (
        fitted(subspace=subspace, contrast_items=30, contrast_redraw=True, memory_mb=memory) for memory in (100, 0)
    )
    torch.testing.assert_close(other.projection_x, kept.projection_x, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("changed", [{"contrast_items": "all"}, {"negatives": "batch"}])
def test_where_passes_contrast_all_or_batches_nothing_is_redrawn(changed: dict[str, Any]) -> None:
    once, redrawn = (fitted(**{"contrast_items": 30, "contrast_redraw": redraw} | changed) for redraw in (False, True))
    assert redrawn.solution.passes == once.solution.passes
    assert torch.equal(redrawn.projection_x, once.projection_x)
