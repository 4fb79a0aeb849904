"""The feature maps of both modalities, and the raw rows that the spectral solver works on."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Generator, Tensor, nn

from aligners.features.kernels import KERNELS, NEEDS_BANDWIDTH
from aligners.features.landmarks import SELECTIONS
from aligners.features.nystrom import Nystrom
from aligners.features.random import RandomFeatures
from ground.errors import UserError, nearest

ORIGIN_ROWS = 1024


class RawFeatures(nn.Module):
    """Raw features of prepared rows, less an origin: about their mean, the same in every process.

    Kernel rows are all about the same positive numbers, and float32 products of them would lose digits to
    these. ``shared``: one map for both modalities. ``arguments`` are those of ``feature_maps.feature_map``.
    """

    origin_x: Tensor
    origin_y: Tensor

    def __init__(self, kind: str, d_x: int, d_y: int, shared: bool, **arguments: Any):
        super().__init__()
        self.map_x = feature_map(kind, d_x, **arguments)
        self.map_y = self.map_x if shared else feature_map(kind, d_y, **arguments)
        self.shared = shared
        self.register_buffer("origin_x", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("origin_y", torch.zeros(0, dtype=torch.float64))

    @property
    def sample_size(self) -> int:
        """Training rows of each modality that ``fit`` wants, or all where there are fewer."""
        return max(self.map_x.sample_size, self.map_y.sample_size)

    def fit(self, sample_x: Tensor, sample_y: Tensor, generator: torch.Generator) -> None:
        """Fit the maps on prepared training rows (k, d_x), (l, d_y), drawn without order."""
        if self.shared:
            sample = torch.cat([sample_x, sample_y])
            sample_x = sample_y = sample[torch.randperm(len(sample), generator=generator).to(sample.device)]
        self.map_x.fit(sample_x, generator)
        if not self.shared:
            self.map_y.fit(sample_y, generator)
        if len(sample_x):
            self.origin_x = self.map_x.raw(sample_x[:ORIGIN_ROWS]).mean(0).double()
            self.origin_y = self.map_y.raw(sample_y[:ORIGIN_ROWS]).mean(0).double()

    def x(self, rows: Tensor) -> Tensor:
        """(n, d_x) prepared to (n, m_x)."""
        return _less(self.map_x.raw(rows), self.origin_x)

    def y(self, rows: Tensor) -> Tensor:
        """(n, d_y) prepared to (n, m_y)."""
        return _less(self.map_y.raw(rows), self.origin_y)

    @property
    def dims(self) -> tuple[int, int]:
        """(m_x, m_y)."""
        return self.map_x.dim, self.map_y.dim

    @property
    def metric_factors(self) -> tuple[Tensor | None, Tensor | None]:
        """Factors of the metric of each modality's raw features, see ``aligners.spectral.whitening``."""
        factor = self.map_x.metric_factor
        return factor, factor if self.shared else self.map_y.metric_factor


def _less(raw: Tensor, origin: Tensor) -> Tensor:
    return raw.sub_(origin.to(raw)) if len(origin) else raw


class Identity(nn.Module):
    """phi(x) = x, (n, d) to (n, d)."""

    sample_size = 0
    metric_factor = None

    def __init__(self, d: int):
        super().__init__()
        self.dim = d

    def fit(self, sample: Tensor, generator: Generator) -> None:
        """Nothing to fit."""

    def raw(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return x


FeatureMap = Identity | Nystrom | RandomFeatures


KINDS = ("identity", "nystrom", "random")


def feature_map(
    kind: str,
    d: int,
    *,
    kernel: str,
    landmarks: int,
    landmark_selection: str,
    landmark_ridge: float,
    bandwidth: float,
) -> FeatureMap:
    """The map ``kind`` of rows of dimension ``d``; arguments that it has no use for are not looked at.

    ``landmarks`` is the width of a random map, too.

    Raises:
        UserError: an unknown name, a number out of range, or a kernel that has no random features.
    """
    _known("feature_map", kind, KINDS)
    if kind == "identity":
        return Identity(d)
    _known("kernel", kernel, KERNELS)
    if landmarks < 1:
        raise UserError(f"aligner.landmarks must be at least 1, got {landmarks}")
    if kernel in NEEDS_BANDWIDTH and not 0 < bandwidth < math.inf:
        raise UserError(f"aligner.bandwidth must be above 0, got {bandwidth}")
    if kind == "random":
        return RandomFeatures(kernel, d, landmarks, bandwidth)
    _known("landmark_selection", landmark_selection, SELECTIONS)
    if not 0 <= landmark_ridge < math.inf:
        raise UserError(f"aligner.landmark_ridge must be at least 0, got {landmark_ridge}")
    return Nystrom(kernel, d, landmarks, landmark_selection, landmark_ridge, bandwidth)


def _known(name: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise UserError(f"unknown aligner.{name} '{value}': {nearest(value, known)}")
