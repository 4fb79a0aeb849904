"""The best items for a query: an item of a run's modalities, embedded, against a collection."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from aligners.base.aligner import Aligner
from searching.collection import Collection
from searching.index import Index, index_of


class Found(NamedTuple):
    """An item of a collection, by its row, and its score for the query."""

    row: int
    score: float


class Finder:
    """Searches ``collection``, items of the side ``searched``, with items of the side ``asked``, each x or y.

    Scores are cosines. Of an aligner that scores pairs by itself they are its scores, all computed, where the two sides
    differ. More than ``exact_items`` are searched by an approximate index.

    Example:
        >>> from aligners import CCA
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = CCA(rank=8).fit(x, x.flip(1))
        >>> items = Collection("text", aligner.encode_x(x), str, str, lambda i: None)
        >>> Finder(aligner, items, asked="y", searched="x", exact_items=1000).find(x.flip(1)[3:4], 2)[0].row
        3
    """

    def __init__(self, aligner: Aligner, collection: Collection, *, asked: str, searched: str, exact_items: int):
        self.aligner, self.collection = aligner, collection
        self.asked, self.searched = asked, searched
        score = aligner.pair_score if asked != searched else None
        rows = collection.embeddings
        self.index: Index = index_of(rows, exact_items) if score is None else ScoredIndex(rows, score, asked)

    def find(self, query: object, k: int) -> list[Found]:
        """The best k for a query: a list of one raw item, or features (1, d), of the side that asks.

        Raises:
            UserError: an item that cannot be encoded.
        """
        encode = self.aligner.encode_x if self.asked == "x" else self.aligner.encode_y
        return self._best(encode(query)[0], k)

    def like(self, row: int, k: int) -> list[Found]:
        """The k items nearest to one of the collection, itself the first of them."""
        if isinstance(self.index, ScoredIndex):  # which scores pairs of two sides
            return self._with(index_of(self.collection.embeddings, len(self.collection.embeddings)), row, k)
        return self._with(self.index, row, k)

    def _with(self, index: Index, row: int, k: int) -> list[Found]:
        return _listed(*index.search(self.collection.embeddings[row], k))

    def _best(self, embedding: Tensor, k: int) -> list[Found]:
        return _listed(*self.index.search(embedding.cpu(), k))


class ScoredIndex:
    """Rows (n, r), scored with a query by an aligner's ``score(x, y)``; the query is of the side ``asked``.

    Example:
        >>> index = ScoredIndex(torch.eye(3), lambda x, y: x @ y.T, asked="y")
        >>> index.search(torch.tensor([0.0, 0.0, 2.0]), 1)
        (tensor([2.]), tensor([2]))
    """

    def __init__(self, rows: Tensor, score: Callable[[Tensor, Tensor], Tensor], asked: str):
        self.rows, self.score, self.asked = rows, score, asked

    def search(self, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """As ``Index.search``."""
        one = query[None]
        scores = self.score(one, self.rows)[0] if self.asked == "x" else self.score(self.rows, one)[:, 0]
        top = scores.float().topk(min(k, len(scores)))
        return top.values, top.indices


def _listed(scores: Tensor, rows: Tensor) -> list[Found]:
    return [Found(int(row), float(score)) for score, row in zip(scores, rows, strict=True)]
