"""What heads may be trained on in the place of the features: whitened or kernel rows, as UniCon's solver sees them."""

import math
from collections.abc import Callable
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from aligners.base.warm_start import solver_settings
from aligners.features.landmarks import Size, number_of
from aligners.features.steps import Step
from aligners.spectral.fitted_map import fitted
from aligners.spectral.moments import run_length
from aligners.spectral.settings import SpectralSettings
from aligners.spectral.training import Training, raw_features
from aligners.spectral.whitening import Whitening
from datamodules.pairs.pairs import PairBatch, Pairs
from datamodules.pairs.stream import Stream
from ground.errors import UserError
from ground.ranges import one_of

KINDS = ("raw", "whitened", "kernel", "kernel_whitened")
FeaturesName = Annotated[str, one_of(KINDS)]
Prepare = Callable[[Tensor], Tensor]


def head_settings(kind: str, shared: bool, given: dict[str, Any]) -> SpectralSettings:
    """UniCon's settings that make features of this ``kind``: those ``given``, and of the rest its YAML's first."""
    kind_of = {
        "feature_map": "nystrom" if kind.startswith("kernel") else "identity",
        "whiten": kind.endswith("whitened"),
        "shared": shared,
    }
    return solver_settings(given | kind_of)


def widths(settings: SpectralSettings, train: Pairs) -> tuple[int, int]:
    """The most columns that features of these training rows have, of x and of y, known before they are fitted."""
    if settings.feature_map == "identity":
        return train.dims
    landmarks = settings.kernel_maps[0].landmarks
    x, y = (Size(n, d) for n, d in zip((train.n_x, train.n_y), train.dims, strict=True))
    if settings.shared:
        return (number_of(landmarks, [Size(x.rows + y.rows, x.d)]),) * 2
    return number_of(landmarks, [x, y]), number_of(landmarks, [y, x])


