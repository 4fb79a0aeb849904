"""Random features: a kernel as the mean over random directions."""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import normalize

from aligners.features.kernels import MEDIAN_ROWS, NEEDS_BANDWIDTH, fitted_bandwidth
from aligners.features.landmarks import Size
from aligners.features.steps import Step
from ground.errors import UserError

MATERN_ORDERS = {"matern_12": 1, "matern_32": 3, "matern_52": 5}
"""2 nu of each."""


class RandomFeatures(nn.Module):
    r"""Random features of a kernel, :math:`\langle \phi(x), \phi(z) \rangle \approx k(x, z)`, (n, d) to (n, m).

    - ``arc_cosine_0``, ``arc_cosine_1``: :math:`\phi(x) = \sqrt{2/m} \, h(x W)` with h the step (1/2 at 0) or the
      ReLU and Gaussian W (d, m) (Cho and Saul 2009, Eq. 1).
    - ``rbf``, ``matern_*``: :math:`\phi(x) = \sqrt{2/m} \, [\cos(x W / b), \sin(x W / b)]` (Rahimi and Recht 2007)
      with W (d, m/2) from the kernel's spectral density, Gaussian or Student's t with 2 nu degrees of freedom.
    - ``exp_cosine``: those of the Gaussian of length sqrt(b) between unit rows.

    Directions are orthogonal within each block of d (Yu et al. 2016): the same mean with a smaller variance.
    ``features`` is m, ``bandwidth`` a multiple of the rows' median distance.

    Raises:
        UserError: a kernel without random features, or an odd m where features come in pairs.

    Example:
        >>> draws = torch.Generator().manual_seed(0)
        >>> x = torch.randn(20, 3, generator=draws)
        >>> phi = RandomFeatures("rbf", d=3, features=64, bandwidth=1.0)
        >>> phi.fit(x, draws)
        >>> phi(x).shape, (phi(x) @ phi(x).T).diagonal().allclose(torch.ones(20))
        (torch.Size([20, 64]), True)
    """

    metric = None
    near_singular = False
    frequencies: Tensor
    fitted_bandwidth: Tensor

    def __init__(self, kernel: str, d: int, features: int, bandwidth: float):
        super().__init__()
        if kernel in ("linear", "cosine"):
            raise UserError(
                f"the {kernel} kernel needs no random features: take aligner.feature_map=identity"
                + (" with aligner.unit=true" if kernel == "cosine" else "")
            )
        self.paired = kernel in NEEDS_BANDWIDTH
        if self.paired and features % 2:
            raise UserError(
                f"random features of {kernel} come in pairs: aligner.landmarks must be even, got {features}"
            )
        self.kernel = kernel
        self.dim = self.most = features
        self.bandwidth = bandwidth
        # float32, so that rows of either dtype see the same function
        self.register_buffer("frequencies", torch.zeros(d, features // 2 if self.paired else features))
        self.register_buffer("fitted_bandwidth", torch.ones((), dtype=torch.float64))

    def sample_size(self, sizes: Sequence[Size]) -> int:
        """How many rows ``fit`` wants to see."""
        return MEDIAN_ROWS if self.paired else 0

    def fit(self, sample: Tensor, generator: Generator, sizes: Sequence[Size] = ()) -> None:
        """Draw the directions, on the CPU in a fixed order; ``sample`` (k, d) tells the scale and the device.

        Raises:
            UserError: rows that are all equal, where the kernel has a scale.
        """
        bandwidth = fitted_bandwidth(self.kernel, sample, self.bandwidth)
        d, k = self.frequencies.shape
        directions = orthogonal_gaussian(d, k, generator)
        if self.kernel in MATERN_ORDERS:
            order = MATERN_ORDERS[self.kernel]
            chi = torch.randn(order, k, generator=generator, dtype=torch.float64).norm(dim=0)
            directions *= math.sqrt(order) / chi
        if self.paired:
            directions /= math.sqrt(bandwidth) if self.kernel == "exp_cosine" else bandwidth
        self.frequencies = directions.to(sample.device, torch.float32)
        self.fitted_bandwidth = torch.tensor(bandwidth, dtype=torch.float64, device=sample.device)

    def raw(self, x: Tensor) -> Tensor:
        scale = math.sqrt(2 / self.dim)
        if self.kernel == "exp_cosine":
            x = normalize(x)
        products = x @ self.frequencies.to(x.dtype)
        if self.kernel == "arc_cosine_0":
            return products.sign_().add_(1).mul_(scale / 2)
        if self.kernel == "arc_cosine_1":
            return products.relu_().mul_(scale)
        features = torch.cat([products.cos(), products.sin_()], dim=1).mul_(scale)
        if self.kernel == "exp_cosine":  # exp(-1/b) of a zero row with any other, where the Gaussian has exp(-1/2b)
            zero = (x == 0).all(dim=1, keepdim=True)
            features *= torch.where(zero, torch.exp(-0.5 / self.fitted_bandwidth), 1).to(x.dtype)
        return features

    def steps(self) -> list[Step]:
        """What ``raw`` does."""
        values = {"kernel": self.kernel, "bandwidth": float(self.fitted_bandwidth)}
        return [Step("random", {"frequencies": self.frequencies}, values)]

    def forward(self, x: Tensor) -> Tensor:
        return self.raw(x)


def orthogonal_gaussian(d: int, k: int, generator: Generator) -> Tensor:
    """k directions (d, k) float64, each standard normal, orthogonal within each block of d."""
    blocks = []
    for start in range(0, k, d):
        gaussian = torch.randn(d, min(d, k - start), generator=generator, dtype=torch.float64)
        Q, R = torch.linalg.qr(gaussian)
        # the signs make Q uniform; a column's length says nothing of its direction, so the lengths stay
        blocks.append(Q * R.diagonal().sign() * gaussian.norm(dim=0))
    return torch.cat(blocks, dim=1)
