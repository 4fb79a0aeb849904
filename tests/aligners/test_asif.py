"""ASIF against its definition, its limits, and what it keeps."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.asif import ASIF, BLOCK, nearest
from aligners.base.aligner import Aligner
from datamodules.pairs.pairs import Pairs
from tests.aligners.made import make


def fitted(pairs: Pairs, seed: int = 0, **changed: Any) -> Any:
    groups = {"x_of_y": pairs.x_of_y, "group": pairs.group}
    return make("asif", **changed).fit(pairs.x.double(), pairs.y.double(), **groups, seed=seed)


def relative(rows: Tensor, anchors: Tensor, k: int, power: float) -> np.ndarray:
    """The k largest cosines of each row with the anchors, to a power; none of equals is left out."""
    a, b = (each.numpy() / np.linalg.norm(each.numpy(), axis=1, keepdims=True) for each in (rows, anchors))
    cosines = a @ b.T
    least = np.sort(cosines, axis=1)[:, -k][:, None]
    kept = np.where(cosines >= least - 1e-6, cosines, 0)
    return np.sign(kept) * np.abs(kept) ** power


def expected(pairs: Pairs, centre: bool, k: int, power: float) -> Tensor:
    x, y = pairs.x.double(), pairs.y.double()
    x, y = (rows - rows.mean(0) if centre else rows for rows in (x, y))
    a, b = relative(x, x[pairs.x_of_y], k, power), relative(y, y, k, power)
    a, b = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (a, b))
    return torch.from_numpy(a @ b.T)


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize(("k", "power"), [(30, 8.0), (1, 4.0), (183, 3.0)])
def test_it_is_its_definition_on_many_to_many(pairs: Pairs, centre: bool, k: int, power: float) -> None:
    aligner = fitted(pairs, centre=centre, neighbours=k, power=power)
    similarity = aligner.similarity(pairs.x.double(), pairs.y.double()).double()
    torch.testing.assert_close(similarity, expected(pairs, centre, k, power), rtol=0, atol=1e-5)


def test_all_anchors_to_the_power_of_one_are_relative_representations(pairs: Pairs) -> None:
    aligner = fitted(pairs, neighbours="all", power=1.0, anchors="all")
    x, y = pairs.x.double() - pairs.x.double().mean(0), pairs.y.double() - pairs.y.double().mean(0)
    of_x, of_y = normalize(x) @ normalize(x[pairs.x_of_y]).T, normalize(y) @ normalize(y).T
    similarity = aligner.similarity(pairs.x.double(), pairs.y.double()).double()
    torch.testing.assert_close(similarity, normalize(of_x) @ normalize(of_y).T, rtol=0, atol=1e-5)


def test_the_order_of_the_pairs_does_not_matter(pairs: Pairs) -> None:
    order = torch.randperm(pairs.n_x, generator=torch.Generator().manual_seed(1))
    of_y = torch.randperm(pairs.n_y, generator=torch.Generator().manual_seed(2))
    place = torch.argsort(order)
    permuted = make("asif", neighbours=30).fit(
        pairs.x[order], pairs.y[of_y], x_of_y=place[pairs.x_of_y[of_y]], group=pairs.group[order]
    )
    plain = fitted(pairs, neighbours=30)
    torch.testing.assert_close(
        permuted.similarity(pairs.x, pairs.y), plain.similarity(pairs.x, pairs.y), rtol=0, atol=1e-4
    )


def test_anchors_are_drawn_with_the_seed(pairs: Pairs) -> None:
    def kept(aligner: Aligner) -> set[tuple[float, ...]]:
        return {tuple(column) for column in aligner.projection_y.T.tolist()}

    one, again, other, whole = (
        fitted(pairs, seed, anchors=anchors) for seed, anchors in ((0, 50), (0, 50), (1, 50), (1, "all"))
    )
    assert (one.rank, one.embedding_width, whole.rank) == (50, 50, pairs.n_y)
    assert kept(one) == kept(again) != kept(other)
    assert kept(other) < kept(whole)  # pairs of the data
    assert fitted(pairs, anchors=10_000).rank == pairs.n_y
    for side, d in zip((one.projection_x, one.projection_y), pairs.dims, strict=True):  # all that is kept
        assert (side.shape, side.dtype) == ((d, 50), torch.float32)


def test_anchors_of_one_x_are_kept_or_left_out_together(pairs: Pairs) -> None:
    embeddings = fitted(pairs, neighbours=4).encode_x(pairs.x.double())  # three y for each x: two x have six
    assert set((embeddings != 0).sum(1).tolist()) == {6}
    of_x = embeddings.unflatten(1, (pairs.n_x, 3))  # y are in the order of their x
    torch.testing.assert_close(of_x[..., 0], of_x[..., 2])


def test_embeddings_of_many_rows_are_made_by_blocks(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    aligner = fitted(pairs, neighbours=20)
    whole = aligner.encode_y(pairs.y)
    monkeypatch.setattr("aligners.asif.BLOCK", 1000)
    assert BLOCK > 1000
    assert aligner._block(aligner.embedding_width) == 5
    torch.testing.assert_close(aligner.encode_y(pairs.y), whole, rtol=1e-5, atol=1e-6)
    assert torch.equal(fitted(pairs, neighbours=20).projection_y, aligner.projection_y)


def test_no_power_underflows() -> None:
    values = nearest(torch.full((1, 3), 1e-4) * torch.tensor([1.0, 0.5, -1.0]), k=3, power=30.0)
    torch.testing.assert_close(values, torch.tensor([[1.0, 0.5**30, -1.0]]))
    assert torch.equal(nearest(torch.zeros(2, 3), k=1, power=4.0), torch.zeros(2, 3))


def test_a_checkpoint_of_another_number_of_anchors(pairs: Pairs, tmp_path: Any) -> None:
    aligner = fitted(pairs, anchors=40)
    aligner.save(tmp_path / "a.safetensors")
    loaded = ASIF.load(tmp_path / "a.safetensors")
    assert loaded.rank == 40
    assert torch.equal(loaded.encode_x(pairs.x), aligner.encode_x(pairs.x))
