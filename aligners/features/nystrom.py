r"""Feature maps of the spectral aligner: fitted once on training features, shared by all batches.

A map is :math:`\phi(x) = L^{-1} \mathrm{raw}(x)`. The solver works on raw rows, before this and any other whitening, in
the metric :math:`L L^T`, so that a row costs its raw features and no more.

Every map has ``dim``, the width m of phi; ``sample_size(sizes)``, how many of the training rows
``fit(sample, generator, sizes)`` wants to see; ``raw`` and ``forward`` (n, d) to (n, m), in the rows' dtype;
``metric``, L L^T and L, or None for the identity; and ``near_singular``, whether rows should be float64.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from scipy.linalg.lapack import dpstrf
from torch import Generator, Tensor, nn

from aligners.features.kernels import KERNELS, MEDIAN_ROWS, NEEDS_BANDWIDTH, fitted_bandwidth
from aligners.features.landmarks import LandmarkNumber, Size, at_most, number_of, sample_size, selected
from aligners.features.metric import Metric, metric_of
from aligners.features.steps import Step
from ground.errors import UserError

LEAST_PIVOT = 1e-13
"""A residual below this share of the largest is rounding of float64."""

LEAST_IN_FLOAT32 = 1e-5
"""A residual below this share of the largest, the ridge included, is more than float32 rows should be divided by.

