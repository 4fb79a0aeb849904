"""Other contrasted items for each pass."""

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aligners.objectives import named_objective
from aligners.objectives.sweep import Contrast
from aligners.spectral.parts import Part, parts
from aligners.unicon import UniConSpectral
from tests.aligners.fixed import FIXED
from tests.aligners.spectral.drawn import normal
from tests.problems import random_features

contrast = partial(Contrast, named_objective("clip", 0.5), block_size=2**20)


def fitted(**changed: Any) -> UniConSpectral:
    x, y, x_of_y = random_features(120, 2, 9, 9, seed=1, noise=1.0)
    settings: dict[str, Any] = {**FIXED, "rank": 3, "feature_map": "identity"} | changed
    return UniConSpectral(**settings).fit(x.double(), y.double(), x_of_y=x_of_y)


@given(st.lists(st.integers(0, 20), min_size=2, max_size=60), st.integers(1, 60))
def test_parts_are_whole_groups_and_hold_every_item(ids: list[int], items: int) -> None:
    x_group = torch.tensor(ids)
    y_group = x_group.repeat(2)
    made = parts(contrast, x_group, y_group, items)
    if items >= len(ids):
        assert [type(each) for each in made] == [Contrast]
        return
    largest = int(torch.bincount(x_group).max())
    seen = torch.zeros(len(ids), dtype=torch.int64)
    for part in made:
        assert isinstance(part, Part)
        assert 1 <= len(part.x) < items + largest
        assert torch.equal(torch.isin(x_group, x_group[part.x]), torch.isin(torch.arange(len(ids)), part.x))
        assert torch.equal(torch.isin(y_group, x_group[part.x]), torch.isin(torch.arange(len(y_group)), part.y))
        seen[part.x] += 1
    assert int(seen.min()) >= 1
    assert int(seen.max()) <= 2  # the last goes on with the first ones


def test_a_part_is_the_objective_of_its_items_alone() -> None:
    group = torch.arange(10) // 2
    heads = normal(10, 3), normal(10, 3)
    for part in parts(contrast, group, group, 4):
        assert isinstance(part, Part)
        alone = contrast(group[part.x], group[part.y])
        of_part = tuple(each[part.x] for each in heads)
        at = part.value(*heads)
        assert at.value == pytest.approx(alone.value(*of_part).value)
        both = part.products(*heads, *heads, at), alone.products(*of_part, *of_part, alone.value(*of_part))
        for whole, some, places in zip(*both, (part.x, part.y), strict=True):
            torch.testing.assert_close(whole[places], some)
            assert not whole[~torch.isin(torch.arange(10), places)].any()


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
