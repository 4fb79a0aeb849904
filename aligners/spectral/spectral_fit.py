"""One fit of the spectral solver, without Lightning: moments in the first pass, a damped step in each later one."""

import logging
from collections.abc import Callable, Iterator

from aligners.spectral import choice
from aligners.spectral.coordinates import Coordinates, Projector
from aligners.spectral.descent import Descent
from aligners.spectral.factors import Factors
from aligners.spectral.negatives import NEGATIVES, Setting
from aligners.spectral.record import Solution
from aligners.spectral.sampling import SampledMoments
from aligners.spectral.spectral_data import SpectralData
from aligners.spectral.training_rows import TrainingRows
from datamodules.pairs.pairs import PairBatch
from ground.distributed import rank_and_world

logger = logging.getLogger(__name__)


class SpectralFit:
    """From batches to factors, over all processes.

    The first pass is ``add`` with every batch, then ``start``; each later one ``open``, ``pull`` with every batch,
    ``step``. A fit that was cut off begins with ``resume`` in the place of the first pass. ``stream`` reads this
    process's ``batches`` once more; ``solution`` is the record, filled as the fit goes.

    Attributes:
        factors: the current solution, there after ``start`` or ``resume``.
        descent: the passes; None where there are none after the first.
    """

    factors: Factors
    descent: Descent | None

    def __init__(self, data: SpectralData, stream: Callable[[], Iterator[PairBatch]], batches: int, solution: Solution):
        settings, train, (m_x, m_y) = data.settings, data.train, data.features.dims
        self.data, self.solution = data, solution
        kept_bytes = 4 * (train.n_x * m_x + train.n_y * m_y)
        memory = settings.memory_mb * 2**20 * rank_and_world()[1]
        self.rows = TrainingRows(data.raw, stream, max(settings.candidates.passes) > 0 and kept_bytes <= memory)
        self._sampled = SampledMoments(
            data.moments(train.n_x, train.n_y, settings.covariance_rows),
            self.rows, settings.sample, batches, data.trial,
        )  # fmt: skip
        self._stream = stream

    @property
    def projector(self) -> Projector:
        """What embeds at the current solution."""
        return self._frame.embedding(self.factors, self.solution.chosen["weight_power"])

    def add(self, batch: PairBatch, number: int) -> None:
        """The batch of this number in the first pass."""
        self._sampled.add(batch, number)

    def start(self) -> None:
        """The first solution, from the moments of all processes, at settings that are given or chosen."""
        settings = self.data.settings
        found = self.data.statistics(self._sampled.moments)
        del self._sampled
        chosen = settings.candidates.first
        if settings.candidates.open:
            _tell("choosing %s on validation", ", ".join(settings.candidates.open_names))
            chosen, trials = choice.choose(self.data.problem(found), settings.candidates)
            _tell("chosen: %s", ", ".join(f"{name}={value:g}" for name, value in chosen._asdict().items()))
            self.solution.trials += [{**trial.chosen._asdict(), "recall": trial.recall} for trial in trials]
        self.solution.chosen |= chosen._asdict()
        frame, factors = self.data.solved(found, chosen.lam)
        del found  # (m, m) matrices, which nothing needs any more
        self._descend(frame, factors)

    def resume(self, factors: Factors) -> None:
        """Go on from factors between passes: only the moments are collected once more."""
        for number, batch in enumerate(self._stream()):
            self.add(batch, number)
        found = self.data.statistics(self._sampled.moments)
        del self._sampled
        frame = self.data.coordinates(found, self.solution.chosen["lam"])
        del found
        self._descend(frame, factors)

    def _descend(self, frame: Coordinates, factors: Factors) -> None:
        """Be ready for passes from ``factors``."""
        settings, train, record = self.data.settings, self.data.train, self.solution
        self._frame, self.factors, self.descent = frame, factors, None
        record.conditions = {"x": frame.W_x.condition, "y": frame.W_y.condition}
        record.warn({"x": train.n_x, "y": train.n_y}, dict(zip("xy", self.data.features.dims, strict=True)))
        if record.chosen["passes"]:
            setting = Setting(
                settings.objective_at(record.chosen["tau"]), record.chosen["weight_power"], settings.block_size,
                frame, self.rows.__iter__,
            )  # fmt: skip
            groups = train.group.to(self.data.device), train.y_group.to(self.data.device)
            negatives = NEGATIVES[settings.negatives](setting, *groups)
            self.descent = Descent(frame, factors, negatives, settings.damping)

    def open(self) -> None:
        """Before a later pass."""
        assert self.descent is not None
        self.descent.open()

    def pull(self, batch: PairBatch) -> None:
        """The next batch in a later pass."""
        assert self.descent is not None
        self.descent.pull(self.rows.next(batch))

    def step(self) -> bool:
        """Take the pass's step. False when the objective cannot fall further."""
        assert self.descent is not None
        moved = self.descent.step()
        self.factors = self.descent.factors
        return moved


def _tell(line: str, *facts: str) -> None:
    if rank_and_world()[0] == 0:
        logger.info(line, *facts)
