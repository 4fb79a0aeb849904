"""Aligner: the LightningModule that every method is."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.base.arrays import Arrays
from aligners.base.rank_bound import RankBound
from aligners.base.remembering import Remembering, made_memory
from aligners.base.saved import Saved
from aligners.features.steps import Step
from aligners.objectives.base import Objective
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import PairBatch, Pairs
from datamodules.pairs.stream import Stream
from ground.distributed import add_over_processes
from ground.errors import UserError
from ground.ranges import Choosable, Count, NonNegative, Positive


class Aligner(Remembering, Arrays, Saved):
    """Two encoders on frozen features into one space of ``rank`` dimensions, scored by cosine.

    ``encode_x`` takes (n, d_x) to (n, r), ``encode_y`` (n, d_y) to (n, r). Features are centred with the
    training mean of their modality and, if ``unit``, scaled to length 1 after it: shifting all features by a
    constant changes nothing. Where a row is of several ``layers`` beside each other, each is scaled by itself. With
    ``shared`` both sides have one encoder and one mean; None leaves it to the data, whose two sides may be views of one
    modality. A method builds its parameters in ``build``, and maps prepared features in ``embed_x`` and ``embed_y``.
    Where ``centre`` is false, nothing is centred. ``memory`` is the weight of the anchor term, which needs up to
    ``memory_items`` training items beside the embeddings, see ``Memory``; 0 for none.

    Example:
        >>> from aligners import CCA
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = CCA(rank=4).fit(x, x.flip(1))
        >>> isinstance(aligner, Aligner), aligner.dims, aligner.similarity(x, x[:7]).shape
        (True, (8, 8), torch.Size([50, 7]))
    """

    mean_x: Tensor
    mean_y: Tensor
    first_number = 1
    """The number of passes that the first epoch leads to: one epoch of gradient steps is one."""

    def __init__(
        self,
        rank: Count,
        unit: bool,
        shared: bool | None,
        memory: Choosable[NonNegative],
        memory_temperature: Choosable[Positive],
        memory_items: Count,
    ):
        super().__init__()
        self.rank = rank
        self.unit = unit
        self.shared = shared
        self.centre = True
        self.dims = None
        self.layers = (1, 1)
        self.memory = made_memory(memory, memory_temperature, memory_items)

    @abstractmethod
    def build(self, d_x: int, d_y: int) -> None:
        """Register what depends on the prepared features' dimensions."""

    @abstractmethod
    def embed_x(self, x: Tensor) -> Tensor:
        """Prepared features (n, d_x), float32 or float64 as they came, to embeddings (n, r)."""

    @abstractmethod
    def embed_y(self, y: Tensor) -> Tensor:
        """Prepared features (n, d_y), float32 or float64 as they came, to embeddings (n, r)."""

    @torch.no_grad()
    def encode_x(self, x: Any) -> Tensor:
        """Features (n, d_x), array or tensor, to embeddings (n, r) float32, in the embeddings' own scale.

        The aligner of a run that had backbones takes raw items as well: a list of paths, texts, PIL images.

        Raises:
            UserError: no fit, features of other dimensions, or raw items that cannot be encoded.
        """
        return self.joined("x", self.rows_of("x", x))

    @torch.no_grad()
    def encode_y(self, y: Any) -> Tensor:
        """Features (n, d_y) to embeddings (n, r), as ``encode_x``."""
        return self.joined("y", self.rows_of("y", y))

    def prepare_x(self, x: Tensor) -> Tensor:
        """Features (n, d_x), centred and, if ``unit``, of length 1: float64 as they came, all others float32."""
        return self._prepare(x, self.mean_x, self.layers[0])

    def prepare_y(self, y: Tensor) -> Tensor:
        """Features (n, d_y), as ``prepare_x``."""
        return self._prepare(y, self.mean_y, self.layers[1])

    def _prepare(self, rows: Tensor, mean: Tensor, layers: int) -> Tensor:
        if rows.dtype != torch.float64:
            rows = rows.float()
        # the mean in two parts: rows far from 0 lose no digits, whatever constant they carry
        high = mean.to(rows.dtype)
        centred = (rows - high).sub_((mean - high).to(rows.dtype))
        if not self.unit or layers == 1:
            return normalize(centred) if self.unit else centred
        scaled: Tensor = normalize(centred.unflatten(1, (layers, -1)), dim=2)
        return scaled.flatten(1).div_(layers**0.5)

    def steps(self, side: str) -> list[Step]:
        """What ``encode_x`` or ``encode_y`` does, for an export; ``side`` is x or y.

        Raises:
            UserError: embeddings that are scored otherwise than by their cosine, or that no steps lead to.
        """
        if self.own_score is not None:
            raise UserError(f"{type(self).__name__} scores pairs by more than a cosine of embeddings: it has no export")
        return [*self.prepared_steps(side), *self.embedding_steps(side), *self.memory_steps(side)]

    def prepared_steps(self, side: str) -> list[Step]:
        """What ``prepare_x`` or ``prepare_y`` does."""
        mean, layers = (self.mean_x, self.layers[0]) if side == "x" else (self.mean_y, self.layers[1])
        return [Step("centre", {"mean": mean}), *([Step("unit", values={"layers": layers})] if self.unit else [])]

    def embedding_steps(self, side: str) -> list[Step]:
        """What ``embed_x`` or ``embed_y`` does.

        Raises:
            UserError: no steps lead there.
        """
        raise UserError(f"{type(self).__name__} does not say its steps (embedding_steps): it has no export")

    def setup(self, stage: str) -> None:
        datamodule: PairsDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        if self.dims is None and self.shared is None:
            self.shared = datamodule.one_modality
        bound = self.rank_bound(datamodule.splits["train"]) if stage == "fit" else None
        if bound is not None:
            bound.check(self.rank)
        if self.dims is None:
            self._build(datamodule.dims, datamodule.layers)
        elif stage == "fit":
            made, given = (self.dims, self.layers), (datamodule.dims, datamodule.layers)
            for what, before, now in zip(("dimensions", "layers"), made, given, strict=True):
                if before != now:
                    raise UserError(
                        f"the aligner was fitted on features of {what} {before}, the data has {now}: "
                        "make a new one, or call fit(x, y), which begins afresh"
                    )

    def _build(self, dims: tuple[int, int], layers: tuple[int, int] = (1, 1)) -> None:
        for what, (of_x, of_y) in (("dimension", dims), ("number of layers", layers)):
            if self.shared and of_x != of_y:
                raise UserError(
                    f"aligner.shared=true needs features of one {what} on both sides, got {of_x} and {of_y}"
                )
        self.dims, self.layers = dims, layers
        for name, d in zip(("mean_x", "mean_y"), dims, strict=True):
            self.register_buffer(name, torch.zeros(d, dtype=torch.float64))
        self.build(*self.prepared_dims())

    @property
    def embedding_width(self) -> int:
        """Numbers of an embedding: the rank, but of a method that embeds otherwise."""
        return self.rank

    def prepared_dims(self) -> tuple[int, int]:
        """Dimensions of the rows that ``prepare_x`` and ``prepare_y`` give, which ``build`` is given; asked once."""
        assert self.dims is not None
        return self.dims

    def on_train_start(self) -> None:
        """The training means, from one stream over the batches of all processes."""
        if len(torch.unique(self.train_pairs.group)) < 2:
            raise UserError("all training items are of one group: there is nothing to tell apart")
        if not self.centre:
            return
        # of the differences from one row, which is the same in every process: no digits are lost far from 0
        zero = torch.zeros(1, dtype=torch.int64)
        origins = [rows[zero][0].to(self.device) for rows in (self.train_pairs.x, self.train_pairs.y)]
        sums = [torch.zeros_like(self.mean_x), torch.zeros_like(self.mean_y)]
        counts = torch.zeros(2, dtype=torch.float64, device=self.device)
        for batch in self.stream():
            for side, rows in enumerate((batch.x, batch.y)):
                sums[side] += (rows - origins[side]).sum(0)
                counts[side] += len(rows)
        add_over_processes(*sums, counts)
        for mean, total, count, origin in zip((self.mean_x, self.mean_y), sums, counts, origins, strict=True):
            mean.copy_(origin.double() + total / count)
        if self.shared:
            n_x, n_y = counts.tolist()
            pooled = (n_x * self.mean_x + n_y * self.mean_y) / (n_x + n_y)
            self.mean_x.copy_(pooled)
            self.mean_y.copy_(pooled)

    def rank_bound(self, train: Pairs) -> RankBound | None:
        """The largest rank that these training data allow, asked before a fit; None where none is known."""
        return None

    @property
    def chooses(self) -> bool:
        """Whether settings are left to a validation split, which ``fit`` then holds out."""
        return self.memory is not None and self.memory.chooses

    @property
    def facts(self) -> dict[str, float]:
        """What the fit found out and ``metrics.json`` should hold, under ``fit/``."""
        return {} if self.memory is None else self.memory.facts

    @property
    def passes_record(self) -> list[dict[str, float]]:
        """What each pass or epoch of the fit reports, from ``first_number`` on: ``objective``, of an epoch its mean."""
        return []

    @property
    def fitted_objective(self) -> Objective | None:
        """The contrastive objective of the fit at its final settings; None where there is none."""
        return None

    @property
    def train_pairs(self) -> Pairs:
        """The training split, which every process can read."""
        return self.trainer.train_dataloader.dataset  # type: ignore[union-attr, no-any-return]

    @property
    def stream(self) -> Stream:
        """This process's training batches, on this module's device, as often as they are wanted."""
        return Stream(self.train_pairs, self.trainer.train_dataloader.sampler, self.device)  # type: ignore[union-attr]

    def validation_step(self, batch: PairBatch, batch_idx: int) -> dict[str, Tensor]:
        """Embeddings with their indices; the evaluation callback gathers and judges them."""
        return {
            "x": self.encode_x(batch.x),
            "y": self.encode_y(batch.y),
            "x_index": batch.x_index,
            "y_index": batch.y_index,
        }

    test_step = validation_step

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["dims"] = self.dims
        checkpoint["layers"] = self.layers
        checkpoint["shared"] = self.shared

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        made_with = checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY, {})
        for key, value in self.hparams.items():
            if key in made_with and made_with[key] != value:  # what it does not know did not exist when it was made
                raise UserError(f"the checkpoint was made with aligner.{key}={made_with[key]}, this run has {value}")
        if self.dims is None and checkpoint["dims"] is not None:
            self.shared = checkpoint["shared"]
            self._build(tuple(checkpoint["dims"]), tuple(checkpoint.get("layers", (1, 1))))
        # some have the data's number of items in their shape; products are rounded by the layout in memory
        for name, buffer in self.named_buffers():
            stored = checkpoint["state_dict"].get(name)
            if stored is not None and (stored.shape, stored.stride()) != (buffer.shape, buffer.stride()):
                owner, _, leaf = name.rpartition(".")
                setattr(self.get_submodule(owner), leaf, torch.empty_like(stored))