The share is the larger, the less the kernel varies about its mean: float32 rounds the values, not what they vary by."""

BOUNDED = ("linear", "cosine")
"""Kernels of no more features than rows have dimensions."""

FLATNESS_ROWS = 256
"""Landmarks whose kernel matrix tells how much the kernel varies."""

TIE = 1e-3
"""Residuals that differ by a share below it may be taken in the order of the rows."""


class Nystrom(nn.Module):
    r"""Nystrom features of a kernel on m landmarks (Williams and Seeger 2001), (n, d) to (n, m).

    .. math:: \phi(x) = L^{-1} k_m(x), \qquad L L^T = K_{mm} + \epsilon \frac{\mathrm{tr} K_{mm}}{m} I

    so that :math:`\langle \phi(x), \phi(x') \rangle = k_m(x)^T (K_{mm} + \ldots)^{-1} k_m(x')`: the inverse root
    :math:`(K_{mm} + \ldots)^{-1/2}` up to a rotation, which no later step sees. With all samples as landmarks
    and a vanishing ridge it is the exact kernel.

    ``kernel`` is a name of ``KERNELS``, ``d`` the rows' dimension, ``landmarks`` the m to choose by the rule
    ``selection`` of ``aligners.features.landmarks``, or ``auto`` (fewer where there are fewer rows), ``ridge``
    epsilon, relative to the kernel's mean diagonal, ``bandwidth`` a multiple of the rows' median distance. Where the
    ridge is small, landmarks whose features others already span are left out (see ``independent``), so that any, 0 too,
    will do; where float32 carries it, the kernel matrix is float32.

    Example:
        >>> draws = torch.Generator().manual_seed(0)
        >>> x = torch.randn(20, 3, generator=draws)
        >>> phi = Nystrom("rbf", d=3, landmarks=20, selection="uniform", ridge=1e-9, bandwidth=1.0)
        >>> phi.fit(x, draws)
        >>> torch.allclose(phi(x) @ phi(x).T, KERNELS["rbf"](x, x, float(phi.fitted_bandwidth)), atol=1e-3)
        True
    """

    landmarks: Tensor
    fitted_bandwidth: Tensor

    def __init__(self, kernel: str, d: int, landmarks: LandmarkNumber, selection: str, ridge: float, bandwidth: float):
        super().__init__()
        self.kernel = kernel
        self.number = landmarks
        self.most = min(at_most(landmarks), d) if kernel in BOUNDED else at_most(landmarks)
        self.selection = selection
        self.ridge = ridge
        self.bandwidth = bandwidth
        self.register_buffer("landmarks", torch.zeros(0, d, dtype=torch.float64))
        self.register_buffer("fitted_bandwidth", torch.ones((), dtype=torch.float64))
        self._made: dict[tuple[str, torch.dtype, torch.device], Any] = {}
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    @property
    def dim(self) -> int:
        """m."""
        return len(self.landmarks)

    def sample_size(self, sizes: Sequence[Size]) -> int:
        """How many rows ``fit`` wants to see, where there are as many as ``sizes`` tell, the map's own first."""
        size = sample_size(self.selection, self.number, sizes)
        return max(size, MEDIAN_ROWS) if self.kernel in NEEDS_BANDWIDTH else size

    def fit(self, sample: Tensor, generator: Generator, sizes: Sequence[Size] = ()) -> None:
        """Choose landmarks from ``sample`` (k, d), in random order, of rows of these ``sizes``, or of all there are.

        Raises:
            UserError: rows that are all equal or all zero.
        """
        sizes, sample = sizes or [Size(*sample.shape)], sample.double()
        bandwidth = fitted_bandwidth(self.kernel, sample, self.bandwidth)
        if not KERNELS[self.kernel].diagonal(sample, bandwidth).any():
            raise UserError("kernel features need rows that are not zero, got the same row for every training item")
        sample = sample[_first_of_equals(sample)]  # a row twice would make the kernel matrix singular
        number = number_of(self.number, sizes)
        chosen = selected(self.selection, sample, number, self.kernel, bandwidth, generator)
        self.landmarks = chosen
        self.fitted_bandwidth = torch.tensor(bandwidth, dtype=torch.float64, device=sample.device)
        self._made.clear()
        if self._carried_by_float32 and self.kernel not in BOUNDED:
            return
        gram = KERNELS[self.kernel](chosen, chosen, bandwidth)
        kept = independent(gram)
        if len(kept) < len(gram):
            self.landmarks = chosen[kept]
            self._made.clear()
        elif not self._carried_by_float32:
            self._derived("metric", torch.float64, lambda dtype: self._metric(gram))

    @property
    def metric(self) -> Metric:
        """``L L^T`` and L, (m, m), in float32 where that carries the ridge."""
        metric: Metric = self._metric_in(torch.float32 if self._carried_by_float32 else torch.float64)
        return metric

    @property
    def near_singular(self) -> bool:
        """Whether a landmark's residual is below ``LEAST_IN_FLOAT32``: rows should be float64."""
        near: bool = self._derived("near_singular", torch.float64, self._near_singular)
        return near

    def raw(self, x: Tensor) -> Tensor:
        """k_m(x), (n, d) to (n, m)."""
        landmarks, lengths, bandwidth = self._derived("landmarks", x.dtype, self._landmarks)
        return KERNELS[self.kernel](x, landmarks, bandwidth, lengths)

    def steps(self) -> list[Step]:
        """What ``raw`` does."""
        values = {"kernel": self.kernel, "bandwidth": float(self.fitted_bandwidth)}
        return [Step("kernel", {"landmarks": self.landmarks}, values)]

    def forward(self, x: Tensor) -> Tensor:
        # in float32 the features are as good as their inner products, which err by 1e-6; solving with the
        # triangle takes 0.7 of the time of a product with its inverse
        return torch.linalg.solve_triangular(self._factor(x.dtype).T, self.raw(x), upper=True, left=False)

    def _factor(self, dtype: torch.dtype) -> Tensor:
        if dtype == torch.float64 or self._carried_by_float32:
            return self._metric_in(dtype).factor
        factor: Tensor = self._derived("factor", dtype, lambda dtype: self._metric_in(torch.float64).factor.to(dtype))
        return factor

    def _metric_in(self, dtype: torch.dtype) -> Metric:
        metric: Metric = self._derived("metric", dtype, lambda dtype: self._metric(self.raw(self.landmarks.to(dtype))))
        return metric

    @property
    def _carried_by_float32(self) -> bool:
        """Whether the ridge alone is no less than float32 rows should be divided by."""
        carried: bool = self._derived("carried", torch.float64, lambda _: self._least_residuals()[0])
        return carried

    def _landmarks(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, float]:
        return self.landmarks.to(dtype), self.landmarks.norm(dim=1).to(dtype), float(self.fitted_bandwidth)

    def _near_singular(self, dtype: torch.dtype) -> bool:
        carried, least = self._least_residuals()
        # known without the factor, which a loaded map has no other use for
        return not carried and bool(self._factor(dtype).diagonal().square().min() < least)

    def _least_residuals(self) -> tuple[bool, float]:
        """What is the least that float32 rows should be divided by, and before it whether the ridge is above that."""
        diagonal = KERNELS[self.kernel].diagonal(self.landmarks, float(self.fitted_bandwidth))
        some = self.landmarks[:FLATNESS_ROWS]
        varies = diagonal[: len(some)].mean() - self.raw(some).mean()
        least = float(LEAST_IN_FLOAT32 * diagonal.max() * (diagonal.max() / varies).clamp_min(1))
        return self.ridge * float(diagonal.mean()) > least, least

    def _metric(self, gram: Tensor) -> Metric:
        # float32 products of a row with itself err in the angle by a root of their rounding
        diagonal = KERNELS[self.kernel].diagonal(self.landmarks, float(self.fitted_bandwidth))
        gram.diagonal().copy_(diagonal + self.ridge * diagonal.mean())
        return metric_of(gram)

    def _derived(self, name: str, dtype: torch.dtype, make: Callable[[torch.dtype], Any]) -> Any:
        """What follows from the buffers, made once for each dtype and device."""
        key = (name, dtype, self.landmarks.device)
        if key not in self._made:
            self._made[key] = make(dtype)
        return self._made[key]


