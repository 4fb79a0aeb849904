"""Exact against brute force, and inverted lists against exact."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from searching import index as module
from searching.index import ExactIndex, ListedIndex, index_of


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 50), st.integers(1, 16), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_exact_is_the_sorted_cosines_by_any_blocks(n: int, r: int, k: int, block: int, seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    rows, query = torch.randn(n, r, generator=draws), torch.randn(r, generator=draws)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        scores, places = ExactIndex(rows).search(query, k)
    cosines = normalize(rows) @ normalize(query, dim=0)
    torch.testing.assert_close(scores, cosines.sort(descending=True).values[:k])
    torch.testing.assert_close(cosines[places], scores)
    assert len(set(places.tolist())) == min(n, k)


def test_of_equal_rows_the_first_is_first() -> None:
    _, places = ExactIndex(torch.ones(5, 3)).search(torch.ones(3), 5)
    assert places.tolist() == [0, 1, 2, 3, 4]


def test_no_rows_and_a_zero_query() -> None:
    assert ExactIndex(torch.empty(0, 3)).search(torch.ones(3), 5)[1].tolist() == []
    assert ExactIndex(torch.eye(3)).search(torch.zeros(3), 2)[0].tolist() == [0, 0]


def test_lists_find_what_is_near() -> None:
    draws = torch.Generator().manual_seed(0)
    centres = torch.randn(50, 16, generator=draws)
    rows = (centres[:, None] + 0.3 * torch.randn(50, 100, 16, generator=draws)).flatten(0, 1)
    listed, exact = ListedIndex(rows), ExactIndex(rows)
    queries = rows[::100] + 0.05 * torch.randn(50, 16, generator=draws)
    found = [len({*listed.search(q, 10)[1].tolist()} & {*exact.search(q, 10)[1].tolist()}) for q in queries]
    assert sum(found) >= 0.95 * 500
    scores, places = listed.search(queries[0], 3)
    torch.testing.assert_close(scores, normalize(rows[places]) @ normalize(queries[0], dim=0))


def test_many_rows_have_lists() -> None:
    rows = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    assert isinstance(index_of(rows, exact_items=200), ExactIndex)
    assert isinstance(index_of(rows, exact_items=199), ListedIndex)
