"""The feature maps of both modalities, and the raw rows, before whitening, that the spectral solver works on."""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Generator, Tensor, nn

from aligners.features.kernels import KernelName
from aligners.features.landmarks import AUTO_RANDOM, LandmarkNumber, Selection, Size
from aligners.features.metric import Metric
from aligners.features.nystrom import Nystrom
from aligners.features.random import RandomFeatures
from aligners.features.steps import Step
from ground.ranges import NonNegative, Positive, one_of
from ground.values import checked

KINDS = ("identity", "nystrom", "random")
FeatureMapName = Annotated[str, one_of(KINDS)]

ORIGIN_ROWS = 1024


class RawFeatures(nn.Module):
    """Raw features of prepared rows, not whitened, less an origin: about their mean, the same in every process.

    Kernel rows are all about the same positive numbers, and float32 products of them would lose digits to these;
    without ``centre`` they stay. Where the kernel matrix of a map is singular but for less than float32 carries, raw
    features are float64. ``shared``: one map for both modalities. ``arguments`` are those of ``feature_map``.

    Example:
        >>> features = RawFeatures(
        ...     "nystrom", 3, 5, shared=False, centre=True, kernel="rbf", bandwidth=1.0,
        ...     landmarks=4, landmark_selection="uniform", landmark_ridge=1e-6,
        ... )
        >>> draws = torch.Generator().manual_seed(0)
        >>> features.fit(torch.randn(20, 3, generator=draws), torch.randn(20, 5, generator=draws), draws)
        >>> features.dims, features.y(torch.ones(2, 5)).shape
        ((4, 4), torch.Size([2, 4]))
    """

    origin_x: Tensor
    origin_y: Tensor

    def __init__(self, kind: str, d_x: int, d_y: int, shared: bool, centre: bool, **arguments: Any):
        super().__init__()
        self.kind, self.d_x, self.d_y = kind, d_x, d_y
        self.map_x = feature_map(kind, d_x, **arguments)
        self.map_y = self.map_x if shared else feature_map(kind, d_y, **arguments)
        self.shared = shared
        self.centre = centre
        self.register_buffer("origin_x", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("origin_y", torch.zeros(0, dtype=torch.float64))

    def sample_size(self, n_x: int, n_y: int) -> int:
        """How many of n_x and n_y training rows ``fit`` wants of each, or all where there are fewer."""
        of_x, of_y = self._sizes(n_x, n_y)
        return max(self.map_x.sample_size(of_x), self.map_y.sample_size(of_y))

    def _sizes(self, n_x: int, n_y: int) -> tuple[list[Size], list[Size]]:
        """What each of the maps, its own first, has to do with."""
        if self.shared:
            return (both := [Size(n_x + n_y, self.d_x)]), both
        x, y = Size(n_x, self.d_x), Size(n_y, self.d_y)
        return [x, y], [y, x]

    def fit(
        self, sample_x: Tensor, sample_y: Tensor, generator: torch.Generator, sizes: tuple[int, int] | None = None
    ) -> None:
        """Fit the maps on prepared training rows (k, d_x), (l, d_y), drawn without order.

        ``sizes`` are those of the split that they were drawn from, where they are not all of it.
        """
        of_x, of_y = self._sizes(*(sizes or (len(sample_x), len(sample_y))))
        if self.shared:
            sample = torch.cat([sample_x, sample_y])
            sample_x = sample_y = sample[torch.randperm(len(sample), generator=generator).to(sample.device)]
        self.map_x.fit(sample_x, generator, of_x)
        if not self.shared:
            self.map_y.fit(sample_y, generator, of_y)
        if len(sample_x) and self.centre:
            self.origin_x = self.map_x.raw(self._carried(sample_x[:ORIGIN_ROWS])).mean(0).double()
            self.origin_y = self.map_y.raw(self._carried(sample_y[:ORIGIN_ROWS])).mean(0).double()

    def x(self, rows: Tensor) -> Tensor:
        """(n, d_x) prepared to (n, m_x)."""
        return _less(self.map_x.raw(self._carried(rows)), self.origin_x)

    def y(self, rows: Tensor) -> Tensor:
        """(n, d_y) prepared to (n, m_y)."""
        return _less(self.map_y.raw(self._carried(rows)), self.origin_y)

    def steps(self, side: str) -> list[Step]:
        """What ``x`` or ``y`` does."""
        made, origin = (self.map_x, self.origin_x) if side == "x" else (self.map_y, self.origin_y)
        carried = [Step("double")] if self.near_singular else []
        return [*carried, *made.steps(), *([Step("less", {"origin": origin})] if len(origin) else [])]

    @property
    def near_singular(self) -> bool:
        """Whether raw features are float64, of both modalities, whatever the rows are."""
        return self.map_x.near_singular or self.map_y.near_singular

    def _carried(self, rows: Tensor) -> Tensor:
        return rows.double() if self.near_singular else rows

    @property
    def dims(self) -> tuple[int, int]:
        """(m_x, m_y)."""
        return self.map_x.dim, self.map_y.dim

    @property
    def most_dims(self) -> tuple[int, int]:
        """What (m_x, m_y) cannot exceed, before a fit too."""
        return self.map_x.most, self.map_y.most

    @property
    def metrics(self) -> tuple[Metric | None, Metric | None]:
        """The metric of each modality's raw features, None for the identity; see ``aligners.spectral.whitening``."""
        metric = self.map_x.metric
        return metric, metric if self.shared else self.map_y.metric

    @property
    def has_metric(self) -> bool:
        """Whether they are kernel features."""
        return isinstance(self.map_x, Nystrom)


def named_features(kind: str) -> str:
    """What the features of a map are called, with the key that sets their number."""
    return "features" if kind == "identity" else "kernel features (aligner.landmarks)"


def _less(raw: Tensor, origin: Tensor) -> Tensor:
    return raw.sub_(origin.to(raw)) if len(origin) else raw


class Identity(nn.Module):
    """phi(x) = x, (n, d) to (n, d)."""

    metric = None
    near_singular = False

    def __init__(self, d: int):
        super().__init__()
        self.dim = self.most = d

    def sample_size(self, sizes: Sequence[Size]) -> int:
        return 0

    def fit(self, sample: Tensor, generator: Generator, sizes: Sequence[Size] = ()) -> None:
        """Nothing to fit."""

    def raw(self, x: Tensor) -> Tensor:
        return x

    def steps(self) -> list[Step]:
        """None: rows stay as they are."""
        return []

    def forward(self, x: Tensor) -> Tensor:
        return x


FeatureMap = Identity | Nystrom | RandomFeatures


@checked("aligner.")
def feature_map(
    feature_map: FeatureMapName,
    d: int,
    *,
    kernel: KernelName,
    landmarks: LandmarkNumber,
    landmark_selection: Selection,
    landmark_ridge: NonNegative,
    bandwidth: Positive,
) -> FeatureMap:
    """The map ``feature_map`` of rows of dimension ``d``; ``landmarks`` is the width of a random map, too.

    Raises:
        UserError: an unknown name, a number out of its range, whether the map has a use for it or not, or a kernel that
            has no random features.
    """
    if feature_map == "identity":
        return Identity(d)
    if feature_map == "random":
        return RandomFeatures(kernel, d, AUTO_RANDOM if isinstance(landmarks, str) else landmarks, bandwidth)
    return Nystrom(kernel, d, landmarks, landmark_selection, landmark_ridge, bandwidth)
