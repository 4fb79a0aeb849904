"""The rows of largest cosine with a query: exactly, or of very many by inverted lists."""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import normalize

BLOCK = 1 << 17
"""Rows scored at once."""
LISTS_PROBED = 32
TRAINED_WITH = 64
"""Rows that each centre is found from; faiss wants 39 or more."""


class Index(Protocol):
    """Rows (n, r) that are searched.

    Example:
        >>> index: Index = ExactIndex(torch.eye(3))
        >>> index.search(torch.tensor([0.1, 2.0, 0.0]), 1)[1].tolist()
        [1]
    """

    def search(self, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k largest cosines with ``query`` (r,), falling, and their rows; fewer where there are fewer."""


class ExactIndex:
    """All rows (n, r) are scored, by blocks; of equal cosines the earlier row is first.

    Example:
        >>> index = ExactIndex(torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]]))
        >>> scores, rows = index.search(torch.tensor([1.0, 0.0]), 2)
        >>> rows.tolist(), round(float(scores[1]), 3)
        ([1, 2], 0.707)
    """

    def __init__(self, rows: Tensor):
        self.rows = normalize(rows.float())

    def search(self, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
        query = normalize(query.float(), dim=0)
        best, places = torch.empty(0), torch.empty(0, dtype=torch.int64)
        for start in range(0, len(self.rows), BLOCK):
            scores = self.rows[start : start + BLOCK] @ query
            top = scores.topk(min(k, len(scores)))
            best, places = torch.cat([best, top.values]), torch.cat([places, top.indices + start])
            order = sorted(range(len(best)), key=lambda i: (-float(best[i]), int(places[i])))[:k]
            best, places = best[order], places[order]
        return best, places


class ListedIndex:
    """Rows (n, r) in inverted lists about k-means centres (faiss), of which a query sees the nearest 32.

    Example:
        >>> rows = torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))
        >>> int(ListedIndex(rows).search(rows[5], 3)[1][0])
        5
    """

    def __init__(self, rows: Tensor):
        import faiss  # where it is needed alone

        n, r = rows.shape
        lists = max(1, min(round(n**0.5), n // TRAINED_WITH))
        whole = normalize(rows.float()).numpy()
        self._faiss: Any = faiss.IndexIVFFlat(faiss.IndexFlatIP(r), r, lists, faiss.METRIC_INNER_PRODUCT)
        self._faiss.train(whole[:: max(1, n // (TRAINED_WITH * lists))])
        self._faiss.add(whole)
        self._faiss.nprobe = min(lists, LISTS_PROBED)

    def search(self, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
        scores, places = self._faiss.search(normalize(query.float(), dim=0)[None].numpy(), k)
        there = places[0] >= 0
        return torch.from_numpy(scores[0][there]), torch.from_numpy(places[0][there])


def index_of(rows: Tensor, exact_items: int) -> Index:
    """An exact index of rows (n, r), or of more than ``exact_items`` a listed one."""
    return ExactIndex(rows) if len(rows) <= exact_items else ListedIndex(rows)
