"""TrainedAligner: two heads on frozen features, trained by any torch optimizer on a loss of the embeddings."""

import math
from abc import abstractmethod
from typing import Any, Literal

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from aligners.base.aligner import Aligner
from aligners.base.gated import Gated
from aligners.base.head_features import FeaturesName, HeadFeatures, MappedRows, head_settings, widths
from aligners.base.mixup import draws_of, mixed
from aligners.base.rank_bound import RankBound, groups_bound, heads_bound
from aligners.base.warm_start import check_warm_start, set_head, spectral_solution
from aligners.features import KernelName, LandmarkNumber, Selection
from aligners.features.steps import Step
from aligners.spectral.settings import SpectralSettings
from datamodules.pairs.pairs import PairBatch, Pairs
from ground.distributed import concatenate, rank_and_world
from ground.errors import UserError
from ground.ranges import Count, Natural, NonNegative, Positive

TOTAL_STEPS = "total_steps"
"""Value of a scheduler's argument that stands for the run's number of optimizer steps."""
HeadName = Literal["linear", "mlp", "glu"]


def head(kind: HeadName, d: int, hidden: int, rank: int, bias: bool) -> nn.Module:
    """``linear``: one matrix, ``bias`` or not; ``mlp``, ``glu``: a layer of ``hidden`` GELU or gated units before it.

    (n, d) to (n, r).
    """
    if kind == "linear":
        return nn.Linear(d, rank, bias=bias)
    inner = [nn.Linear(d, hidden), nn.GELU()] if kind == "mlp" else [Gated(d, hidden)]
    return nn.Sequential(*inner, nn.Linear(hidden, rank))


