"""SolvedAligner: the base of aligners whose fit is a chain of passes, solved without gradients."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from aligners.base.aligner import Aligner
from aligners.base.rank_bound import RankBound, groups_bound
from aligners.features.steps import Step
from aligners.spectral.coordinates import project
from aligners.spectral.moments import run_length
from aligners.spectral.passes import Pass, Solved, Undecided
from datamodules.pairs.pairs import PairBatch, Pairs
from ground.errors import UserError
from ground.ranges import Count


class SolvedAligner(Aligner):
    r"""Embeddings :math:`f(x) = \mathrm{raw}(x) P_x - o_x`: the centring, whitening, rotation and weights in one.

    raw(x) is what the feature map makes of a prepared row, before whitening; without a map, the row itself.

    A pass over the training data is an epoch: batches are added to the pass in ``training_step``, and after the last
    one it ends, so that the validation of that epoch sees the new solution. Every pass has the same batches, each whole
    in one process. A child makes the ``first_pass``; with a feature map it overrides ``raw_x`` and ``raw_y``.

    Attributes:
        projection_x: (m_x, r) float64, as ``projection_y`` (m_y, r).
        offset_x: (r,) float64, as ``offset_y``: the projected mean of the raw features.
        singular_values: (r,) float64 of the solution, falling.

    Example:
        >>> from aligners import PLS
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = PLS(rank=4).fit(x, x[:, :6])
        >>> aligner.projection_x.shape, aligner.projection_y.shape, aligner.singular_values.shape
        (torch.Size([8, 4]), torch.Size([6, 4]), torch.Size([4]))
    """

    first_number = 0  # the first epoch gives the first solution, from which passes are counted
    projection_x: Tensor
    projection_y: Tensor
    offset_x: Tensor
    offset_y: Tensor
    singular_values: Tensor

    def __init__(self, rank: Count, unit: bool, shared: bool | None, **common: Any):
        super().__init__(rank, unit, shared, **common)
        self.automatic_optimization = False
        self._pass: Pass | None = None
        self._undecided: Undecided | None = None

    @abstractmethod
    def first_pass(self) -> Pass:
        """The pass that a fit begins with, after the training means are known."""

    def resumed_pass(self) -> Pass:
        """The pass that a fit goes on with that was cut off; where one pass solves, it is read again."""
        return self.first_pass()

    @property
    def batches_in_run(self) -> int:
        """Batches in a row that one process has: as many as are multiplied at once."""
        return run_length(self.train_pairs, len(self.stream))

    def rank_bound(self, train: Pairs) -> RankBound | None:
        return groups_bound(train.dims, train, less=int(self.centre))

    # embedding

    def build(self, d_x: int, d_y: int) -> None:
        self.register_solution(d_x, d_y)

    def register_solution(self, m_x: int, m_y: int) -> None:
        """Register the buffers of a solution, for raw features of these dimensions."""
        for side, m in (("x", m_x), ("y", m_y)):
            self.register_buffer(f"projection_{side}", torch.zeros(m, self.rank, dtype=torch.float64))
            self.register_buffer(f"offset_{side}", torch.zeros(self.rank, dtype=torch.float64))
        self.register_buffer("singular_values", torch.zeros(self.rank, dtype=torch.float64))

    @property
    def embedding_width(self) -> int:
        return self.projection_x.shape[1]

    def raw_x(self, x: Tensor) -> Tensor:
        """Prepared features (n, d_x) to raw features (n, m_x), not whitened."""
        return x

    def raw_y(self, y: Tensor) -> Tensor:
        """Prepared features (n, d_y) to raw features (n, m_y), not whitened."""
        return y

    def embed_x(self, x: Tensor) -> Tensor:
        return project(self.raw_x(x), self.projection_x, self.offset_x)

    def embed_y(self, y: Tensor) -> Tensor:
        return project(self.raw_y(y), self.projection_y, self.offset_y)

    def raw_steps(self, side: str) -> list[Step]:
        """What ``raw_x`` or ``raw_y`` does."""
        return []

    def embedding_steps(self, side: str) -> list[Step]:
        P, offset = (self.projection_x, self.offset_x) if side == "x" else (self.projection_y, self.offset_y)
        return [*self.raw_steps(side), Step("linear", {"weight": P, "bias": -offset})]

    def mapped(self, batch: PairBatch) -> PairBatch:
        """A batch of features to the same batch of raw features, not whitened."""
        return batch._replace(x=self.raw_x(self.prepare_x(batch.x)), y=self.raw_y(self.prepare_y(batch.y)))

    def hold(self, solved: Solved) -> None:
        """Encode with ``solved`` from now on; with a feature map, m may be less than what was registered."""
        projector = solved.projector
        self.projection_x, self.projection_y = projector.P_x, projector.P_y
        self.offset_x, self.offset_y = projector.offset_x, projector.offset_y
        self.singular_values = solved.factors.s

    # the fit

    def on_train_start(self) -> None:
        self._deal(reads=True)
        super().on_train_start()
        with solving():
            self._pass = self.first_pass() if self.current_epoch == 0 else self.resumed_pass()

    def on_train_epoch_start(self) -> None:
        self._deal(reads=self._pass is not None and self._pass.reads)
        self._added = 0

    def _deal(self, reads: bool) -> None:
        """Batches of one order, whole: by the loader's own sampler, of which another fit or epoch may have another."""
        sampler = self.stream.sampler
        sampler.reshuffles, sampler.whole_runs, sampler.reads = False, self.batches_in_run, reads

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return NoOptimizer()

    def training_step(self, batch: PairBatch, batch_idx: int) -> None:
        self._added += 1
        if self._pass is not None:  # a Trainer may be told to go on after the last pass
            with solving():
                self._pass.add(batch)
        optimizer = self.optimizers()
        optimizer.step()  # type: ignore[union-attr]

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not self.trainer.is_last_batch or self._pass is None:
            return
        if self._added < len(self.stream):
            raise UserError(
                f"a pass needs every training batch, got {self._added} of {len(self.stream)}: leave "
                "trainer.limit_train_batches alone, and go on from a checkpoint that was written between passes"
            )
        with solving():
            solved, following = self._pass.end()
        self.hold(solved)
        if isinstance(following, Undecided):
            self._pass, self._undecided = None, following
        else:
            self._follow(solved, following)

    def on_train_epoch_end(self) -> None:
        undecided, self._undecided = self._undecided, None
        if undecided is not None:  # what is held has been judged
            with solving():
                solved, following = undecided.decided()
            self.hold(solved)
            self._follow(solved, following)

    def _follow(self, solved: Solved, following: Pass | None) -> None:
        self._pass = following
        self.log_dict({f"fit/{key}": value for key, value in solved.passed.items()}, rank_zero_only=True)
        if "objective" in solved.passed:
            self.log("objective", solved.passed["objective"], prog_bar=True, logger=False, rank_zero_only=True)
        if following is None:
            self.trainer.should_stop = True

    def on_train_end(self) -> None:
        self._pass = self._undecided = None  # they hold training rows

    def configure_callbacks(self) -> list[Callback]:
        return [_Forget()]


@contextmanager
def solving() -> Iterator[None]:
    """A block without gradients, in which new memory is not filled before it is written.

    Torch fills it where algorithms are to be deterministic, so that what reads it by mistake shows; a solver's large
    matrices lose a tenth of a fit by that.
    """
    deterministic: Any = torch.utils.deterministic  # a module with a property
    before = deterministic.fill_uninitialized_memory
    deterministic.fill_uninitialized_memory = False
    try:
        with torch.no_grad():
            yield
    finally:
        deterministic.fill_uninitialized_memory = before


class _Forget(Callback):
    """Lets the training rows of a fit go that an error ended."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(pl_module, SolvedAligner):
            pl_module._pass = pl_module._undecided = None


class NoOptimizer(torch.optim.Optimizer):
    """Steps nothing. Its step advances Lightning's ``global_step`` for modules without gradients, which
    checkpoints and loggers count by.
    """

    def __init__(self) -> None:
        super().__init__([torch.zeros(1)], {})

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        if closure is not None:
            closure()
