"""The memory of an aligner: training items that new ones are compared with, beside their embeddings."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from aligners.features.anchors import Anchors
from aligners.features.steps import Step
from datamodules.pairs.pairs import PairBatch, Pairs
from evaluation.retrieval import CUTOFFS, ranks_both_ways
from evaluation.scoring import GRID, Scorer
from ground.errors import UserError

EVALUATION_BLOCK = 1024
JUDGED = 2000
"""Validation x, with all their y, that the weight and the temperature are chosen on at most."""

Encode = Callable[[Tensor], Tensor]
Score = Callable[[Tensor, Tensor], Tensor]


class Memory(nn.Module):
    r"""The anchor term, :math:`w \langle p(x), q(y) \rangle` added to the cosine; see ``aligners.features.anchors``.

    Rows are the unit embedding and beside it :math:`\sqrt w` times the profile: their cosine is the score. Beside
    embeddings of a score of its own stand profiles too, and the term is added to that score. After a fit the weight and
    temperature with the best mean recall on validation are taken, the first of equals. The weight is 0, and the rows
    are embeddings alone, before it.

    Raises:
        UserError: from ``choose``, several values to choose from and no validation split.

    Example:
        >>> x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
        >>> pairs = Pairs(x, x, torch.arange(40), torch.arange(40))
        >>> memory = Memory(weights=[0.0, 4.0], temperatures=[0.05], items=30)
        >>> memory.choose(pairs, pairs, torch.clone, torch.neg, None, seed=0)  # embeddings that say the opposite
        >>> float(memory.weight), memory.joined("x", x, x, own=False).shape
        (4.0, torch.Size([40, 36]))
    """

    weight: Tensor
    temperature: Tensor

    def __init__(self, weights: Sequence[float], temperatures: Sequence[float], items: int):
        super().__init__()
        self.weights, self.temperatures, self.items = weights, temperatures, items
        self.anchors = Anchors()
        self.fit_seconds = self.seconds = 0.0
        for name in ("weight", "temperature"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))

    @property
    def chooses(self) -> bool:
        """Whether validation has to choose."""
        return len(self.weights) * len(self.temperatures) > 1

    @property
    def columns(self) -> int:
        """How many columns of a row are its profile."""
        return len(self.anchors) if self.weight else 0

    def joined(self, side: str, rows: Tensor, embedding: Tensor, own: bool) -> Tensor:
        """Features (n, d) and their embedding (n, r) to what is scored, (n, r + m); ``own``: not by a cosine."""
        if not self.weight:
            return embedding
        profile = (self.anchors.x if side == "x" else self.anchors.y)(rows, float(self.temperature))
        return torch.cat([embedding if own else normalize(embedding), profile * float(self.weight.sqrt())], 1)

    def score(self, own: Score) -> Score:
        """The score of joined rows (n, r + m) and (k, r + m) whose embeddings ``own`` scores."""
        m = self.columns

        def joined(x: Tensor, y: Tensor) -> Tensor:
            if not m:
                return own(x, y)
            term = x[:, -m:].double() @ y[:, -m:].double().T
            # on a grid: equal items tie, whatever block they stand in
            scores = own(x[:, :-m], y[:, :-m])
            return (scores.double() + term.mul_(GRID).round_().div_(GRID)).to(scores)

        return joined

    def steps(self, side: str) -> list[Step]:
        """What ``joined`` does to the embeddings of a side."""
        if not self.weight:
            return []
        return [self.anchors.step(side, float(self.weight), float(self.temperature))]

    @torch.no_grad()
    def choose(
        self, train: Pairs, val: Pairs | None, encode_x: Encode, encode_y: Encode, own: Score | None, seed: int
    ) -> None:
        """Remember training items, and weigh them by a validation split of which the encoders give embeddings."""
        begin = time.perf_counter()
        self.anchors.remember(train, self.items, seed)
        settings = [(w, t) for w in self.weights for t in self.temperatures]
        best = settings[0]
        if len(settings) > 1:
            if val is None:
                raise UserError(
                    "aligner.memory and aligner.memory_temperature are chosen on validation, and the data has no such "
                    "split: give one number for each, or data with a validation split"
                )
            best = max(self._recalls(settings, self._some(val, seed), encode_x, encode_y, own).items(), key=_recall)[0]
        self.weight.fill_(best[0])
        self.temperature.fill_(best[1])
        self.fit_seconds = time.perf_counter() - begin
        begin = time.perf_counter()
        rows = train[torch.arange(min(train.n_x, EVALUATION_BLOCK))].x
        self.anchors.x(rows.to(self.weight.device), best[1])
        self.seconds = (time.perf_counter() - begin) / len(rows)

    @property
    def facts(self) -> dict[str, float]:
        """What was chosen, and what it costs: bytes kept, seconds of a query among others of a block."""
        return {
            "memory_weight": float(self.weight),
            "memory_temperature": float(self.temperature),
            "memory_bytes": self.anchors.nbytes,
            "memory_fit_seconds": self.fit_seconds,
            "memory_seconds_per_query": self.seconds,
        }

    def _some(self, val: Pairs, seed: int) -> PairBatch:
        drawn = torch.randperm(val.n_x, generator=torch.Generator().manual_seed(seed))[:JUDGED]
        batch = val[drawn.sort().values]
        has_y = torch.isin(batch.x_group, batch.y_group)
        batch = batch._replace(x=batch.x[has_y], x_group=batch.x_group[has_y], x_index=batch.x_index[has_y])
        return PairBatch(*(part.to(self.weight.device) for part in batch))

    def _recalls(
        self,
        settings: list[tuple[float, float]],
        val: PairBatch,
        encode_x: Encode,
        encode_y: Encode,
        own: Score | None,
    ) -> dict[tuple[float, float], float]:
        """The mean recall of each weight and temperature, in the order of the settings."""
        x, y = encode_x(val.x), encode_y(val.y)
        plain = normalize(x) @ normalize(y).T if own is None else own(x, y)
        terms = {t: self.anchors.x(val.x, t) @ self.anchors.y(val.y, t).T for t in self.temperatures}
        of_x, of_y = (torch.arange(len(rows), dtype=torch.float64)[:, None] for rows in (x, y))
        groups = val.x_group.cpu(), val.y_group.cpu()
        recalls = {}
        for weight, temperature in settings:
            scores = (plain + weight * terms[temperature]).cpu()
            ranks = ranks_both_ways(of_x, of_y, *groups, "x", "y", EVALUATION_BLOCK, _known(scores))
            hits = [(each <= k).double().mean() for each in ranks.values() for k in CUTOFFS]
            recalls[weight, temperature] = float(torch.stack(hits).mean())
        return recalls


def _known(scores: Tensor) -> Scorer:
    """The rule of scores (n, k) that are there, of rows that are places among them."""
    return Scorer(lambda places: places, lambda i, j: scores[i[:, 0].long()][:, j[:, 0].long()])


def _recall(item: tuple[tuple[float, float], float]) -> float:
    return item[1]
