"""Mutual nearest neighbours against an independent count."""

import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from evaluation import mutual_knn as measured
from evaluation.mutual_knn import mutual_knn, neighbours


def drawn(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def near(rows: Tensor, k: int) -> list[set[int]]:
    found = NearestNeighbors(n_neighbors=k + 1, metric="cosine").fit(rows.numpy()).kneighbors(rows.numpy())[1]
    return [set(row.tolist()) - {i} for i, row in enumerate(found)]


def test_it_is_the_mean_share_of_common_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "BLOCK", 17)
    z = drawn(60, 5, 0)
    x, y = z @ drawn(5, 8, 1) + drawn(60, 8, 2), z @ drawn(5, 6, 3) + drawn(60, 6, 4)
    common = [len(a & b) for a, b in zip(near(x, 7), near(y, 7), strict=True)]
    assert mutual_knn(x, y, 7) == pytest.approx(sum(common) / (60 * 7))
    assert [set(row.tolist()) for row in neighbours(x, 7)] == near(x, 7)


def test_limits() -> None:
    x = drawn(300, 6, 5)
    assert mutual_knn(x, 3 * x.flip(1), 10) == 1.0
    assert mutual_knn(x, drawn(300, 6, 6), 10) == pytest.approx(10 / 299, abs=0.015)
    assert mutual_knn(x[:5], drawn(5, 2, 7), 4) == 1.0  # all the others


@pytest.mark.parametrize("k", [0, 5])
def test_as_many_neighbours_as_there_are_not(k: int) -> None:
    with pytest.raises(ValueError, match=rf"below the number of items, 5, got {k}"):
        mutual_knn(drawn(5, 2, 0), drawn(5, 2, 1), k)
