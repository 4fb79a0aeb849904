"""What judges are given, and what a judge is: it knows nothing of Lightning, nor of how a model was fitted."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import FeatureRows, Pairs
from evaluation.densities import Densities
from evaluation.linear_probe import ProbeResult
from evaluation.scoring import COSINE, Scorer


class Encode(Protocol):
    """Feature rows (k, d) to embeddings (k, r): an aligner's ``encode_x`` or ``encode_y``."""

    def __call__(self, rows: Tensor, /) -> Tensor: ...


def as_it_is(rows: Tensor) -> Tensor:
    """Raw features in the place of embeddings."""
    return rows


def encoded(rows: FeatureRows, encode: Encode, block_size: int) -> Tensor:
    """Embeddings (n, r) of feature rows (n, d), on the CPU."""
    n = int(rows.shape[0])
    return torch.cat([encode(rows[part]).float().cpu() for part in torch.arange(n).split(block_size)])


class Scored(NamedTuple):
    """Rows (n_x, k) and (n_y, k) of a split and the rule that scores them, by which items are ranked.

    Example:
        >>> Scored(torch.eye(3), torch.eye(3), COSINE).of_items(torch.tensor([1]), torch.tensor([1, 2]))
        tensor([[1., 0.]])
    """

    x: Tensor
    y: Tensor
    scorer: Scorer

    def of_items(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores (a, b) of some x with some y, by their places."""
        prepare = self.scorer.prepare
        return self.scorer.score(prepare(self.x[x]), prepare(self.y[y]))


@dataclass
class Judged:
    """The embeddings of a split, the aligner's encoders, and its rule of scoring.

    ``x`` (n_x, r) and ``y`` (n_y, r) are in the order of ``pairs``, on the CPU. ``encode_x`` and ``encode_y`` take
    feature rows of any split. ``block_size`` rows are encoded or scored at a time. ``after`` is the number of the
    pass that was the last one: 0 for a first solution, 1 for an epoch of gradient steps. ``scorer`` scores the
    embeddings; items are ranked by ``scored``, which a memory or a correction may differ in.

    What judges leave beside their metrics:

    Attributes:
        ranks: of the queries of each direction, ``image_to_text`` and ``text_to_image``: (q,) int64, from 1.
        probes: the linear probes' results on the split, by their titles.
        protocol: what their metrics mean.
        densities: of the ``embeddings`` and, where both have one dimension, of the ``raw features``, at each kappa.

    Example:
        >>> from datamodules.pairs import pairs_of_tensors
        >>> data = PairsDataModule(batch_size=8, eval_batch_size=8, seed=0)
        >>> data.splits["test"] = pairs_of_tensors(torch.eye(3), torch.eye(3))
        >>> judged = Judged(torch.eye(3), torch.eye(3), "test", data, torch.clone, torch.clone, block_size=8)
        >>> judged.names, judged.pairs.n_x
        (('x', 'y'), 3)
    """

    x: Tensor
    y: Tensor
    split: str
    datamodule: PairsDataModule
    encode_x: Encode
    encode_y: Encode
    block_size: int
    after: int = 0
    scorer: Scorer = COSINE
    ranked: Scored | None = None
    ranks: dict[str, Tensor] = field(default_factory=dict)
    probes: dict[str, ProbeResult] = field(default_factory=dict)
    protocol: dict[str, str | int | float] = field(default_factory=dict)
    densities: dict[str, list[Densities]] = field(default_factory=dict)

    @property
    def pairs(self) -> Pairs:
        return self.datamodule.splits[self.split]

    @property
    def scored(self) -> Scored:
        """What items are ranked by: the embeddings, where nothing joins in."""
        return self.ranked or Scored(self.x, self.y, self.scorer)

    @property
    def names(self) -> tuple[str, str]:
        """Those of the modalities x and y."""
        return self.datamodule.x_name, self.datamodule.y_name


class Judge(Protocol):
    """Metrics of an embedded split, by their keys without a prefix; nothing where it has nothing to judge.

    Example:
        >>> class Rank:
        ...     every_pass = False
        ...     def __call__(self, judged: Judged) -> dict[str, float]:
        ...         return {"x/rank": float(torch.linalg.matrix_rank(judged.x))}
        >>> data = PairsDataModule(batch_size=8, eval_batch_size=8, seed=0)
        >>> Rank()(Judged(torch.ones(3, 2), torch.ones(3, 2), "test", data, torch.clone, torch.clone, block_size=8))
        {'x/rank': 1.0}
    """

    @property
    def every_pass(self) -> bool:
        """Whether it is asked on validation after every pass; false: at the test alone."""

    def __call__(self, judged: Judged, /) -> dict[str, float]: ...


@runtime_checkable
class Remembers(Protocol):
    """A judge that keeps something of every pass: a checkpoint holds it, so that a resumed fit has it too.

    Example:
        >>> from evaluation.judges import Retrieval
        >>> from report import Similarities
        >>> isinstance(Similarities(n_items=8), Remembers), isinstance(Retrieval(), Remembers)
        (True, False)
    """

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None: ...


@runtime_checkable
class Foretells(Protocol):
    """A judge that says before a fit what it will give: a typo in ``evaluation.select`` is then told before it.

    Example:
        >>> from evaluation.judges import Hubness, Retrieval
        >>> isinstance(Retrieval(), Foretells), isinstance(Hubness(neighbours=10), Foretells)
        (True, False)
    """

    def names(self, datamodule: PairsDataModule, /) -> list[str]:
        """The metrics of the validation split."""