def independent(gram: Tensor) -> Tensor:
    r"""The places (k,) of landmarks that no others stand for, from ``gram`` (m, m) float64.

    A Cholesky factorisation with pivots (Higham 1990; LAPACK's dpstrf) takes next the landmark whose residual,
    :math:`k_{ii} - k_{ik} K_{kk}^{-1} k_{ki}`, is the largest, and ends where all are below
    :math:`m \epsilon \max_i k_{ii}`, epsilon float64's: what is left is rounding, and 1 / L would make it as large as
    the features.
    """
    share = max(len(gram) * torch.finfo(gram.dtype).eps, LEAST_PIVOT)
    tolerance = share * float(gram.diagonal().max())
    factor, failed = torch.linalg.cholesky_ex(gram)
    if not failed and factor.diagonal().square().min() > tolerance:  # as a rule; at a sixth of the cost
        return torch.arange(len(gram), device=gram.device)
    # unit rows tie in their length: the earlier one is taken, not the one that rounding favours
    weight = 1 - TIE * torch.arange(len(gram), dtype=gram.dtype, device=gram.device) / len(gram)
    _, pivots, rank, _ = dpstrf((weight[:, None] * gram * weight).cpu().numpy(), tol=tolerance)
    return torch.as_tensor(pivots[:rank] - 1, dtype=torch.int64, device=gram.device)


def _first_of_equals(rows: Tensor) -> Tensor:
    """The places (k,) of the rows that equal none before them, in order."""
    _, inverse = torch.unique(rows, dim=0, return_inverse=True)
    places = torch.arange(len(rows), device=rows.device)
    first = torch.full_like(places, len(rows)).scatter_reduce_(0, inverse, places, "amin")
    return first[first < len(rows)].sort().values


def _forget(module: nn.Module, incompatible_keys: object) -> None:
    """Loaded buffers: what was derived from the old ones no longer holds."""
    assert isinstance(module, Nystrom)
    module._made.clear()
