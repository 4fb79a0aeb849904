r"""Feature maps of the spectral aligner: fitted once on training features, shared by all batches.

A map is :math:`\phi(x) = R^T \mathrm{raw}(x)`. The root R is applied to rows only while moments are taken;
afterwards it is folded into the projections, so that a row costs its raw features and no more.
"""

import torch
from torch import Tensor, nn

from aligners.kernels import KERNELS


class Identity(nn.Module):
    """phi(x) = x, (n, d) to (n, d)."""

    def __init__(self, d: int):
        super().__init__()
        self.dim = d

    def raw(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return x

    def root(self, matrix: Tensor) -> Tensor:
        return matrix

    def root_transposed(self, matrix: Tensor) -> Tensor:
        return matrix


class Nystrom(nn.Module):
    r"""Nystrom features of a kernel on m landmarks (Williams and Seeger 2001), (n, d) to (n, m).

    .. math:: \phi(x) = L^{-1} k_m(x), \qquad L L^T = K_{mm} + \epsilon \frac{\mathrm{tr} K_{mm}}{m} I

    so that :math:`\langle \phi(x), \phi(x') \rangle = k_m(x)^T (K_{mm} + \ldots)^{-1} k_m(x')`: the inverse root
    :math:`(K_{mm} + \ldots)^{-1/2}` up to a rotation, which no later step sees. With all samples as landmarks
    and a vanishing ridge it is the exact kernel.

    ``kernel`` is a name of ``KERNELS``, ``d`` the features' dimension, ``ridge`` epsilon, relative to the
    kernel's mean diagonal. Features are float64.
    """

    landmarks: Tensor
    factor: Tensor

    def __init__(self, kernel: str, d: int, ridge: float):
        super().__init__()
        self.kernel = KERNELS[kernel]
        self.ridge = ridge
        self.register_buffer("landmarks", torch.zeros(0, d, dtype=torch.float64))
        self.register_buffer("factor", torch.zeros(0, 0, dtype=torch.float64), persistent=False)

    @property
    def dim(self) -> int:
        """m."""
        return len(self.landmarks)

    def fit(self, landmarks: Tensor) -> None:
        """Take ``landmarks`` (m, d) and factor their kernel matrix."""
        gram = self.kernel(landmarks, landmarks)
        gram.diagonal().add_(self.ridge * gram.diagonal().mean())
        self.landmarks = landmarks
        self.factor = torch.linalg.cholesky(gram)

    def raw(self, x: Tensor) -> Tensor:
        """k_m(x), (n, d) to (n, m)."""
        return self.kernel(x, self.landmarks)

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self.factor.T, self.raw(x), upper=True, left=False)

    def root(self, matrix: Tensor) -> Tensor:
        """``L^{-T} M`` (m, k), so that ``raw(x) @ root(M) = phi(x) @ M``."""
        return torch.linalg.solve_triangular(self.factor.T, matrix, upper=True)

    def root_transposed(self, matrix: Tensor) -> Tensor:
        """``L^{-1} M`` (m, k), so that ``root_transposed(raw(x)^T H) = phi(x)^T H``."""
        return torch.linalg.solve_triangular(self.factor, matrix, upper=False)
