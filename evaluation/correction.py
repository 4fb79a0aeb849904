"""Scores corrected for hubs, in both directions: by a bank of queries, with settings chosen on validation."""

from functools import partial
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor

from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import FeatureRows, Pairs
from evaluation.corrections import inverted_softmax, nearest_mean, sinkhorn
from evaluation.judged import Encode, Scored, encoded
from evaluation.retrieval import CUTOFFS, ranks
from evaluation.scoring import COSINE, GRID, Scorer
from ground.errors import UserError
from ground.ranges import Count, NonNegative, Positive, not_empty
from ground.values import checked


class Space(NamedTuple):
    """Where items are scored: the encoders into it, and the rule.

    The last ``columns`` of a row may be a memory's, without which ``plain`` scores; ``scale`` times that score counts
    in the whole one.

    Example:
        >>> from evaluation.scoring import COSINE
        >>> Space(torch.clone, torch.clone, COSINE).encode_x(torch.eye(2)).shape
        torch.Size([2, 2])
    """

    encode_x: Encode
    encode_y: Encode
    scorer: Scorer
    columns: int = 0
    plain: Scorer = COSINE
    scale: float = 1.0

    def embedded(self, pairs: Pairs, block_size: int) -> Scored:
        """The rows of a split."""
        x, y = encoded(pairs.x, self.encode_x, block_size), encoded(pairs.y, self.encode_y, block_size)
        return Scored(x, y, self.scorer)

    def without_memory(self, rows: Tensor) -> Tensor:
        """Embeddings alone."""
        return rows[:, : rows.shape[1] - self.columns]


class Correction:
    """How scores are corrected; ``corrections`` has the formulas.

    The bank's queries are training items (inductive: each test query is scored by itself), or those of the test split
    (transductive: all of them are known at once). Where a rule has a setting, each direction has that of those given
    with the best mean recall of the direction on the validation split, the first of equals. Hubs are told by embeddings
    alone: a memory knows the training items of the bank too well.

    Args:
        bank: ``train`` or ``test``.
        items: training items of each side at most, drawn with the datamodule's seed.
        neighbours: of nnn and csls.
        weights: of nnn.
        temperatures: of inverted_softmax and sinkhorn, in standard deviations of the bank's scores.
        iterations: of sinkhorn.

    Raises:
        UserError: an argument of a wrong type or out of its range.

    Example:
        >>> from datamodules.pairs import pairs_of_tensors
        >>> data, x = PairsDataModule(batch_size=8, eval_batch_size=8, seed=0), torch.eye(5)[:4]
        >>> y = x.clone()
        >>> y[0] = torch.tensor([1.0, 0.9, 0.9, 0.9, 0.0])  # a hub, nearer to the second x than its own
        >>> y[1, 4] = 2.0
        >>> pairs = data.splits["train"] = pairs_of_tensors(x, y)
        >>> ranks(x, y, pairs.group, pairs.y_group, 8)
        tensor([1, 2, 1, 1])
        >>> rule = Correction("train", items=99, neighbours=2, weights=[1], temperatures=[1], iterations=9)
        >>> space, rows = Space(torch.clone, torch.clone, COSINE, plain=COSINE), Scored(x, y, COSINE)
        >>> scored, said = rule.corrected("csls", space, rows, data, block_size=8)
        >>> said
        {'scoring': 'csls, inductive: a bank of training queries'}
        >>> x, y, scorer = scored
        >>> ranks(x, y, pairs.group, pairs.y_group, 8, scorer)
        tensor([1, 1, 1, 1])
    """

    @checked("evaluation.correction.")
    def __init__(
        self,
        bank: Literal["train", "test"],
        items: Count,
        neighbours: Count,
        weights: Annotated[list[NonNegative], not_empty],
        temperatures: Annotated[list[Positive], not_empty],
        iterations: Count,
    ):
        self.bank = bank
        self.items = items
        self.neighbours = neighbours
        self.weights = weights
        self.temperatures = temperatures
        self.iterations = iterations

    def corrected(
        self, rule: str, space: Space, rows: Scored, own: PairsDataModule, block_size: int
    ) -> tuple[Scored, dict[str, str | float]]:
        """The test split's rows and the corrected rule, and what the protocol says of it.

        Args:
            rule: inverted_softmax, nnn, csls or sinkhorn.
            space: where scores are corrected.
            rows: those of the test split there.
            own: the datamodule of the fit: its training split has the bank, its validation split decides.
            block_size: rows scored at a time.

        Raises:
            UserError: a setting to choose, and no validation split.
        """
        bank = self._bank(space, own, block_size) if self.bank == "train" else None
        settings = {"nnn": self.weights, "csls": [0.5]}.get(rule, self.temperatures)
        val, of_val = None, None
        if len(settings) > 1:
            if "val" not in own.splits:
                raise UserError(
                    f"evaluation.scoring={rule} chooses its setting on validation, and the data has no such split: "
                    "give evaluation.correction one value, or data with a validation split"
                )
            of_val = own.splits["val"]
            val = space.embedded(of_val, block_size)
        said: dict[str, str | float] = {"scoring": f"{rule}, {KINDS[self.bank]}"}
        biases = []
        for back in (False, True):  # queries x, then queries y
            known = None if bank is None else bank[back]
            setting = settings[0]
            if val is not None and of_val is not None:
                groups = (of_val.y_group, of_val.group) if back else (of_val.group, of_val.y_group)
                setting = self._best(rule, settings, space, _way(val, back), known, back, groups, block_size)
                said[f"scoring_setting_{'y' if back else 'x'}_queries"] = setting
            scores = _of_bank(space, _way(rows, back), known, back, block_size)
            biases.append(space.scale * self.bias(rule, setting, scores))
        of_y, of_x = biases
        return Scored(_with_bias(rows.x, of_x), _with_bias(rows.y, of_y), less_bias(space.scorer)), said

    def _best(
        self,
        rule: str,
        settings: list[float],
        space: Space,
        val: Scored,
        known: Tensor | None,
        back: bool,
        groups: tuple[Tensor, Tensor],
        block_size: int,
    ) -> float:
        """The setting with the best mean recall of the queries ``val.x``."""
        scores = _of_bank(space, val, known, back, block_size)
        queries, scorer = _with_bias(val.x, val.x.new_zeros(len(val.x))), less_bias(val.scorer)
        recalls = []
        for setting in settings:
            gallery = _with_bias(val.y, space.scale * self.bias(rule, setting, scores))
            found = ranks(queries, gallery, *groups, block_size, scorer)
            recalls.append(sum(float((found <= k).double().mean()) for k in CUTOFFS))
        return settings[recalls.index(max(recalls))]

    def bias(self, rule: str, setting: float, scores: Tensor) -> Tensor:
        """What ``rule`` takes off each item's scores, (g,), by those of a bank (b, g)."""
        if rule in ("nnn", "csls"):
            return setting * nearest_mean(scores, self.neighbours)
        temperature = setting * max(float(scores.std()), 1 / GRID)
        of = inverted_softmax if rule == "inverted_softmax" else partial(sinkhorn, iterations=self.iterations)
        return of(scores.double(), temperature=temperature)

    def _bank(self, space: Space, own: PairsDataModule, block_size: int) -> tuple[Tensor, Tensor]:
        """Embeddings of training x and of training y."""
        train, generator = own.splits["train"], torch.Generator().manual_seed(own.seed)

        def some(rows: FeatureRows, encode: Encode) -> Tensor:
            drawn = torch.randperm(int(rows.shape[0]), generator=generator)[: self.items]
            return torch.cat([encode(rows[part]).float().cpu() for part in drawn.split(block_size)])

        return some(train.x, space.encode_x), some(train.y, space.encode_y)


