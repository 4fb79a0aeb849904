"""The first pass of the spectral solver: moments, the choice of settings, and the solution for the uniform weights."""

import logging
from collections.abc import Callable

from aligners.spectral.choice import Validation, at_an_end, choose_first, choose_passes
from aligners.spectral.contrasted_rows import ContrastedRows
from aligners.spectral.coordinates import Coordinates, Projector, Statistics
from aligners.spectral.factors import Factors
from aligners.spectral.moments import Moments
from aligners.spectral.negatives import Place
from aligners.spectral.passes import KnownPasses, Pass, Solved, StepPass, after, after_tried
from aligners.spectral.record import Record
from aligners.spectral.ridges import Ridges
from aligners.spectral.sampling import SampledMoments
from aligners.spectral.settings import Chosen
from aligners.spectral.span import Span
from aligners.spectral.start import Start
from aligners.spectral.training import Training
from aligners.spectral.trial import Trial
from datamodules.pairs.pairs import PairBatch
from datamodules.pairs.stream import Stream
from ground.distributed import rank_and_world
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
        settings, train = training.settings, training.train
        self.training, self.record = training, record
        moments = training.moments(train.n_x, train.n_y, settings.covariance_rows, stream.sampler.whole_runs)
        self.sampled = SampledMoments(
            moments, settings.sample, len(stream), lambda moments: first_trial(training, moments)
        )
        self.contrasted = ContrastedRows(training, stream)

    def add(self, batch: PairBatch) -> None:
        rows = self.training.mapped(batch) if self.sampled.wants_next else None
        self.contrasted.add(batch, rows)
        self.sampled.add(rows)

    def end(self) -> tuple[Solved, Pass | None]:
        candidates = self.training.settings.candidates
        if candidates.open:
            start, chosen, ran, record = self._chosen()
        else:
            start, chosen, ran, record = self._start(candidates.first), candidates.first, [], self.record
            record = record.tried([], chosen._asdict())
        record = self._whitened(start.coordinates, record)
        if not chosen.passes:
            return start.only(chosen, record), None
        negatives = start.negatives(chosen)
        if ran:
            return after_tried(negatives, ran, record)
        return after(negatives, start.place(negatives), record, chosen.passes)

    def _start(self, at: Chosen) -> Start:
        coordinates, directions = self.training.solved(self._statistics(), at.lam)
        del self.sampled  # (m, m) matrices, which nothing needs any more
        return Start(coordinates, directions, self.contrasted, at)

    def _statistics(self) -> Statistics:
        return self.training.statistics(self.sampled.moments)

    def _chosen(self) -> tuple[Start, Chosen, list[Place], Record]:
        """Where the passes start from, at what setting, the passes that were tried there, and what is to be told."""
        training, candidates = self.training, self.training.settings.candidates
        _tell("choosing %s on validation", ", ".join(candidates.open_names))
        with progress_bar("settings tried on validation", candidates.trials, 0, visible=training.shows) as advance:
            validation = Validation(training.validation_rows(), advance)
            statistics, first = self._statistics(), candidates.first
            del self.sampled
            coordinates, directions = training.solved(statistics, first.lam)
            solutions = first_solutions(training, statistics, coordinates, directions)
            chosen = choose_first(candidates, validation, solutions)
            if chosen.lam != first.lam:
                coordinates, directions = training.solved(statistics, chosen.lam)
            del statistics, solutions  # (m, m) matrices, which nothing needs any more
            start, ran = Start(coordinates, directions, self.contrasted, chosen), list[Place]()
            if candidates.passes_open:
                chosen, ran = choose_passes(candidates, chosen, validation, start.chain, start.embedded)
        _tell("chosen: %s", ", ".join(f"{name}={value}" for name, value in chosen._asdict().items()))
        tried = [{**trial.chosen._asdict(), "recall": trial.recall} for trial in validation.trials]
        ends = at_an_end(candidates, chosen, validation.trials)
        for line in ends:
            _tell("%s", line)
        return start, chosen, ran, self.record.tried(tried, chosen._asdict()).warned(ends)

    def _whitened(self, coordinates: Coordinates, record: Record) -> Record:
        train, dims = self.training.train, dict(zip("xy", self.training.features.dims, strict=True))
        conditions = {"x": coordinates.W_x.condition, "y": coordinates.W_y.condition}
        return record.whitened(conditions, {"x": train.n_x, "y": train.n_y}, dims)

    def resume(self, factors: Factors) -> Pass:
        """In the place of ``end``: the pass that goes on from ``factors``, at the settings of the record."""
        # a record from before steps were chosen has none
        known = {name: value for name, value in self.record.chosen.items() if name in Chosen._fields}
        chosen = self.training.settings.candidates.first._replace(**known)  # type: ignore[arg-type] # step is a name
        start, passes = self._start(chosen), self.record.passes
        left = int(chosen.passes) - (len(passes) - 1)
        values = [each["objective"] for each in passes if "objective" in each]
        stopped = len(values) > 1 and self.training.settings.damping.stops(*values[-2:])
        if left <= 0 or stopped:
            projector = start.coordinates.embedding(factors, chosen.weight_power)
            return KnownPasses([Solved(projector, factors, passes[-1], self.record)])
        negatives = start.negatives(chosen)
        return StepPass(negatives, start.place(negatives, factors), self.record, left)


def first_solutions(
    training: Training, statistics: Statistics, coordinates: Coordinates, directions: Factors
) -> Callable[[float], Callable[[float], Projector]]:
    """What embeds at a ridge and a weight power, from the solution at the first of the ridges.

    Within the span of its directions, where passes move in a span too; else each ridge is solved on its own. Without
    whitening a ridge is nothing, and all have the one solution.
    """
    settings = training.settings
    lam = settings.candidates.first.lam

    def solved(at: float) -> Callable[[float], Projector]:
        there, factors = (
            (coordinates, directions) if at == lam or not settings.whiten else training.solved(statistics, at)
        )
        return lambda power: there.embedding(factors.leading(settings.rank), power)

    if settings.span_directions is None or not settings.whiten or len(settings.candidates.lam) == 1:
        return solved
    ridges = Ridges(statistics, lam, Span(coordinates, directions), directions, settings.factorise)
    return lambda at: solved(at) if at == lam else ridges.at(at, settings.rank)


def first_trial(training: Training, moments: Moments) -> Trial:
    """The first solution from these moments at the first of all candidates, tried on validation.

    Raises:
        UserError: no validation split, or what ``Training.solved`` refuses.
    """
    first = training.settings.candidates.first
    coordinates, directions = training.solved(training.statistics(moments), first.lam)
    projector = coordinates.embedding(directions.leading(training.settings.rank), first.weight_power)
    return Validation(training.validation_rows()).trial(first._replace(passes=0), projector)


def _tell(line: str, *facts: str) -> None:
    if rank_and_world()[0] == 0:
        logger.info(line, *facts)
