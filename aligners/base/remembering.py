"""What an aligner does with a memory, where it has one."""

from abc import abstractmethod

import lightning
from torch import Tensor

from aligners.base.memory import Memory, Score
from aligners.features.steps import Step
from datamodules.base.datamodule import PairsDataModule


class Remembering(lightning.LightningModule):
    """Encoded rows with the profiles of a memory beside the embeddings, see ``Memory``; a mixin.

    Attributes:
        memory: None where its weight is 0.
    """

    memory: Memory | None

    @abstractmethod
    def prepare_x(self, x: Tensor) -> Tensor:
        """Features (n, d_x) to what is embedded."""

    @abstractmethod
    def prepare_y(self, y: Tensor) -> Tensor:
        """Features (n, d_y) to what is embedded."""

    @abstractmethod
    def embed_x(self, x: Tensor) -> Tensor:
        """Prepared features to embeddings (n, r)."""

    @abstractmethod
    def embed_y(self, y: Tensor) -> Tensor:
        """Prepared features to embeddings (n, r)."""

    def embedded_x(self, x: Tensor) -> Tensor:
        """Features (n, d_x) to embeddings (n, r) float32 alone, without a memory."""
        return self.embed_x(self.prepare_x(x)).float()

    def embedded_y(self, y: Tensor) -> Tensor:
        """Features (n, d_y) to embeddings (n, r) float32 alone, without a memory."""
        return self.embed_y(self.prepare_y(y)).float()

    def joined(self, side: str, rows: Tensor) -> Tensor:
        """Features (n, d) to encoded rows (n, r + m), of m anchors."""
        embedding = self.embedded_x(rows) if side == "x" else self.embedded_y(rows)
        if self.memory is None:
            return embedding
        return self.memory.joined(side, rows, embedding, own=self.own_score is not None)

    @property
    def own_score(self) -> Score | None:
        """The aligner's ``score`` of embeddings, where it has one; None: their cosine."""
        return getattr(self, "score", None)

    @property
    def pair_score(self) -> Score | None:
        """The same of encoded rows, with the memory's term; None: their cosine."""
        own = self.own_score
        return own if own is None or self.memory is None else self.memory.score(own)

    @property
    def remembered(self) -> int:
        """How many columns of an encoded row, its last, are of the memory."""
        return 0 if self.memory is None else self.memory.columns

    @property
    def remembered_scale(self) -> float:
        """What the score of embeddings is multiplied by in that of encoded rows."""
        cosines = self.memory is not None and self.own_score is None
        return 1 / (1 + float(self.memory.weight)) if cosines and self.memory is not None else 1.0

    def memory_steps(self, side: str) -> list[Step]:
        """What ``joined`` does to embeddings."""
        return [] if self.memory is None else self.memory.steps(side)

    def on_fit_end(self) -> None:
        """Remember training items and weigh them, once the fit has its result."""
        if self.memory is None:
            return
        datamodule: PairsDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        train, val = datamodule.splits["train"], datamodule.splits.get("val")
        self.memory.choose(train, val, self.embedded_x, self.embedded_y, self.own_score, datamodule.seed)


def made_memory(weight: float | list[float], temperature: float | list[float], items: int) -> Memory | None:
    """A memory of these settings, each a value or those to choose from; None where no weight is above 0."""
    weights, temperatures = (each if isinstance(each, list) else [each] for each in (weight, temperature))
    return Memory(weights, temperatures, items) if any(weights) else None
