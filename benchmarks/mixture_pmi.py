"""The pointwise mutual information of the linear latent-factor model, in closed form."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LatentMixture:
    r"""Two views of a latent mixture of K Gaussians of equal weight, those of ``datamodules.synthetic`` without tanh.

    .. math:: z = c_k + s \epsilon, \quad x = U_x z + \sigma \epsilon_x, \quad y = U_y z + \sigma \epsilon_y

    Args:
        centres: (K, d).
        basis_x: (d_x, d), with orthonormal columns.
        basis_y: (d_y, d).
        latent_std: s.
        noise: :math:`\sigma`, above 0.

    Example:
        >>> one = LatentMixture(torch.zeros(1, 1), torch.eye(1), torch.eye(1), latent_std=1.0, noise=1.0)
        >>> x = torch.tensor([[0.0]])
        >>> round(float(one.pmi(x, x)), 6) == round(math.log(4 / 3) / 2, 6)  # of a correlation of 1/2
        True
    """

    centres: Tensor
    basis_x: Tensor
    basis_y: Tensor
    latent_std: float
    noise: float

    def pmi(self, x: Tensor, y: Tensor) -> Tensor:
        r""":math:`\log p(x, y) - \log p(x) - \log p(y)` of all pairs of x (a, d_x) and y (b, d_y), (a, b) float64.

        The parts of x and y beside :math:`U_x^T x` and :math:`U_y^T y` are noise alone, and cancel. Of those, each
        coordinate has the variance :math:`v = s^2 + \sigma^2` around its centre, and covariance :math:`s^2`.
        """
        centres = self.centres.double()
        v, shared = self.latent_std**2 + self.noise**2, self.latent_std**2
        determinant = v**2 - shared**2
        from_x, from_y = (
            rows.double() @ basis.double() - centres[:, None] for rows, basis in ((x, self.basis_x), (y, self.basis_y))
        )  # (K, a, d) and (K, b, d)
        square_x, square_y = from_x.square().sum(2), from_y.square().sum(2)
        product = from_x @ from_y.transpose(1, 2)
        both = (v * (square_x[:, :, None] + square_y[:, None]) - 2 * shared * product) / determinant
        # with the logarithms of the densities' constants, and of the K weights 1 / K
        constant = centres.shape[1] * (math.log(v) - math.log(determinant) / 2) + math.log(len(centres))
        marginals = torch.logsumexp(-square_x / (2 * v), 0)[:, None] + torch.logsumexp(-square_y / (2 * v), 0)
        return torch.logsumexp(-both / 2, 0) - marginals + constant
