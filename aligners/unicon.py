"""UniConSpectral: the spectral solver as a training step without gradients."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from aligners.base.projected import ProjectedAligner
from aligners.base.yaml_defaults import defaults_from
from aligners.objectives.base import Objective
from aligners.spectral.factors import Factors
from aligners.spectral.fitted_features import fitted_features
from aligners.spectral.record import Solution
from aligners.spectral.settings import SpectralSettings
from aligners.spectral.spectral_data import SpectralData
from aligners.spectral.spectral_fit import SpectralFit
from datamodules.pairs.pairs import PairBatch


@defaults_from("unicon")
class UniConSpectral(ProjectedAligner):
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

    U: Tensor
    V: Tensor

    def __init__(
        self,
        *,
        rank: int,
        unit: bool,
        shared: bool | None,
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
        super().__init__(rank, unit, shared)
        self.settings = SpectralSettings(
            rank=rank,
            feature_map=feature_map, kernel=kernel, bandwidth=bandwidth,
            landmarks=landmarks, landmark_selection=landmark_selection, landmark_ridge=landmark_ridge,
            whiten=whiten, lam=lam, svd=svd,
            objective=objective, objective_options=objective_options, tau=tau, negatives=negatives,
            eta=eta, safeguard=safeguard, passes=passes, tolerance=tolerance, max_halvings=max_halvings,
            weight_power=weight_power, choice_items=choice_items, sample=sample,
            covariance_rows=covariance_rows, block_size=block_size, memory_mb=memory_mb,
            shared=bool(shared),
        )  # fmt: skip
        self.solution = Solution()

    def build(self, d_x: int, d_y: int) -> None:
        self.settings = replace(self.settings, shared=bool(self.shared))
        self.features = self.settings.features(d_x, d_y, self.settings.bandwidths[0])
        self.register_solution(*self.features.dims)
        for name, m in zip("UV", self.features.dims, strict=True):
            self.register_buffer(name, torch.zeros(m, self.rank, dtype=torch.float64))

    def raw_x(self, x: Tensor) -> Tensor:
        return self.features.x(x)

    def raw_y(self, y: Tensor) -> Tensor:
        return self.features.y(y)

    @property
    def chooses(self) -> bool:
        return self.settings.chooses

    @property
    def facts(self) -> dict[str, float]:
        return self.solution.facts

    @property
    def passes_record(self) -> list[dict[str, float]]:
        return self.solution.passes

    @property
    def fitted_objective(self) -> Objective | None:
        tau = self.solution.chosen.get("tau")
        return None if tau is None else self.settings.objective_at(tau)

    # the fit: epoch 0 collects moments, each later one is a pass

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.current_epoch == 0:
            self.solution = Solution()
            self.features = fitted_features(self._data, self.solution)
        batches = int(self.trainer.num_training_batches)  # the same in every process
        self.spectral_fit = SpectralFit(self._data, self.stream, batches, self.solution)
        if self.current_epoch > 0:
            self.spectral_fit.resume(Factors(self.U, self.singular_values, self.V, self.solution.passes[-1]["gap"]))
            self._take()
            self.spectral_fit.open()

    @property
    def _data(self) -> SpectralData:
        validation = self.trainer.datamodule.splits.get("val")  # type: ignore[attr-defined]
        return SpectralData(
            self.settings, self.features, self.train_pairs, validation, self.prepare_x, self.prepare_y, self.device
        )

    def on_train_epoch_start(self) -> None:
        self.spectral_fit.rows.rewind()

    def collect(self, batch: PairBatch) -> None:
        if self.current_epoch == 0:
            self.spectral_fit.add(batch, self.trainer.fit_loop.batch_idx)
        else:
            self.spectral_fit.pull(batch)

    def solve(self) -> bool:
        moved = True
        if self.current_epoch == 0:
            self.spectral_fit.start()
        else:
            moved = self.spectral_fit.step()
        self._take()
        self._log_pass()
        finished = not moved or self.current_epoch >= self.solution.chosen["passes"]
        if not finished:
            self.spectral_fit.open()
        return finished

    def _take(self) -> None:
        """Take the factors as the solution that encodes."""
        factors = self.spectral_fit.factors
        self.U, self.V = factors.U, factors.V
        self.take(self.spectral_fit.projector, factors.s)

    def _log_pass(self) -> None:
        descent = self.spectral_fit.descent
        record = {"step": descent.length if descent else 0.0, "gap": self.spectral_fit.factors.gap}
        if descent:  # without further passes nobody needs the objective, which costs a sweep over all pairs
            record["objective"] = descent.value
            self.log("objective", record["objective"], prog_bar=True, logger=False, rank_zero_only=True)
        self.solution.passes.append(record)
        self.log_dict({f"fit/{key}": value for key, value in record.items()}, rank_zero_only=True)

    def on_train_end(self) -> None:
        del self.spectral_fit  # it holds the training rows

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["solution"] = self.solution.plain()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.solution = Solution(**checkpoint["solution"])
