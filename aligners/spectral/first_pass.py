"""The first pass of the spectral solver: moments, the choice of settings, and the solution for the uniform weights."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from aligners.spectral.choice import Validation, at_an_end, choose_first, choose_passes
from aligners.spectral.coordinates import Coordinates, Projector, Statistics
from aligners.spectral.factors import Factors
from aligners.spectral.mapped import Mapped
from aligners.spectral.negatives import Place
from aligners.spectral.passes import KnownPasses, Pass, Solved, StepPass, after, after_tried
from aligners.spectral.record import Record
from aligners.spectral.ridges import Ridges
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


class First(NamedTuple):
    """The first solution of a map at the first of the ridges, and what is best by first solutions."""

    mapped: Mapped
    validation: Validation
    statistics: Statistics
    coordinates: Coordinates
    directions: Factors
    trial: Trial | None
    """None where there was nothing to choose."""


class FirstPass:
    """Moments, and from them the solution for the uniform weights, at settings that are given or chosen.

    ``trainings`` see the splits through one feature map, or each through one of several to choose from, with a record
    each of how it was fitted. The mapped rows are kept for the later passes where they fit into memory. A fit that was
    cut off reads this pass again, and goes on by ``resume`` in the place of ``end``.

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
        >>> features, device = raw_features(settings, *pairs.dims, "identity", bandwidth=1.0), torch.device("cpu")
        >>> training = Training(settings, features, pairs, None, torch.clone, torch.clone, device, False)
        >>> stream = Stream(pairs, GroupBatches(pairs.group, batch_size=25, seed=0), device)
        >>> solved = run(FirstPass([training], [Record()], stream), stream)  # without a Trainer
        >>> solved.projector.P_x.shape, len(solved.record.passes)
        (torch.Size([8, 4]), 3)
    """

    reads = True

    def __init__(self, trainings: Sequence[Training], records: Sequence[Record], stream: Stream):
        self.maps = [Mapped(*each, stream) for each in zip(trainings, records, strict=True)]
        self.settings = trainings[0].settings

    def add(self, batch: PairBatch) -> None:
        for each in self.maps:
            each.add(batch)

    def end(self) -> tuple[Solved, Pass | None]:
        candidates = self.settings.candidates
        if candidates.open or len(self.maps) > 1:
            start, chosen, ran, record = self._chosen()
        else:
            start, chosen, ran, record = self._start(candidates.first), candidates.first, [], self.maps[0].record
            record = record.tried([], _kind(self.maps[0]) | chosen._asdict())
        record = _whitened(start, record)
        if not chosen.passes:
            return start.only(chosen, record), None
        negatives = start.negatives(chosen)
        if ran:
            return after_tried(negatives, ran, record)
        return after(negatives, start.place(negatives), record, chosen.passes)

    def _start(self, at: Chosen) -> Start:
        (only,) = self.maps
        return Start(*only.training.solved(only.statistics(), at.lam), only.contrasted, at)

    def _chosen(self) -> tuple[Start, Chosen, list[Place], Record]:
        """Where the passes start from, at what setting, the passes that were tried there, and what is to be told."""
        candidates, several = self.settings.candidates, len(self.maps) > 1
        names = [*(["feature_map"] if several else []), *candidates.open_names]
        _tell("choosing %s on validation", ", ".join(names))
        trials = candidates.trials_of(len(self.maps))
        with progress_bar("settings tried on validation", trials, 0, visible=self.maps[0].training.shows) as advance:
            firsts = [self._first(each, advance) for each in self.maps]
            first, chosen = _best_first(firsts), candidates.first
            if first.trial is not None:
                chosen = first.trial.chosen._replace(passes=chosen.passes)
            solution = first.coordinates, first.directions
            if chosen.lam != candidates.first.lam:
                solution = first.mapped.training.solved(first.statistics, chosen.lam)
            validation, mapped, tried = first.validation, first.mapped, [_told(each) for each in firsts]
            del firsts, first, self.maps  # (m, m) matrices, which nothing needs any more
            start, ran, others = Start(*solution, mapped.contrasted, chosen), list[Place](), len(validation.trials)
            if candidates.passes_open:
                chosen, ran = choose_passes(candidates, chosen, validation, start.chain, start.embedded)
        kind = _kind(mapped)
        found = kind | chosen._asdict()
        _tell("chosen: %s", ", ".join(f"{name}={value}" for name, value in found.items()))
        tried.append([kind | _plain(trial) for trial in validation.trials[others:]])
        ends = at_an_end(candidates, chosen, validation.trials)
        for line in ends:
            _tell("%s", line)
        return start, chosen, ran, mapped.record.tried([trial for each in tried for trial in each], found).warned(ends)

    def _first(self, mapped: Mapped, advance: Callable[[int], None]) -> First:
        training, candidates = mapped.training, self.settings.candidates
        validation, statistics = Validation(training.validation_rows(), advance), mapped.statistics()
        coordinates, directions = training.solved(statistics, candidates.first.lam)
        trial = None
        if candidates.first_open or len(self.maps) > 1:
            solutions = first_solutions(training, statistics, coordinates, directions)
            trial = choose_first(candidates, validation, solutions)
        return First(mapped, validation, statistics, coordinates, directions, trial)

    def resume(self, factors: Factors) -> Pass:
        """In the place of ``end``: the pass that goes on from ``factors``, at the settings of the record."""
        # a record from before steps were chosen has none
        record = self.maps[0].record
        known = {name: value for name, value in record.chosen.items() if name in Chosen._fields}
        chosen = self.settings.candidates.first._replace(**known)
        start, passes = self._start(chosen), record.passes
        left = int(chosen.passes) - (len(passes) - 1)
        values = [each["objective"] for each in passes if "objective" in each]
        stopped = len(values) > 1 and self.settings.damping.stops(*values[-2:])
        if left <= 0 or stopped:
            projector = start.coordinates.embedding(factors, chosen.weight_power)
            return KnownPasses([Solved(projector, factors, passes[-1], record)])
        negatives = start.negatives(chosen)
        return StepPass(negatives, start.place(negatives, factors), record, left)


def _best_first(firsts: Sequence[First]) -> First:
    """The first, unless another is better by more than the standard error of the difference."""
    best, *others = firsts
    for each in others:
        if each.trial is not None and best.trial is not None and each.trial.beats(best.trial):
            best = each
    return best


def _plain(trial: Trial) -> dict[str, Any]:
    return trial.chosen._asdict() | {"recall": trial.recall}


def _kind(mapped: Mapped) -> dict[str, Any]:
    """What the record calls a map, where the settings have several."""
    training = mapped.training
    return {"feature_map": training.features.kind} if len(training.settings.feature_maps) > 1 else {}


def _told(first: First) -> list[dict[str, Any]]:
    """The trials of a map."""
    return [_kind(first.mapped) | _plain(trial) for trial in first.validation.trials]


def _whitened(start: Start, record: Record) -> Record:
    training, W_x, W_y = start.contrasted.training, start.coordinates.W_x, start.coordinates.W_y
    dims = dict(zip("xy", training.features.dims, strict=True))
    conditions = {"x": W_x.condition, "y": W_y.condition}
    return record.whitened(conditions, {"x": training.train.n_x, "y": training.train.n_y}, dims)


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


def _tell(line: str, *facts: str) -> None:
    if rank_and_world()[0] == 0:
        logger.info(line, *facts)