class TrainedAligner(Aligner):
    """Heads on both modalities, and a loss of a batch's embeddings, joined over all processes.

    A method is its ``loss``; what else it trains it registers in its constructor, or in ``build`` where that depends
    on the features' dimensions. ``optimizer`` and ``scheduler`` are Hydra configs (``_target_`` and arguments); the
    scheduler steps with the optimizer, ``null`` for none. Weight decay leaves one-dimensional parameters and scalars
    alone. ``warm_start`` names the solution that linear heads start from, None for torch's initialisation. With
    ``mixup`` above 0 every step is on mixtures of pairs, see ``aligners.base.mixup``.

    ``features`` other than ``raw`` put what UniCon's solver works on into the place of the prepared features: whitened
    rows, or those of a kernel (see ``HeadFeatures``). The means, the map and the whitening are fitted on all training
    rows before the first epoch. ``build``, ``embed_x`` and a loss then have rows of as many columns as the map.

    Raises:
        UserError: an unknown head or warm start, or a warm start of heads that are not linear or not on raw features.

    Example:
        >>> from torch.nn.functional import normalize
        >>> from aligners.base.yaml_defaults import defaults_from
        >>> @defaults_from("base/trained")
        ... class Distance(TrainedAligner):
        ...     def __init__(self, **common):
        ...         super().__init__(**common)
        ...
        ...     def loss(self, x, y, batch):
        ...         return torch.cdist(normalize(x), normalize(y))[batch.positives].mean()
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> Distance(rank=4).fit(x, x.flip(1), max_epochs=2).encode_x(x).shape
        torch.Size([50, 4])
    """

    def __init__(
        self,
        rank: Count,
        unit: bool,
        shared: bool | None,
        head: HeadName,
        hidden: Count,
        optimizer: dict[str, Any],
        scheduler: dict[str, Any] | None,
        mixup: NonNegative,
        warm_start: Literal["unicon"] | None,
        features: FeaturesName,
        kernel: KernelName,
        bandwidth: Positive,
        landmarks: LandmarkNumber,
        landmark_selection: Selection,
        landmark_ridge: NonNegative,
        lam: NonNegative,
        memory_mb: Natural,
        **common: Any,
    ):
        super().__init__(rank, unit, shared, **common)
        if warm_start is not None:
            check_warm_start(warm_start, head, features)
        self.head_kind = head
        self.hidden = hidden
        self.optimizer_config = optimizer
        self.scheduler_config = scheduler
        self.mixup = mixup
        self.warm_start = warm_start
        self._epochs: list[dict[str, float]] = []
        self._losses: Tensor | None = None  # the sum of this epoch's, by items, and the number of items
        self.features_kind = features
        self.features_settings = {
            "rank": rank, "kernel": kernel, "bandwidth": bandwidth, "landmarks": landmarks,
            "landmark_selection": landmark_selection, "landmark_ridge": landmark_ridge, "lam": lam,
            "memory_mb": memory_mb,
        }  # fmt: skip
        self.head_features: HeadFeatures | None = None
        self.widths: tuple[int, int] | None = None
        self._mapped: MappedRows | None = None

    @abstractmethod
    def loss(self, x: Tensor, y: Tensor, batch: PairBatch) -> Tensor:
        """The loss, a scalar.

        Args:
            x: embeddings (b, r) of the batch's x, in their own scale, with a gradient.
            y: embeddings (c, r) of its y.
            batch: what was embedded: prepared features, groups and indices of all processes.
        """

    def build(self, d_x: int, d_y: int) -> None:
        bias = self.warm_start is not None  # centred features need none, a solution has an offset
        self.head_x = head(self.head_kind, d_x, self.hidden, self.rank, bias)
        self.head_y = self.head_x if self.shared else head(self.head_kind, d_y, self.hidden, self.rank, bias)

    def rank_bound(self, train: Pairs) -> RankBound | None:
        if self.warm_start is not None:
            return groups_bound(train.dims, train, less=1)
        dims = train.dims if self.features_kind == "raw" else widths(self._head_settings, train)
        inputs = dims if self.head_kind == "linear" else (self.hidden + 1, self.hidden + 1)  # 1 of the bias
        return heads_bound(inputs, bool(self.shared), self.head_kind)

    def prepared_dims(self) -> tuple[int, int]:
        if self.features_kind == "raw":
            return super().prepared_dims()
        assert self.dims is not None
        settings = self._head_settings
        if self.widths is None:  # else they are a checkpoint's
            train = self.trainer.datamodule.splits["train"]  # type: ignore[attr-defined]
            self.widths = widths(settings, train)
        self.head_features = HeadFeatures(settings, self.dims, self.widths)
        return self.widths

    @property
    def _head_settings(self) -> SpectralSettings:
        return head_settings(self.features_kind, bool(self.shared), self.features_settings)

    def prepare_x(self, x: Tensor) -> Tensor:
        """Features (n, d_x), centred and of length 1 if ``unit``; mapped and whitened as ``features`` says."""
        rows = super().prepare_x(x)
        return rows if self.head_features is None else self.head_features.x(rows)

    def prepare_y(self, y: Tensor) -> Tensor:
        """Features (n, d_y), as ``prepare_x``."""
        rows = super().prepare_y(y)
        return rows if self.head_features is None else self.head_features.y(rows)

    def on_train_start(self) -> None:
        super().on_train_start()
        self._losses = None
        if self.current_epoch == 0:  # a fit from the beginning
            self._epochs = []
        if self.head_features is not None:
            if self.current_epoch == 0:  # a resumed fit has its features
                self.head_features.fit(self.train_pairs, self.stream, super().prepare_x, super().prepare_y)
            self._mapped = self.head_features.kept(self.train_pairs, self.device)
        if self.warm_start is not None and self.current_epoch == 0:  # a resumed fit has its heads
            solved = spectral_solution(self)
            for linear, mean, projection, offset in (
                (self.head_x, self.mean_x, solved.P_x, solved.offset_x),
                (self.head_y, self.mean_y, solved.P_y, solved.offset_y),
            ):
                assert isinstance(linear, nn.Linear)
                set_head(linear, projection, offset, self._scale(len(mean)))

    def embed_x(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.head_x(self.scaled(x))
        return embedding

    def embed_y(self, y: Tensor) -> Tensor:
        embedding: Tensor = self.head_y(self.scaled(y))
        return embedding

    def prepared_steps(self, side: str) -> list[Step]:
        features = [] if self.head_features is None else self.head_features.steps(side)
        return [*super().prepared_steps(side), *features]

    def embedding_steps(self, side: str) -> list[Step]:
        head = self.head_x if side == "x" else self.head_y
        parts = head if isinstance(head, nn.Sequential) else [head]
        return [*self.scaled_steps(side), *(step for part in parts for step in _head_steps(part))]

    def scaled_steps(self, side: str) -> list[Step]:
        """What ``scaled`` does."""
        d = len(self.mean_x if side == "x" else self.mean_y)
        return [Step("float"), Step("scale", values={"by": self._scale(d)})]

    def scaled(self, rows: Tensor) -> Tensor:
        """Prepared features (n, d) in float32 and, of unit length, with entries of size 1; mapped ones have it."""
        return rows.float() * self._scale(rows.shape[1])

    def _scale(self, d: int) -> float:
        # unit rows have entries of size 1/sqrt(d): bring them to size 1, which torch's initialisation expects
        return math.sqrt(d) if self.unit and self.head_features is None else 1.0

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        if self._mapped is not None:
            mine = self._mapped(batch, self.prepare_x, self.prepare_y)
        else:
            mine = batch._replace(x=self.prepare_x(batch.x), y=self.prepare_y(batch.y))
        joined = PairBatch(*(concatenate(part) for part in mine))
        if self.mixup:
            joined, mine = self._mixed(joined, mine, batch_idx)
        x, y = concatenate(self.embed_x(mine.x)), concatenate(self.embed_y(mine.y))
        loss = self.loss(x, y, joined)
        self.log("fit/objective", loss, on_step=False, on_epoch=True, batch_size=len(x), rank_zero_only=True)
        self.log("objective", loss, prog_bar=True, logger=False, rank_zero_only=True)
        losses = torch.stack([loss.detach().double() * len(x), loss.new_tensor(len(x), dtype=torch.float64)])
        self._losses = losses if self._losses is None else self._losses + losses
        return loss

    def _mixed(self, joined: PairBatch, mine: PairBatch, batch_idx: int) -> tuple[PairBatch, PairBatch]:
        """The mixture of the joined batch, and what this process embeds of it: the places of its own rows."""
        joined = mixed(joined, self.mixup, draws_of(self.stream.sampler.seed, self.current_epoch, batch_idx))
        rank = rank_and_world()[0]
        of_x, of_y = (concatenate(torch.full_like(rows, rank)) == rank for rows in (mine.x_index, mine.y_index))
        return joined, mine._replace(x=joined.x[of_x], y=joined.y[of_y])

    def on_train_batch_end(self, outputs: Any, batch: PairBatch, batch_idx: int) -> None:
        if self.trainer.is_last_batch and self._losses is not None:
            total, count = self._losses.tolist()
            self._epochs.append({"objective": total / count})
            self._losses = None

    @property
    def passes_record(self) -> list[dict[str, float]]:
        return self._epochs

    def on_train_end(self) -> None:
        self._mapped = None  # it holds training rows

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["epochs"] = self._epochs
        if self.widths is not None:
            checkpoint["widths"] = list(self.widths)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "widths" in checkpoint and self.features_kind != "raw":
            self.widths = tuple(checkpoint["widths"])
            if self.dims is not None:  # built for other data
                self._build(self.dims, self.layers)
        super().on_load_checkpoint(checkpoint)
        self._epochs = checkpoint.get("epochs", [])  # none, of a time before there were any

    def configure_optimizers(self) -> OptimizerLRScheduler:
        decayed = [p for p in self.parameters() if p.ndim > 1]
        kept = [p for p in self.parameters() if p.ndim <= 1]
        groups = [{"params": decayed}] + ([{"params": kept, "weight_decay": 0.0}] if kept else [])
        optimizer = _made("optimizer", self.optimizer_config, params=groups, _convert_="object")
        if self.scheduler_config is None:
            return optimizer  # type: ignore[no-any-return]
        steps = int(self.trainer.estimated_stepping_batches)
        config = {k: steps if v == TOTAL_STEPS else v for k, v in self.scheduler_config.items()}
        scheduler = _made("scheduler", config, optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _made(key: str, config: dict[str, Any], *parts: Any, **named: Any) -> Any:
    """What torch makes of ``config``, which has ranges of its own."""
    if "_target_" not in config:
        raise UserError(f"aligner.{key} must name its class, as _target_: torch.optim.AdamW, got {dict(config)}")
    try:
        return instantiate(config, *parts, **named)
    except InstantiationException as error:
        cause = error.__cause__ or error
        raise UserError(f"aligner.{key}: {config.get('_target_')}: {' '.join(str(cause).split())}") from error


def _head_steps(part: nn.Module) -> list[Step]:
    if isinstance(part, nn.Linear):
        return [linear_step(part)]
    if isinstance(part, nn.GELU):
        return [Step("gelu")]
    if isinstance(part, Gated):
        return [part.step()]
    raise UserError(f"no step of an export does what {type(part).__name__} does")


def linear_step(linear: nn.Linear) -> Step:
    """What a linear layer does."""
    bias = torch.zeros_like(linear.weight[:, 0]) if linear.bias is None else linear.bias
    return Step("linear", {"weight": linear.weight.T, "bias": bias})
