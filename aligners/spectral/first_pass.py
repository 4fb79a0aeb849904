"""The first pass of the spectral solver: moments, the choice of settings, and the solution for the uniform weights."""

import logging

from aligners.spectral.choice import Trials, at_an_end
from aligners.spectral.coordinates import Coordinates, Statistics
from aligners.spectral.factors import Factors
from aligners.spectral.moments import Moments
from aligners.spectral.movement import movement
from aligners.spectral.negatives import NEGATIVES, Negatives, Place
from aligners.spectral.passes import FinishedPass, Pass, Solved, StepPass, after
from aligners.spectral.record import Record
from aligners.spectral.rows import KeptRows, RowSource, StreamedRows, drawn
from aligners.spectral.sampling import SampledMoments
from aligners.spectral.settings import Chosen
from aligners.spectral.training import Training
from aligners.spectral.trial import Trial
from datamodules.pairs.pairs import PairBatch
from datamodules.pairs.stream import Stream
from ground.distributed import rank_and_world
from ground.errors import UserError
from ground.progress import progress_bar

logger = logging.getLogger(__name__)


class FirstPass:
    """Moments, and from them the solution for the uniform weights, at settings that are given or chosen.

    The mapped rows are kept for the later passes where they fit into memory. A fit that was cut off reads this pass
    again, and goes on by ``resume`` in the place of ``end``.

    Raises:
        UserError: by ``end``, features that do not vary, a singular covariance, a rank above the data's, or settings
            to be chosen where there is no validation split.

    Example:
        >>> import torch
        >>> from aligners import UniConSpectral
        >>> from aligners.spectral import raw_features, run
        >>> from datamodules.pairs import GroupBatches, pairs_of_tensors
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> pairs, settings = pairs_of_tensors(x, x[:, :6]), UniConSpectral(
        ...     rank=4, feature_map="identity", tau=0.1, lam=1.0, passes=2, weight_power=1.0
        ... ).settings
        >>> features, device = raw_features(settings, *pairs.dims, bandwidth=1.0), torch.device("cpu")
        >>> training = Training(settings, features, pairs, None, torch.clone, torch.clone, device, False)
        >>> stream = Stream(pairs, GroupBatches(pairs.group, batch_size=25, seed=0), device)
        >>> solved = run(FirstPass(training, Record(), stream), stream)  # without a Trainer
        >>> solved.projector.P_x.shape, len(solved.record.passes)
        (torch.Size([8, 4]), 3)
    """

    reads = True

    def __init__(self, training: Training, record: Record, stream: Stream):
        settings, train, (m_x, m_y) = training.settings, training.train, training.features.dims
        self.training, self.record, self.stream = training, record, stream
        moments = training.moments(train.n_x, train.n_y, settings.covariance_rows, stream.sampler.whole_runs)
        self.sampled = SampledMoments(
            moments, settings.sample, len(stream), lambda moments: first_trial(training, moments)
        )
        bytes_kept = (8 if training.features.near_singular else 4) * (train.n_x * m_x + train.n_y * m_y)
        runs = -(-len(stream) // (stream.sampler.whole_runs or 1))
        share = -(-runs // rank_and_world()[1]) / runs  # the largest of a process
        self.keeps = max(settings.candidates.passes) > 0 and bytes_kept * share <= settings.memory_mb * 2**20
        self.kept: list[PairBatch] = []

    def add(self, batch: PairBatch) -> None:
        wanted = self.sampled.wants_next
        rows = self.training.mapped(batch) if wanted or self.keeps else batch
        if self.keeps:
            self.kept.append(rows)
        self.sampled.add(rows if wanted else None)

    def end(self) -> tuple[Solved, Pass | None]:
        statistics = self.training.statistics(self.sampled.moments)
        chosen, record = self._chosen(statistics)
        coordinates, factors = self.training.solved(statistics, chosen.lam)
        del statistics, self.sampled  # (m, m) matrices, which nothing needs any more
        return self._started(coordinates, factors, chosen, record)

    def _chosen(self, statistics: Statistics) -> tuple[Chosen, Record]:
        candidates = self.training.settings.candidates
        if not candidates.open:
            return candidates.first, self.record.tried([], candidates.first._asdict())
        _tell("choosing %s on validation", ", ".join(candidates.open_names))
        with progress_bar("settings tried on validation", candidates.trials, 0, visible=self.training.shows) as advance:
            chosen, trials = trials_on(self.training, statistics).choose(candidates, advance)
        _tell("chosen: %s", ", ".join(f"{name}={value:g}" for name, value in chosen._asdict().items()))
        tried = [{**trial.chosen._asdict(), "recall": trial.recall} for trial in trials]
        ends = at_an_end(candidates, chosen, trials)
        for line in ends:
            _tell("%s", line)
        return chosen, self.record.tried(tried, chosen._asdict()).warned(ends)

    def _started(
        self, coordinates: Coordinates, factors: Factors, chosen: Chosen, record: Record
    ) -> tuple[Solved, Pass | None]:
        train, dims = self.training.train, dict(zip("xy", self.training.features.dims, strict=True))
        conditions = {"x": coordinates.W_x.condition, "y": coordinates.W_y.condition}
        record = record.whitened(conditions, {"x": train.n_x, "y": train.n_y}, dims)
        if not chosen.passes:  # nobody needs the objective, which costs a sweep over all pairs
            passed = {"step": 0.0, "gap": factors.gap, **movement(factors, None)}
            projector = coordinates.embedding(factors, chosen.weight_power)
            return Solved(projector, factors, passed, record.after(passed)), None
        negatives, place = self._contrasted(coordinates, factors, chosen)
        return after(negatives, place, record, chosen.passes)

    def _contrasted(self, coordinates: Coordinates, factors: Factors, chosen: Chosen) -> tuple[Negatives, Place]:
        settings, train, device = self.training.settings, self.training.train, self.training.device
        rows: RowSource = KeptRows(self.kept) if self.keeps else StreamedRows(self.training.mapped, self.stream)
        groups = train.group.to(device), train.y_group.to(device)
        negatives = NEGATIVES[settings.negatives](settings.rule(chosen), coordinates, rows, *groups)
        return negatives, negatives.at(factors)

    def resume(self, factors: Factors) -> Pass:
        """In the place of ``end``: the pass that goes on from ``factors``, at the settings of the record."""
        chosen = Chosen(*(self.record.chosen[name] for name in Chosen._fields))  # type: ignore[arg-type] # passes is whole
        coordinates = self.training.coordinates(self.training.statistics(self.sampled.moments), chosen.lam)
        del self.sampled
        passes = self.record.passes
        left = int(chosen.passes) - (len(passes) - 1)
        values = [each["objective"] for each in passes if "objective" in each]
        stopped = len(values) > 1 and self.training.settings.damping.stops(*values[-2:])
        if left <= 0 or stopped:
            projector = coordinates.embedding(factors, chosen.weight_power)
            return FinishedPass(Solved(projector, factors, passes[-1], self.record))
        negatives, place = self._contrasted(coordinates, factors, chosen)
        return StepPass(negatives, place, self.record, left)


def trials_on(training: Training, statistics: Statistics) -> Trials:
    """What settings are chosen from: first solutions from these statistics, passes on a sample.

    Raises:
        UserError: no validation split.
    """
    validation = training.validation
    if validation is None:
        raise UserError("settings that are lists are chosen on a validation split, and the data has none")
    return Trials(
        start=lambda lam: training.solved(statistics, lam),
        rule=training.settings.rule,
        rows=training.sample,
        validation=drawn(validation, validation.n_x, training.mapped, training.device),
    )


def first_trial(training: Training, moments: Moments) -> Trial:
    """The first solution from these moments at the first of all candidates, tried on validation.

    Raises:
        UserError: no validation split, or what ``Training.solved`` refuses.
    """
    return trials_on(training, training.statistics(moments)).first(training.settings.candidates.first)


def _tell(line: str, *facts: str) -> None:
    if rank_and_world()[0] == 0:
        logger.info(line, *facts)