KINDS = {
    "train": "inductive: a bank of training queries",
    "test": "transductive: the test queries are its bank",
}
"""What the protocol says of a bank."""


def less_bias(scorer: Scorer) -> Scorer:
    """The scores of rows whose last column is a bias, less the gallery's, which either side may be."""

    def prepare(rows: Tensor) -> Tensor:
        inner = scorer.prepare(rows[:, :-1])
        return torch.cat([inner, rows[:, -1:].to(inner)], 1)

    return Scorer(prepare, partial(_less, scorer), partial(_less, scorer.back()))


def _less(scorer: Scorer, queries: Tensor, gallery: Tensor) -> Tensor:
    scores = scorer.score(queries[:, :-1], gallery[:, :-1]).double()
    return scores.sub_(gallery[:, -1].double()).mul_(GRID).round_().div_(GRID).float()


def _with_bias(rows: Tensor, bias: Tensor) -> Tensor:
    """On the grid that scores are told apart on: equal items have equal biases."""
    return torch.cat([rows, bias.double().mul(GRID).round().div(GRID).to(rows)[:, None]], 1)


def _way(scored: Scored, back: bool) -> Scored:
    """The queries in the place of x, the gallery in that of y."""
    return Scored(scored.y, scored.x, scored.scorer.back()) if back else scored


def _of_bank(space: Space, way: Scored, known: Tensor | None, back: bool, block_size: int) -> Tensor:
    """Scores (b, g) by embeddings alone of the bank, ``known`` or else ``way.x``, with the gallery ``way.y``."""
    queries = space.without_memory(way.x if known is None else known)
    scorer = space.plain.back() if back else space.plain
    return _scores(scorer, queries, space.without_memory(way.y), block_size)


def _scores(scorer: Scorer, queries: Tensor, gallery: Tensor, block_size: int) -> Tensor:
    """(q, g) float32."""
    items = [scorer.prepare(part) for part in gallery.split(block_size)]
    rows = [scorer.prepare(part) for part in queries.split(block_size)]
    return torch.cat([torch.cat([scorer.score(each, item) for item in items], 1) for each in rows])
