"""The first pass of the spectral solver: moments, the choice of settings, and the solution for the uniform weights."""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from aligners.spectral.choice import Validation, at_an_end, choose_passes
from aligners.spectral.factors import Factors
from aligners.spectral.first import First, best_first, first_of
from aligners.spectral.mapped import Mapped
from aligners.spectral.passes import KnownPasses, Pass, Solved, StepPass, Undecided, after, after_tried
from aligners.spectral.record import Record
from aligners.spectral.settings import Chosen, KernelMap
from aligners.spectral.start import Start
from aligners.spectral.training import Training
from aligners.spectral.trial import Trial
from datamodules.pairs.pairs import PairBatch
from datamodules.pairs.stream import Stream
from ground.distributed import rank_and_world
from ground.errors import UserError
from ground.progress import progress_bar

JUDGED_ITEMS, JUDGED_SHARE = 8192, 0.25
"""Items x after which several maps are first judged, or this share of them where that is more."""

CLEARLY = 3.0
"""Standard errors of the difference by which a map is so much worse then that it is let go."""

logger = logging.getLogger(__name__)

T = TypeVar("T")


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
        >>> features = raw_features(settings, *pairs.dims, "identity", settings.kernel_maps[0])
        >>> device = torch.device("cpu")
        >>> training = Training(settings, features, pairs, None, torch.clone, torch.clone, device, False)
        >>> stream = Stream(pairs, GroupBatches(pairs.group, batch_size=25, seed=0), device)
        >>> solved = run(FirstPass([training], [Record()], stream), stream)  # without a Trainer
        >>> solved.projector.P_x.shape, len(solved.record.passes)
        (torch.Size([8, 4]), 3)
    """

    reads = True

    def __init__(self, trainings: Sequence[Training], records: Sequence[Record], stream: Stream):
        samples = trainings[0].samples()
        self.maps = [Mapped(*each, stream, samples) for each in zip(trainings, records, strict=True)]
        self.settings = trainings[0].settings
        self._added, self._batches = 0, len(stream)
        self._judged_after = judged_after(trainings[0].train.n_x, self._batches, stream.sampler.whole_runs or 1)
        self._early: list[dict[str, Any]] = []

    def add(self, batch: PairBatch) -> None:
        for each in self.maps:
            each.add(batch)
        self._added += 1
        if len(self.maps) > 1 and self._added == self._judged_after:
            self._let_go()

    def _let_go(self) -> None:
        """Go on without the maps that are clearly worse already: their rows are half of the work or more."""
        tried = self._of_each(Mapped.trial)
        best = max(tried, key=lambda trial: trial.recall)
        stay = [not best.beats(trial, CLEARLY) for trial in tried]
        if all(stay):
            return
        told = [_kind(each) | _plain(trial) for each, trial in zip(self.maps, tried, strict=True)]
        share = self._added / self._batches
        self._early = [each | {"share": share} for each in told]
        for each, stays in zip(told, stay, strict=True):
            if not stays:
                _tell("feature_map=%s is let go: it is clearly worse on validation", each["feature_map"])
        self.maps = [each for each, stays in zip(self.maps, stay, strict=True) if stays]

    def _of_each(self, found: Callable[[Mapped], T]) -> list[T]:
        """What each map gives; of several, one that has no solution is left out.

        Raises:
            UserError: none has one; what the first one refuses.
        """
        able, results, refused = [], [], {}
        for each in self.maps:
            try:
                results.append(found(each))
                able.append(each)
            except UserError as error:
                refused[each.training.features.kind] = error
        if not able:
            raise next(iter(refused.values()))
        for kind, why in refused.items():
            _tell("feature_map=%s is left out: %s", kind, str(why))
        self.maps = able
        return results

    def end(self) -> tuple[Solved, Pass | Undecided | None]:
        candidates = self.settings.candidates
        if candidates.open or len(self.maps) > 1 or self._early:
            start, at, validation, record = self._chosen()
        else:
            (only,) = self.maps
            start, at, validation = self._start(candidates.first), candidates.first, None
            record = only.record.tried([], _kind(only) | at._asdict())
        record = _whitened(start, record)
        if max(candidates.passes) == 0:
            return start.only(at, record), None
        first = start.only(at, record.tried([], {"passes": 0}))
        return first, Undecided(first, lambda: self._decided(start, at, validation, record))

    def _start(self, at: Chosen) -> Start:
        (only,) = self.maps
        statistics = only.training.smoothed(only.statistics(), at.laplacian)
        return Start(*only.training.solved(statistics, at.lam), only.contrasted, at)

    def _chosen(self) -> tuple[Start, Chosen, Validation, Record]:
        """Where passes start from, by first solutions: at what setting, what it was tried on, and what was tried."""
        candidates, several = self.settings.candidates, len(self.maps) > 1
        _tell("choosing %s on validation", ", ".join([*(["feature_map"] if several else []), *candidates.open_names]))
        tries = candidates.first_open or several
        trials = len(self.maps) * candidates.first_trials if tries else 0
        with progress_bar("settings tried on validation", trials, 0, visible=self._shows and tries) as advance:
            firsts = self._of_each(lambda each: first_of(each, advance, tries))
            first, at = best_first(firsts), candidates.first
            if first.trial is not None:
                at = first.trial.chosen._replace(passes=at.passes)
        tried = self._early + [trial for each in firsts for trial in _told(each)]
        mapped, self.maps = first.mapped, [first.mapped]  # what the others collected is let go
        record = mapped.record.tried(tried, _kind(mapped) | at._asdict())
        if not candidates.passes_open:
            record = self._ended(record, at, first.validation)
        return Start(first.coordinates, first.directions, mapped.contrasted, at), at, first.validation, record

    def _decided(
        self, start: Start, at: Chosen, validation: Validation | None, record: Record
    ) -> tuple[Solved, Pass | None]:
        """The start with all there is to tell of it, and the passes after it, which are chosen if they are open."""
        candidates = self.settings.candidates
        if validation is None or not candidates.passes_open:
            negatives = start.negatives(at)
            return after(negatives, start.place(negatives), record, at.passes)
        before = len(validation.trials)
        with progress_bar("passes tried on validation", candidates.passes_trials, 0, visible=self._shows) as advance:
            validation.advance = advance
            chosen, ran = choose_passes(candidates, at, validation, start.chain, start.embedded)
        kind = _kind(self.maps[0])
        record = record.tried([kind | _plain(trial) for trial in validation.trials[before:]], chosen._asdict())
        record = self._ended(record, chosen, validation)
        if not chosen.passes:
            return start.only(chosen, record), None
        return after_tried(start.negatives(chosen), ran, record)

    def _ended(self, record: Record, chosen: Chosen, validation: Validation) -> Record:
        """The record of a choice that is made, which is told."""
        of_map = {name: value for name, value in record.chosen.items() if name in KernelMap._fields}
        found = _kind(self.maps[0]) | of_map | chosen._asdict()
        _tell("chosen: %s", ", ".join(f"{name}={value}" for name, value in found.items()))
        ends = at_an_end(self.settings.candidates, chosen, validation.trials)
        for line in ends:
            _tell("%s", line)
        return record.warned(ends)

    @property
    def _shows(self) -> bool:
        return self.maps[0].training.shows

    def resume(self, factors: Factors) -> Pass:
        """In the place of ``end``: the pass that goes on from ``factors``, at the settings of the record."""
        # a record from before steps were chosen has none
        record = self.maps[0].record
        known = {name: value for name, value in record.chosen.items() if name in Chosen._fields}
        chosen = self.settings.candidates.first._replace(**known)
        start, passes = self._start(chosen), record.passes
        left = int(chosen.passes) - (len(passes) - 1)
        values = [each["objective"] for each in passes if "objective" in each]
        of_the_same_items = len(start.contrasted) == 1
        stopped = of_the_same_items and len(values) > 1 and self.settings.damping.stops(*values[-2:])
        if left <= 0 or stopped:
            projector = start.coordinates.embedding(factors, chosen.weight_power)
            return KnownPasses([Solved(projector, factors, passes[-1], record)])
        negatives = start.negatives(chosen, len(passes) - 1)
        return StepPass(negatives, start.place(negatives, factors), record, left)


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
    training, W_x, W_y = start.training, start.coordinates.W_x, start.coordinates.W_y
    dims = dict(zip("xy", training.features.dims, strict=True))
    conditions = {"x": W_x.condition, "y": W_y.condition}
    return record.whitened(conditions, {"x": training.train.n_x, "y": training.train.n_y}, dims)


def _tell(line: str, *facts: str) -> None:
    if rank_and_world()[0] == 0:
        logger.info(line, *facts)


def judged_after(n_x: int, batches: int, run: int) -> int | None:
    """After how many of the batches of ``n_x`` x several maps are judged; None where too few would be left.

    At the end of a ``run`` of batches, whose rows are multiplied at once.

    Example:
        >>> judged_after(6000, 24, 4), judged_after(29_000, 57, 4), judged_after(113_000, 400, 4)
        (None, 20, 100)
    """
    share = max(JUDGED_ITEMS / n_x, JUDGED_SHARE)
    return math.ceil(share * batches / run) * run if share <= 0.5 else None
