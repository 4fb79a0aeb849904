"""UniConSpectral: the spectral solver as a training step without gradients."""

import logging
from typing import Any

import torch
from torch import Tensor

from aligners import choice, spectral
from aligners.aligner import GradientFreeAligner
from aligners.coordinates import Coordinates, statistics
from aligners.defaults import defaults_from
from aligners.descent import Descent
from aligners.line_search import Damping
from aligners.moments import Moments
from aligners.negatives import NEGATIVES, Setting
from aligners.objectives import Objective, smooth_objective
from aligners.raw_features import RawFeatures
from aligners.rows import Rows
from aligners.solution import Solution
from aligners.spectral import Factors
from aligners.spectral_arguments import as_candidates, check_arguments
from aligners.training_rows import TrainingRows, drawn
from datamodules.pairs import PairBatch, Pairs
from distributed import add_over_processes, rank_and_world
from errors import UserError

logger = logging.getLogger(__name__)


@defaults_from("unicon")
class UniConSpectral(GradientFreeAligner):
    """Spectral contrastive alignment (UniCon; Sui, Wang, Do, ICLR 2026), whitened, damped and safeguarded.

    The first pass over the data collects moments and solves for the uniform weights; each further pass takes
    one damped step with the weights of the objective over all training pairs or within batches, halved until
    the objective does not rise. Where an argument is a list, its value is chosen on the validation split.
    ``aligners.spectral`` has the mathematics, ``configs/aligner/unicon.yaml`` the defaults and the meaning of
    each argument.

    Attributes:
        solution: the record of the fit.

    Raises:
        UserError: an argument out of range, features that do not vary, or a rank above the data's.
    """

    projection_x: Tensor
    projection_y: Tensor
    offset_x: Tensor
    offset_y: Tensor
    U: Tensor
    V: Tensor
    singular_values: Tensor

    def __init__(
        self,
        *,
        rank: int,
        unit: bool,
        shared: bool,
        feature_map: str,
        kernel: str,
        bandwidth: float | list[float],
        landmarks: int,
        landmark_selection: str,
        landmark_ridge: float,
        whiten: bool,
        lam: float | list[float],
        svd: str,
        objective: str,
        objective_options: dict[str, Any],
        tau: float | list[float],
        negatives: str,
        eta: float,
        safeguard: bool,
        passes: int | list[int],
        tolerance: float,
        max_halvings: int,
        weight_power: float | list[float],
        choice_items: int,
        sample: float | str,
        covariance_rows: int,
        block_size: int,
        memory_mb: int,
    ):
        super().__init__(rank, unit)
        self.candidates = choice.Candidates(*map(as_candidates, (lam, tau, weight_power, passes)))
        check_arguments(self.candidates, whiten, eta, negatives, svd, sample)
        self.shared = shared
        self.map_arguments = {
            "kernel": kernel,
            "landmarks": landmarks,
            "landmark_selection": landmark_selection,
            "landmark_ridge": landmark_ridge,
        }
        self.bandwidths = as_candidates(bandwidth)
        self.feature_map = feature_map
        for value in self.bandwidths:
            self._features(1, 1, value)  # its mistakes show now
        self.whiten = whiten
        self.svd = spectral.positive_part if shared else spectral.SVD[svd]
        self.objective_name, self.objective_options = objective, objective_options
        for value in self.candidates.tau:
            self._objective(value)
        self.negatives = negatives
        self.damping = Damping(eta, safeguard, max_halvings, tolerance)
        self.choice_items = choice_items
        self.sample = sample
        self.covariance_rows = covariance_rows
        self.block_size = block_size
        self.memory = memory_mb * 2**20
        self.solution = Solution()

    def _features(self, d_x: int, d_y: int, bandwidth: float) -> RawFeatures:
        return RawFeatures(self.feature_map, d_x, d_y, self.shared, bandwidth=bandwidth, **self.map_arguments)

    def _objective(self, tau: float) -> Objective:
        return smooth_objective(self.objective_name, tau, **self.objective_options)

    @property
    def chooses(self) -> bool:
        """Whether settings are left to the validation split."""
        return self.candidates.open or len(self.bandwidths) > 1 or self.sample == "enough"

    def build(self, d_x: int, d_y: int) -> None:
        if self.shared and d_x != d_y:
            raise UserError(f"aligner.shared=true needs features of one dimension on both sides, got {d_x} and {d_y}")
        self.features = self._features(d_x, d_y, self.bandwidths[0])
        for side, m in zip("xy", self.features.dims, strict=True):
            # embeddings are raw features @ projection - offset: whitening, rotation and weights in one
            for name in (f"projection_{side}", {"x": "U", "y": "V"}[side]):
                self.register_buffer(name, torch.zeros(m, self.rank, dtype=torch.float64))
        for name in ("offset_x", "offset_y", "singular_values"):
            self.register_buffer(name, torch.zeros(self.rank, dtype=torch.float64))

    def embed_x(self, x: Tensor) -> Tensor:
        raw = self.features.x(x)
        return torch.addmm(self.offset_x.to(raw), raw, self.projection_x.to(raw), beta=-1)

    def embed_y(self, y: Tensor) -> Tensor:
        raw = self.features.y(y)
        return torch.addmm(self.offset_y.to(raw), raw, self.projection_y.to(raw), beta=-1)

    @property
    def facts(self) -> dict[str, float]:
        return self.solution.facts

    @property
    def passes_record(self) -> list[dict[str, float]]:
        return self.solution.passes

    # the fit: epoch 0 collects moments, each later one is a pass

    def on_train_start(self) -> None:
        super().on_train_start()
        pairs = self.train_pairs
        if self.shared:
            pooled = (pairs.n_x * self.mean_x + pairs.n_y * self.mean_y) / (pairs.n_x + pairs.n_y)
            self.mean_x.copy_(pooled)
            self.mean_y.copy_(pooled)
        if self.current_epoch == 0:
            self.solution = Solution()
            self._fit_features()
        self.moments = Moments(*self.features.dims, pairs.n_x, pairs.n_y, self.device, self.covariance_rows)
        numbers = pairs.n_x * self.features.dims[0] + pairs.n_y * self.features.dims[1]
        keeps = max(self.candidates.passes) > 0 and 4 * numbers <= self.memory * rank_and_world()[1]
        self.rows = TrainingRows(self._raw, self.stream, keeps)
        self.growth = choice.Growth()
        if self.current_epoch > 0:
            self._resume()

    def _fit_features(self) -> None:
        pairs, size = self.train_pairs, self.features.sample_size
        generator = torch.Generator().manual_seed(torch.initial_seed())  # the run's seed, in every process
        # drawn by index from the whole split: the same landmarks for any number of processes
        x, y = (
            rows[torch.randperm(int(rows.shape[0]), generator=generator)[:size]].to(self.device)
            for rows in (pairs.x, pairs.y)
        )
        x, y, state = self.prepare_x(x), self.prepare_y(y), generator.get_state()
        best = None
        for bandwidth in self.bandwidths:
            generator.set_state(state)
            features = self._features(*self.dims, bandwidth).to(self.device)  # type: ignore[misc]
            features.fit(x, y, generator)
            self.features = features
            if len(self.bandwidths) == 1:
                return
            trial = self._bandwidth_trial(bandwidth)
            if best is None or trial.beats(best[1]):
                best = features, trial, bandwidth
        assert best is not None
        self.features = best[0]
        self.solution.chosen["bandwidth"] = best[2]

    def _bandwidth_trial(self, bandwidth: float) -> choice.Trial:
        """The first solution of a sample with the features at hand."""
        rows = self._drawn(self.train_pairs, self.choice_items)
        moments = Moments(*self.features.dims, len(rows.x), len(rows.y), self.device)
        if rank_and_world()[0] == 0:  # every process has the sample
            moments.add(rows)
        trial = self._trial(moments)
        self.solution.trials.append({"bandwidth": bandwidth, "recall": trial.recall})
        return trial

    def _trial(self, moments: Moments) -> choice.Trial:
        """The first solution from these moments, on validation."""
        self._sum_moments(moments)
        return choice.first_solution(self._problem(), self.candidates.first)

    def _problem(self) -> choice.Problem:
        validation = self._validation
        return choice.Problem(
            start=self._solved,
            objective=self._objective,
            rows=lambda: self._drawn(self.train_pairs, self.choice_items),
            validation=self._drawn(validation, validation.n_x),
            damping=self.damping,
            block_size=self.block_size,
        )

    def on_train_epoch_start(self) -> None:
        self.rows.rewind()

    def collect(self, batch: PairBatch) -> None:
        if self.current_epoch == 0:
            self._add(batch, self.trainer.fit_loop.batch_idx)
        else:
            assert self.descent is not None
            self.descent.pull(self.rows.next(batch))

    def _add(self, batch: PairBatch, number: int) -> None:
        """Add the batch of this number to the moments, if it is within the sample."""
        share = (number + 1) / self.trainer.num_training_batches  # the same in every process
        if self.growth.enough if self.sample == "enough" else number > 0 and share > self.sample:
            self.rows.skip(batch)
            return
        self.moments.add(self.rows.first(batch))
        if self.sample == "enough" and self.growth.due(share):
            self.growth.add(self._trial(self.moments.copy()))

    def _raw(self, batch: PairBatch) -> Rows:
        x, y = self.features.x(self.prepare_x(batch.x)), self.features.y(self.prepare_y(batch.y))
        return Rows(x, y, batch.x_group, batch.y_group, batch.x_index, batch.y_index)

    def solve(self) -> bool:
        if self.current_epoch == 0:
            moved = self._start()
        else:
            assert self.descent is not None
            moved = self.descent.step()
            self._take(self.descent.factors)
        self._log_pass()
        finished = not moved or self.current_epoch >= self.solution.chosen["passes"]
        if not finished:
            assert self.descent is not None
            self.descent.open()
        return finished

    def _start(self) -> bool:
        """The first solution, from the moments of all processes, at settings that are given or chosen."""
        self._sum_moments(self.moments)
        del self.moments
        chosen = self.candidates.first
        if self.candidates.open:
            self._tell("choosing %s on validation", ", ".join(self.candidates.open_names))
            chosen, trials = choice.choose(self._problem(), self.candidates)
            self._tell("chosen: %s", ", ".join(f"{name}={value:g}" for name, value in chosen._asdict().items()))
            self.solution.trials += [{**trial.chosen._asdict(), "recall": trial.recall} for trial in trials]
        self.solution.chosen |= chosen._asdict()
        self._descend(*self._solved(chosen.lam))
        return True

    def _tell(self, line: str, *facts: str) -> None:
        if rank_and_world()[0] == 0:
            logger.info(line, *facts)

    def _sum_moments(self, moments: Moments) -> None:
        add_over_processes(*moments.tensors())
        self.statistics = statistics(moments, *self.features.metric_factors, self.shared)

    def _solved(self, lam: float) -> tuple[Coordinates, Factors]:
        """Coordinates and the solution for the uniform weights at a ridge."""
        frame = self.statistics.coordinates(lam if self.whiten else None)
        return frame, spectral.uniform_solution(self.statistics.cross, frame.W_x, frame.W_y, self.rank, self.svd)

    def _descend(self, frame: Coordinates, factors: Factors) -> None:
        """Be ready for passes from ``factors``; the statistics are not needed any more."""
        del self.statistics
        chosen = choice.Chosen(*(self.solution.chosen[name] for name in choice.Chosen._fields))
        self.weight_power, self.coordinates = chosen.weight_power, frame
        self.solution.conditions = {"x": frame.W_x.condition, "y": frame.W_y.condition}
        pairs = self.train_pairs
        self.solution.warn({"x": pairs.n_x, "y": pairs.n_y}, dict(zip("xy", self.features.dims, strict=True)))
        self.descent: Descent | None = None
        if chosen.passes:
            setting = Setting(
                self._objective(chosen.tau), chosen.weight_power, self.block_size, frame, self.rows.__iter__
            )
            groups = pairs.group.to(self.device), pairs.y_group.to(self.device)
            self.descent = Descent(frame, factors, NEGATIVES[self.negatives](setting, *groups), self.damping)
        self._take(factors)

    @property
    def _validation(self) -> Pairs:
        splits = self.trainer.datamodule.splits  # type: ignore[attr-defined]
        if "val" not in splits:
            raise UserError("settings that are lists are chosen on a validation split, and the data has none")
        return splits["val"]  # type: ignore[no-any-return]

    def _drawn(self, pairs: Pairs, items: int) -> Rows:
        return drawn(pairs, items, self._raw, self.device)

    def _resume(self) -> None:
        """Go on from a checkpoint between passes: the moments once more, then its factors."""
        for number, batch in enumerate(self.stream()):
            self._add(batch, number)
        self._sum_moments(self.moments)
        del self.moments
        s = self.singular_values
        frame = self.statistics.coordinates(self.solution.chosen["lam"] if self.whiten else None)
        self._descend(frame, Factors(self.U, s, self.V, self.solution.passes[-1]["gap"]))
        assert self.descent is not None
        self.descent.open()

    def _take(self, factors: Factors) -> None:
        """Take the factors as the solution that encodes."""
        weights = factors.s**self.weight_power
        self.U, self.singular_values, self.V, self.gap = factors.U, factors.s, factors.V, factors.gap
        self.projection_x, self.projection_y, self.offset_x, self.offset_y = self.coordinates.projector(
            factors.U * weights, factors.V * weights
        )

    def _log_pass(self) -> None:
        record = {"step": self.descent.length if self.descent else 0.0, "gap": self.gap}
        if self.descent:  # without further passes nobody needs the objective, which costs a sweep over all pairs
            record["objective"] = self.descent.value
            self.log("objective", record["objective"], prog_bar=True, logger=False, rank_zero_only=True)
        self.solution.passes.append(record)
        self.log_dict({f"fit/{key}": value for key, value in record.items()}, rank_zero_only=True)

    def on_train_end(self) -> None:
        del self.rows
        self.descent = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["solution"] = self.solution.plain()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.solution = Solution(**checkpoint["solution"])
