"""UniConSpectral: the spectral solver as a training step without gradients."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from aligners.base.rank_bound import RankBound, groups_bound
from aligners.base.solved import SolvedAligner
from aligners.base.yaml_defaults import defaults_from
from aligners.features.kernels import KernelName
from aligners.features.landmarks import LandmarkNumber, Selection
from aligners.features.maps import FeatureMapName, RawFeatures, named_features
from aligners.features.steps import Step
from aligners.objectives.base import Objective
from aligners.spectral.factors import SVD, Factors
from aligners.spectral.first_pass import FirstPass
from aligners.spectral.fitted_map import fitted
from aligners.spectral.negatives import NEGATIVES
from aligners.spectral.passes import Pass, Solved
from aligners.spectral.record import Record
from aligners.spectral.settings import SpectralSettings, StepName
from aligners.spectral.training import Training, raw_features
from aligners.spectral.width import fits
from datamodules.pairs.pairs import Pairs
from ground.ranges import Choosable, Count, Natural, NonNegative, Positive, above, at_most, one_of


@defaults_from("unicon")
class UniConSpectral(SolvedAligner):
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

    Example:
        >>> x = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
        >>> y = x.flip(1)  # the same items, seen otherwise
        >>> aligner = UniConSpectral(rank=8, feature_map="identity", tau=0.1).fit(x, y)
        >>> int((aligner.similarity(x, y).argmax(1) == torch.arange(100)).sum())
        100
        >>> sorted(aligner.solution.chosen)
        ['lam', 'laplacian', 'passes', 'step', 'tau', 'weight_power']
    """

    U: Tensor
    V: Tensor

    def __init__(
        self,
        *,
        rank: Count,
        unit: bool,
        centre: bool,
        shared: bool | None,
        feature_map: Choosable[FeatureMapName],
        kernel: Choosable[KernelName],
        bandwidth: Choosable[Positive],
        landmarks: Choosable[LandmarkNumber],
        landmark_selection: Selection,
        landmark_ridge: NonNegative,
        whiten: bool,
        lam: Choosable[NonNegative],
        laplacian: Choosable[NonNegative],
        svd: Annotated[str, one_of(SVD)],
        subspace: Count | Literal["all"],
        objective: str,
        objective_options: dict[str, Any],
        tau: Choosable[Positive],
        step: Choosable[StepName],
        negatives: Annotated[str, one_of(NEGATIVES)],
        eta: Annotated[float, above(0), at_most(1)],
        safeguard: bool,
        passes: Choosable[Natural],
        tolerance: NonNegative,
        max_halvings: Natural,
        weight_power: Choosable[NonNegative],
        contrast_items: Count | Literal["all"],
        contrast_redraw: bool,
        sample: Annotated[float, above(0), at_most(1)] | Literal["enough"],
        covariance_rows: Count,
        block_size: Count,
        memory_mb: Natural,
        **common: Any,
    ):
        super().__init__(rank, unit, shared, **common)
        self.centre = centre
        self.settings = SpectralSettings(
            rank=rank,
            feature_map=feature_map, kernel=kernel, bandwidth=bandwidth,
            landmarks=landmarks, landmark_selection=landmark_selection, landmark_ridge=landmark_ridge,
            whiten=whiten, lam=lam, laplacian=laplacian, svd=svd, subspace=subspace,
            objective=objective, objective_options=objective_options, tau=tau, step=step, negatives=negatives,
            eta=eta, safeguard=safeguard, passes=passes, tolerance=tolerance, max_halvings=max_halvings,
            weight_power=weight_power, contrast_items=contrast_items, contrast_redraw=contrast_redraw, sample=sample,
            covariance_rows=covariance_rows, block_size=block_size, memory_mb=memory_mb,
            centre=centre, shared=bool(shared),
        )  # fmt: skip
        for kind, each in product(self.settings.feature_maps, self.settings.kernel_maps):  # mistakes show at once
            raw_features(self.settings, 1, 1, kind, each)
        self.solution = Record()
        self._tried: dict[str, RawFeatures] = {}

    def build(self, d_x: int, d_y: int) -> None:
        self.settings = replace(self.settings, shared=bool(self.shared))
        self.features = self._features(d_x, d_y)
        self.register_solution(*self.features.dims)
        for name, m in zip("UV", self.features.dims, strict=True):
            self.register_buffer(name, torch.zeros(m, self.rank, dtype=torch.float64))

    def _features(self, d_x: int, d_y: int) -> RawFeatures:
        """Not fitted: of the kind and kernel that were chosen, where they were, or the first."""
        chosen, of = self.solution.chosen, self.settings.kernel_maps[0]
        of = of._replace(**{name: chosen[name] for name in of._fields if name in chosen})
        return raw_features(self.settings, d_x, d_y, chosen.get("feature_map", self.settings.feature_maps[0]), of)

    def rank_bound(self, train: Pairs) -> RankBound:
        return max((self._bound(kind, train) for kind in self.settings.feature_maps), key=lambda bound: bound.most)

    def _bound(self, kind: str, train: Pairs) -> RankBound:
        return groups_bound(self._most_dims(kind, train), train, int(self.centre), named_features(kind))

    def _most_dims(self, kind: str, train: Pairs) -> tuple[int, int]:
        made = [raw_features(self.settings, *train.dims, kind, of).most_dims for of in self.settings.kernel_maps]
        most_x, most_y = (max(side) for side in zip(*made, strict=True))
        return most_x, most_y

    def _feature_maps(self, train: Pairs) -> Sequence[str]:
        """Those of the settings that have the rank and fit into memory; one, where none has."""
        kinds = self.settings.feature_maps
        able = [
            kind for kind in kinds
            if self._bound(kind, train).most >= self.rank and fits(*self._most_dims(kind, train))
        ]  # fmt: skip
        return able or kinds[:1]

    def raw_x(self, x: Tensor) -> Tensor:
        return self.features.x(x)

    def raw_y(self, y: Tensor) -> Tensor:
        return self.features.y(y)

    def raw_steps(self, side: str) -> list[Step]:
        return self.features.steps(side)

    @property
    def chooses(self) -> bool:
        return self.settings.chooses or super().chooses

    @property
    def facts(self) -> dict[str, float]:
        return super().facts | self.solution.facts

    @property
    def passes_record(self) -> list[dict[str, float]]:
        return self.solution.passes

    @property
    def fitted_objective(self) -> Objective | None:
        tau = self.solution.chosen.get("tau")
        return None if tau is None else self.settings.objective_at(tau)

    # the fit: the first pass collects moments, each later one is a step

    @property
    def batches_in_run(self) -> int:
        # negatives of a batch are the batch's, however many processes there are
        return 1 if self.settings.negatives == "batch" else super().batches_in_run

    def first_pass(self) -> Pass:
        trainings, records = zip(
            *(fitted(self._training, kind) for kind in self._feature_maps(self.train_pairs)), strict=True
        )
        self._tried = {training.features.kind: training.features for training in trainings}
        self.features = trainings[0].features
        return FirstPass(trainings, records, self.stream)

    def resumed_pass(self) -> Pass:
        first, stream = FirstPass([self._training], [self.solution], self.stream), self.stream
        for batch in stream():
            first.add(batch)
        return first.resume(Factors(self.U, self.singular_values, self.V, self.solution.passes[-1]["gap"]))

    @property
    def _training(self) -> Training:
        validation = self.trainer.datamodule.splits.get("val")  # type: ignore[attr-defined]
        return Training(
            self.settings, self.features, self.train_pairs, validation, self.prepare_x, self.prepare_y, self.device,
            shows=self.trainer.progress_bar_callback is not None,
        )  # fmt: skip

    def hold(self, solved: Solved) -> None:
        super().hold(solved)
        self.U, self.V = solved.factors.U, solved.factors.V
        self.solution = solved.record
        self.features = self._tried.get(solved.record.chosen.get("feature_map", ""), self.features)

    def on_train_end(self) -> None:
        super().on_train_end()
        self._tried = {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["solution"] = self.solution.plain()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.solution = Record(**checkpoint["solution"])
        if self.dims is not None:  # a fit that goes on was built before it knew
            self.features = self._features(*self.dims).to(self.device)
        super().on_load_checkpoint(checkpoint)
