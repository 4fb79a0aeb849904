"""Pairs, batches of them and parts of them, against plain loops and plain indexing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from datamodules.pairs.pairs import Members, Pairs, SelectedRows, subset, with_positives


@st.composite
def many_to_many(draw: st.DrawFn) -> Pairs:
    """Small pairs whose rows hold their own number; x without y, groups of several x, y in any order."""
    n_x = draw(st.integers(1, 9))
    x_of_y = draw(st.lists(st.integers(0, n_x - 1), max_size=20))
    group = draw(st.lists(st.integers(-3, 3), min_size=n_x, max_size=n_x))
    return Pairs(
        x=torch.arange(float(n_x))[:, None].repeat(1, 2),
        y=torch.arange(float(len(x_of_y)))[:, None].repeat(1, 3),
        x_of_y=torch.tensor(x_of_y, dtype=torch.int64),
        group=torch.tensor(group),
        label=torch.arange(n_x) + 100,
        domain=torch.arange(n_x) + 200,
    )


def rows_of(pairs: Pairs) -> st.SearchStrategy[Tensor]:
    """Some rows of x, each once, in any order."""
    chosen = st.lists(st.integers(0, pairs.n_x - 1), unique=True)
    return chosen.map(lambda rows: torch.tensor(rows, dtype=torch.int64))


@given(st.data())
def test_members_are_those_of_a_loop(data: st.DataObject) -> None:
    n_owners = data.draw(st.integers(1, 8))
    owner = data.draw(st.lists(st.integers(0, n_owners - 1), max_size=20))
    query = data.draw(st.lists(st.integers(0, n_owners - 1), max_size=12))  # repeats and empty too
    members = Members(torch.tensor(owner, dtype=torch.int64), n_owners)
    expected = [member for wanted in query for member, its in enumerate(owner) if its == wanted]
    assert members.of(torch.tensor(query, dtype=torch.int64)).tolist() == expected


@given(st.data())
def test_a_batch_is_these_x_and_exactly_their_y(data: st.DataObject) -> None:
    pairs = data.draw(many_to_many())
    index = data.draw(rows_of(pairs))
    batch = pairs[index]
    expected = [y for x in index.tolist() for y in range(pairs.n_y) if pairs.x_of_y[y] == x]
    assert batch.x_index.tolist() == index.tolist() == batch.x[:, 0].tolist()
    assert batch.y_index.tolist() == expected == batch.y[:, 0].tolist()
    assert batch.x.shape == (len(index), 2)
    assert batch.y.shape == (len(expected), 3)
    assert batch.x_group.tolist() == [int(pairs.group[x]) for x in index]
    assert batch.y_group.tolist() == [int(pairs.group[pairs.x_of_y[y]]) for y in expected]
    assert batch.positives.tolist() == [
        [bool(pairs.group[x] == pairs.group[pairs.x_of_y[y]]) for y in expected] for x in index
    ]


@given(st.data())
def test_a_subset_of_a_subset_is_plain_indexing(data: st.DataObject) -> None:
    pairs = data.draw(many_to_many())
    first = data.draw(rows_of(pairs))
    outer = subset(pairs, first)
    second = data.draw(rows_of(outer)) if len(first) else first
    for part, chosen in ((outer, first), (subset(outer, second), first[second])):
        whole = part[torch.arange(part.n_x)]
        assert torch.equal(whole.x, pairs.x[chosen])
        assert torch.equal(part.group, pairs.group[chosen])
        assert part.label is not None
        assert torch.equal(part.label, chosen + 100)
        assert part.domain is not None
        assert torch.equal(part.domain, chosen + 200)
        assert part.dims == pairs.dims
        # the y in the order of the whole, each with the x that it had
        y = [i for i in range(pairs.n_y) if pairs.x_of_y[i] in chosen]
        assert part.y[torch.arange(part.n_y)][:, 0].tolist() == y
        assert chosen[part.x_of_y].tolist() == pairs.x_of_y[y].tolist()
        assert torch.equal(part.y_group, pairs.y_group[y])


@given(many_to_many())
def test_with_positives_drops_the_x_whose_group_has_no_y(pairs: Pairs) -> None:
    kept = with_positives(pairs)
    groups = {int(pairs.group[x]) for x in pairs.x_of_y}
    expected = [i for i in range(pairs.n_x) if int(pairs.group[i]) in groups]
    assert kept.x[torch.arange(kept.n_x)][:, 0].tolist() == expected
    assert kept.n_y == pairs.n_y
    assert bool(kept[torch.arange(kept.n_x)].positives.any(1).all())
    assert (kept is pairs) == (kept.n_x == pairs.n_x)


def test_selected_rows_are_read_when_asked_for() -> None:
    class Watched:
        shape = (10, 2)

        def __init__(self) -> None:
            self.read: list[int] = []

        def __getitem__(self, index: Tensor) -> Tensor:
            self.read += index.tolist()
            return index[:, None].repeat(1, 2)

    rows = Watched()
    twice = SelectedRows(SelectedRows(rows, torch.tensor([7, 1, 4])), torch.tensor([2, 0]))
    assert twice.shape == (2, 2)
    assert rows.read == []
    assert twice[torch.tensor([1])].tolist() == [[7, 7]]
    assert rows.read == [7]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_features_come_out_in_float32_or_in_float64_as_they_are(dtype: torch.dtype) -> None:
    x, y = torch.tensor([[0.5], [2.0]], dtype=dtype), torch.tensor([[1.5], [-3.0]], dtype=dtype)
    batch = Pairs(x, y, torch.tensor([1, 0]), torch.arange(2))[torch.tensor([1])]
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    assert (batch.x.dtype, batch.y.dtype) == (expected, expected)
    assert (batch.x.item(), batch.y.item()) == (2.0, 1.5)


def test_no_label_and_no_domain_stay_none() -> None:
    pairs = Pairs(torch.ones(3, 2), torch.ones(3, 2), torch.arange(3), torch.arange(3))
    part = subset(pairs, torch.tensor([2, 0]))
    assert part.label is part.domain is None
