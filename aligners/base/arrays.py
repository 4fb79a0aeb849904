"""An aligner as an estimator on two arrays, without a config."""

import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

import lightning
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn.functional import normalize

from aligners.base.inputs import RawItems, as_tensor, is_raw
from aligners.base.quiet import LongFitBar, quiet
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.arrays import pairs_of_tensors
from datamodules.pairs.checked_rows import check_shape
from datamodules.pairs.pairs import Pairs, subset, with_positives
from ground.configs import CONFIGS
from ground.errors import UserError
from ground.ranges import Count, Seed
from ground.values import checked

logger = logging.getLogger(__name__)


class Arrays(lightning.LightningModule):
    """What an aligner does with arrays: fits them, encodes them, compares them; a mixin.

    Attributes:
        dims: (d_x, d_y) that it was fitted on; None before a fit.
        raw_items: what makes features of raw items, for the aligner of a run that had backbones.
    """

    dims: tuple[int, int] | None
    raw_items: RawItems | None = None

    @property
    @abstractmethod
    def chooses(self) -> bool:
        """Whether settings are left to a validation split, which ``fit`` then holds out."""

    @property
    @abstractmethod
    def pair_score(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The score of encoded rows (n, r) and (k, r), (n, k); None: their cosine."""

    @abstractmethod
    def encode_x(self, x: Any) -> Tensor:
        """(n, d_x) to (n, r)."""

    @abstractmethod
    def encode_y(self, y: Any) -> Tensor:
        """(n, d_y) to (n, r)."""

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        x_of_y: Any = None,
        group: Any = None,
        domain: Any = None,
        batch_size: int | None = None,
        max_epochs: int | None = None,
        seed: int | None = None,
    ) -> Self:
        """Fit on two arrays, like an estimator: ``UniConSpectral(rank=128).fit(x, y).encode_x(x)``.

        A fit begins afresh, whatever was fitted before, keeps neither data nor Trainer, and leaves torch's random
        numbers as they were.

        Args:
            x: features (n_x, d_x), array or tensor.
            y: features (n_y, d_y).
            x_of_y: the row of ``x`` that each y belongs to, (n_y,); row i with row i if not given.
            group: (n_x,) groups of x whose y are all positives of each other; each its own if not given.
            domain: (n_x,) integers, the domain of each x, for an aligner that reads it.
            batch_size, max_epochs, seed: as in ``configs/datamodule/features.yaml``,
                ``configs/trainer/default.yaml`` and ``configs/train.yaml``, whose values hold if not given.

        Raises:
            UserError: features that do not fit each other, or hold NaN, infinity or all-zero rows.
        """
        fit_arrays(
            self, x, y, x_of_y=x_of_y, group=group, domain=domain, batch_size=batch_size, max_epochs=max_epochs,
            seed=seed,
        )  # fmt: skip
        self.trainer = None  # it holds the data
        return self

    @torch.no_grad()
    def similarity(self, x: Any, y: Any) -> Tensor:
        r"""Cosines of the embeddings, (n_x, n_y): :math:`f(x_i)^T g(y_j) / (\|f(x_i)\| \|g(y_j)\|)`.

        ``x`` and ``y`` are what ``encode_x`` and ``encode_y`` take. An aligner with a ``score`` gives
        that.

        Raises:
            UserError: as ``encode_x``.
        """
        score = self.pair_score
        if score is not None:
            return score(self.encode_x(x), self.encode_y(y))
        return normalize(self.encode_x(x)) @ normalize(self.encode_y(y)).T

    def begin_again(self) -> None:
        """Reset to what was made from the hyper-parameters.

        Raises:
            UserError: a class whose own constructor records none.
        """
        if not getattr(type(self).__init__, "fills", False):
            name = type(self).__name__
            raise UserError(
                f"{name} has a constructor of its own: decorate it with defaults_from, or make a new {name}"
            )
        made_with = dict(self.hparams)
        vars(self).clear()
        type(self).__init__(self, **made_with)

    def rows_of(self, side: str, items: Any) -> Tensor:
        """Features (n, d) of the ``side`` x or y: of an array as they are, of raw items through the run's backbone.

        Raises:
            UserError: no fit, features of other dimensions, or raw items where there is no backbone for them.
        """
        name = type(self).__name__
        if self.dims is None:
            raise UserError(f"this {name} is not fitted: call fit(x, y), or load(path) of one that was saved")
        d = self.dims["xy".index(side)]
        if is_raw(items):
            if self.raw_items is None:
                raise UserError(
                    f"{side} is raw items, and this {name} has no backbone, it encodes features (n, {d}): "
                    "load(RUN) of a run on images, texts or sounds has them"
                )
            items = self.raw_items.features(side, items)
        rows = as_tensor(side, items)
        if rows.ndim != 2:
            raise UserError(f"{side} must be features (n, {d}), got the shape {tuple(rows.shape)}")
        if rows.shape[1] != d:
            raise UserError(f"{side} has {rows.shape[1]} features, the aligner was fitted on {d}")
        if len(rows):
            check_shape(side, rows)  # of a dtype that a fit takes
        return rows.to(self.device)


@checked("")
def fit_arrays(
    aligner: Arrays,
    x: Any,
    y: Any,
    *,
    x_of_y: Any = None,
    group: Any = None,
    domain: Any = None,
    batch_size: Count | None = None,
    max_epochs: Count | None = None,
    seed: Seed | None = None,
) -> lightning.Trainer:
    """``Arrays.fit`` by a Trainer on one device, which is given back and holds the data.

    Raises:
        UserError: as ``Arrays.fit``. Of arrays that cannot be used the aligner knows nothing, else it is not fitted.
    """
    seed = _default("train.yaml", "seed") if seed is None else seed
    pairs = _pairs(x, y, x_of_y, group, domain)
    datamodule = PairsDataModule(
        batch_size=_default("datamodule/features.yaml", "batch_size") if batch_size is None else batch_size,
        eval_batch_size=_default("datamodule/features.yaml", "eval_batch_size"),
        seed=seed,
    )
    datamodule.splits = {"train": pairs}
    if aligner.chooses:
        share = _default("datamodule/features.yaml", "val_share")
        datamodule.splits = dict(zip(("train", "val"), held_out(pairs, share, seed), strict=True))
    if aligner.dims is not None:
        aligner.begin_again()
    with quiet(seed):
        trainer = lightning.Trainer(
            max_epochs=_default("trainer/default.yaml", "max_epochs") if max_epochs is None else max_epochs,
            devices=1,
            logger=False,
            callbacks=[LongFitBar()],
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            use_distributed_sampler=False,
            limit_val_batches=0,
        )
        try:
            trainer.fit(aligner, datamodule=datamodule)
        except BaseException:
            aligner.begin_again()
            raise
    aligner.eval()
    return trainer


def held_out(pairs: Pairs, share: float, seed: int) -> tuple[Pairs, Pairs]:
    """Training and validation pairs, cut by group.

    Raises:
        UserError: a single group.
    """
    groups, inverse = torch.unique(pairs.group, return_inverse=True)
    n = len(groups)
    if n < 2:
        raise UserError("settings that are lists are chosen on held-out groups: the data has but one group")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    held = (order < max(1, round(share * n)))[inverse]
    return subset(pairs, (~held).nonzero()[:, 0]), subset(pairs, held.nonzero()[:, 0])


def _default(file: str, key: str) -> Any:
    return OmegaConf.select(OmegaConf.load(CONFIGS / file), key)


def _pairs(x: Any, y: Any, x_of_y: Any, group: Any, domain: Any) -> Pairs:
    whole = pairs_of_tensors(
        as_tensor("x", x),
        as_tensor("y", y),
        x_of_y=None if x_of_y is None else as_tensor("x_of_y", x_of_y),
        group=None if group is None else as_tensor("group", group),
        domain=None if domain is None else as_tensor("domain", domain),
    )
    pairs = with_positives(whole)
    if pairs.n_x < whole.n_x:
        logger.warning("%d of %d x have no y and are left out", whole.n_x - pairs.n_x, whole.n_x)
    return pairs