class HeadFeatures(nn.Module):
    r"""Prepared rows (n, d) to :math:`\psi(x) = W^T (\mathrm{raw}(x) - \mu)`, (n, w) float32.

    raw(x) is the row itself or its kernel row, :math:`\mu` its training mean, and W the whitening of
    ``aligners.spectral``, :math:`W^T (\Sigma + \lambda t M) W = I`. Not whitened, W W^T is the inverse of the map's
    metric M, so that :math:`\psi` is the centred Nystrom feature, times one number that makes the mean variance 1: the
    size that torch's initialisation expects, and whitened rows have. A map may have fewer than w columns, where
    landmarks are left out or the rows are fewer: the others are 0.

    Example:
        >>> from aligners import SGDCLIP
        >>> x = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(1.0, 5))
        >>> aligner = SGDCLIP(rank=2, features="whitened", lam=0.0, unit=False).fit(x, x.flip(1), max_epochs=1)
        >>> torch.allclose(aligner.prepare_x(x).T.cov(correction=0), torch.eye(4), atol=1e-5)
        True
    """

    factor_x: Tensor
    factor_y: Tensor
    centre_x: Tensor
    centre_y: Tensor

    def __init__(self, settings: SpectralSettings, dims: tuple[int, int], widths: tuple[int, int]):
        super().__init__()
        self.settings = settings
        self.widths = widths
        self.maps = raw_features(settings, *dims, settings.feature_maps[0], settings.kernel_maps[0])
        for side in "xy":
            self.register_buffer(f"factor_{side}", torch.zeros(0, 0))
            self.register_buffer(f"centre_{side}", torch.zeros(0, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, train: Pairs, stream: Stream, prepare_x: Prepare, prepare_y: Prepare) -> None:
        """Fit the maps on a sample, and means and whitening on one stream of the batches of all processes.

        Raises:
            UserError: features that do not vary, a covariance that is singular at the ridge, or more columns than
                there were when this was made.
        """
        settings = self.settings
        training, _ = fitted(
            Training(settings, self.maps, train, None, prepare_x, prepare_y, stream.device, shows=False),
            settings.feature_maps[0],
        )
        self.maps = training.features
        if any(m > width for m, width in zip(self.maps.dims, self.widths, strict=True)):
            raise UserError(
                f"kernel features of this data have {self.maps.dims} columns, the aligner was made with {self.widths}: "
                "make a new one"
            )
        block = run_length(train, len(stream))
        dealt = stream.dealt_whole(block)
        dealt.sampler.reshuffles = False
        moments = training.moments(train.n_x, train.n_y, settings.covariance_rows, block)
        for batch in dealt():
            moments.add(training.mapped(batch))
        statistics = training.statistics(moments)
        coordinates = training.coordinates(statistics, settings.candidates.first.lam)
        size_x, size_y = (1.0 if settings.whiten else float(each.mean_variance.sqrt()) for each in statistics[:2])
        self.centre_x, self.centre_y = coordinates.mean_x, coordinates.mean_y
        self.factor_x = _factor(coordinates.W_x, size_x)
        self.factor_y = self.factor_x if settings.shared else _factor(coordinates.W_y, size_y)

    def x(self, rows: Tensor) -> Tensor:
        """Prepared rows (n, d_x) to features (n, w_x)."""
        return _mapped(self.maps.x(rows), self.centre_x, self.factor_x, self.widths[0])

    def y(self, rows: Tensor) -> Tensor:
        """Prepared rows (n, d_y) to features (n, w_y)."""
        return _mapped(self.maps.y(rows), self.centre_y, self.factor_y, self.widths[1])

    def steps(self, side: str) -> list[Step]:
        """What ``x`` or ``y`` does, the solution with the triangle as a product with its inverse."""
        x = side == "x"
        centre, factor, width = (
            (self.centre_x, self.factor_x, self.widths[0]) if x else (self.centre_y, self.factor_y, self.widths[1])
        )
        eye = torch.eye(len(factor), dtype=torch.float64, device=factor.device)
        inverse = torch.linalg.solve_triangular(factor.T.double(), eye, upper=True, left=False)
        weight = nn.functional.pad(inverse, (0, width - len(factor)))
        whitened = Step("linear", {"weight": weight, "bias": torch.zeros_like(weight[0])})
        return [*self.maps.steps(side), Step("less", {"origin": centre}), whitened, Step("float")]

    def kept(self, train: Pairs, device: torch.device) -> "MappedRows | None":
        """Room for the features of all training rows; None where they need more memory than the settings give."""
        shape_x, shape_y = (train.n_x, self.widths[0]), (train.n_y, self.widths[1])
        if 4 * (math.prod(shape_x) + math.prod(shape_y)) > self.settings.memory_mb * 2**20:
            return None
        return MappedRows(shape_x, shape_y, device)


class MappedRows:
    """The features of training rows, mapped when a batch first has them and kept.

    Example:
        >>> rows = MappedRows((3, 2), (3, 2), torch.device("cpu"))
        >>> batch = PairBatch(torch.ones(1, 2), torch.ones(1, 2), *4 * [torch.tensor([2])])
        >>> _ = rows(batch, torch.neg, torch.neg)
        >>> rows(batch._replace(x=5 * batch.x), torch.neg, torch.neg).x
        tensor([[-1., -1.]])
    """

    def __init__(self, shape_x: tuple[int, int], shape_y: tuple[int, int], device: torch.device):
        self.x, self.y = (torch.full(shape, torch.nan, device=device) for shape in (shape_x, shape_y))

    def __call__(self, batch: PairBatch, prepare_x: Prepare, prepare_y: Prepare) -> PairBatch:
        """The batch of features to the same batch of prepared ones."""
        return batch._replace(
            x=_kept(self.x, batch.x_index, batch.x, prepare_x), y=_kept(self.y, batch.y_index, batch.y, prepare_y)
        )


def _kept(kept: Tensor, index: Tensor, rows: Tensor, prepare: Prepare) -> Tensor:
    new = kept[index, 0].isnan()
    if new.any():
        kept[index[new]] = prepare(rows[new])
    return kept[index]


def _factor(W: Whitening, size: float) -> Tensor:
    """L (m, m) float32 of W = size L^-T: rows are at most as exact."""
    assert W.factor is not None  # without a map, features are whitened
    return (W.factor * size).float()


def _mapped(raw: Tensor, centre: Tensor, factor: Tensor, width: int) -> Tensor:
    centred = raw - centre.to(raw)
    features = torch.linalg.solve_triangular(factor.T.to(raw), centred, upper=True, left=False).float()
    return nn.functional.pad(features, (0, width - features.shape[1]))
