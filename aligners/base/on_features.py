"""OnFeatures: the aligners that may work on whitened or kernel rows in the place of the features."""

from typing import Any

from torch import Tensor

from aligners.base.aligner import Aligner
from aligners.base.head_features import FeaturesName, HeadFeatures, head_settings, widths
from aligners.features import KernelName, LandmarkNumber, Selection
from aligners.features.steps import Step
from aligners.spectral.settings import SpectralSettings
from datamodules.pairs.pairs import Pairs
from ground.ranges import NonNegative, Positive


class OnFeatures(Aligner):
    """An aligner whose prepared rows are those of ``features``: raw, whitened, kernel or kernel_whitened.

    Others than ``raw`` put what UniCon's solver works on into the place of the prepared features (see
    ``HeadFeatures``). A child calls ``fit_features`` when a fit begins and the training means are known; ``build``,
    ``embed_x`` and ``embed_y`` then have rows of as many columns as the map.

    Attributes:
        widths: columns of the prepared x and y; None for raw features, and before they are known.

    Example:
        >>> import torch
        >>> from aligners import CCA
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = CCA(rank=4, features="kernel", landmarks=20).fit(x, x.flip(1))
        >>> isinstance(aligner, OnFeatures), aligner.widths, aligner.prepare_x(x).shape
        (True, (20, 20), torch.Size([50, 20]))
    """

    def __init__(
        self,
        *,
        features: FeaturesName,
        kernel: KernelName,
        bandwidth: Positive,
        landmarks: LandmarkNumber,
        landmark_selection: Selection,
        landmark_ridge: NonNegative,
        **common: Any,
    ):
        super().__init__(**common)
        self.features_kind = features
        self.features_settings: dict[str, Any] = {
            "rank": self.rank, "kernel": kernel, "bandwidth": bandwidth, "landmarks": landmarks,
            "landmark_selection": landmark_selection, "landmark_ridge": landmark_ridge,
        }  # fmt: skip
        self.head_features: HeadFeatures | None = None
        self.widths: tuple[int, int] | None = None

    @property
    def _head_settings(self) -> SpectralSettings:
        return head_settings(self.features_kind, bool(self.shared), self.features_settings)

    def most_widths(self, train: Pairs) -> tuple[int, int]:
        """The most columns that the prepared rows of these training data have, known before a fit."""
        return train.dims if self.features_kind == "raw" else widths(self._head_settings, train)

    def prepared_dims(self) -> tuple[int, int]:
        if self.features_kind == "raw":
            return super().prepared_dims()
        assert self.dims is not None
        if self.widths is None:  # else they are a checkpoint's
            self.widths = self.most_widths(self.trainer.datamodule.splits["train"])  # type: ignore[attr-defined]
        self.head_features = HeadFeatures(self._head_settings, self.dims, self.widths)
        return self.widths

    def fit_features(self) -> None:
        """Fit the features on all training rows; a resumed fit has them."""
        if self.head_features is not None and self.current_epoch == 0:
            # as raw features are prepared
            self.head_features.fit(self.train_pairs, self.stream, super().prepare_x, super().prepare_y)

    def prepare_x(self, x: Tensor) -> Tensor:
        """Features (n, d_x), centred and of length 1 if ``unit``; mapped and whitened as ``features`` says."""
        rows = super().prepare_x(x)
        return rows if self.head_features is None else self.head_features.x(rows)

    def prepare_y(self, y: Tensor) -> Tensor:
        """Features (n, d_y), as ``prepare_x``."""
        rows = super().prepare_y(y)
        return rows if self.head_features is None else self.head_features.y(rows)

    def prepared_steps(self, side: str) -> list[Step]:
        features = [] if self.head_features is None else self.head_features.steps(side)
        return [*super().prepared_steps(side), *features]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self.widths is not None:
            checkpoint["widths"] = list(self.widths)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "widths" in checkpoint and self.features_kind != "raw":
            self.widths = tuple(checkpoint["widths"])
            if self.dims is not None:  # built for other data
                self._build(self.dims, self.layers)
        super().on_load_checkpoint(checkpoint)


class OnSolvedFeatures(OnFeatures):
    """``OnFeatures`` whose solution follows the map: no column of its rows is left empty."""

    def fit_features(self) -> None:
        super().fit_features()
        if self.head_features is not None:
            self.widths = self.head_features.widths = self.head_features.maps.dims
