"""Synthetic features of two modalities: a shared latent factor under nuisance that is stronger than it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from datamodules.pairs.pairs import Pairs
from ground.errors import UserError


@dataclass(frozen=True)
class LatentFactors:
    r"""Items with captions whose features share a latent factor, as those of frozen encoders do.

    .. math:: x_i = \mu_x + A_x z_i + \nu B_x u_i + \sigma \epsilon_i, \qquad
              y_{ij} = \mu_y + A_y (z_i + \kappa c_{ij}) + \nu B_y v_{ij} + \sigma \epsilon_{ij}

    The shared factor z and what each caption adds or leaves out, c, have ``shared`` dimensions and variances
    proportional to :math:`k^{-a}` with sum 1; the nuisances u, of the item, and v, of the caption, have
    ``private`` dimensions and the same law. A and B have orthonormal columns, the means :math:`\mu` length 1, and
    :math:`\sigma^2` is ``white / d``.

    Args:
        d_x, d_y: dimensions of the features.
        shared: dimensions of z.
        private: of the nuisances.
        decay: a, of the power law.
        nuisance: :math:`\nu^2`, the nuisance's variance; the shared factor's is 1.
        caption_noise: :math:`\kappa^2`.
        white: variance of the noise, all dimensions together.
        seed: of A, B and the means, and of the rows.

    Raises:
        UserError: a factor with more dimensions than the features.
    """

    d_x: int
    d_y: int
    shared: int
    private: int
    decay: float
    nuisance: float
    caption_noise: float
    white: float
    seed: int

    def __post_init__(self) -> None:
        if max(self.shared, self.private) > min(self.d_x, self.d_y):
            raise UserError(
                f"factors of {self.shared} and {self.private} dimensions do not fit into "
                f"features of {self.d_x} and {self.d_y}: make the features wider"
            )

    def rows(self, n: int, captions: int, block: int) -> tuple[Tensor, Tensor]:
        """Items x (n, d_x) and their captions y (n * captions, d_y), float32, one item's after another's.

        Blocks of one model are drawn independently of each other, so that any number of rows needs no more
        memory than a block.
        """
        generator = _generator(self.seed, 1 + block)

        def normal(rows: int, d: int) -> Tensor:
            return torch.randn(rows, d, generator=generator)

        mixing_x, mixing_y = self._mixing
        scale, private = _power_law(self.shared, self.decay), _power_law(self.private, self.decay)
        z = normal(n, self.shared)
        x = normal(n, self.d_x).mul_((self.white / self.d_x) ** 0.5).add_(mixing_x[-1])
        x.addmm_(z * scale, mixing_x[: self.shared])
        x.addmm_(normal(n, self.private) * (private * self.nuisance**0.5), mixing_x[self.shared : -1])
        m = n * captions
        z = z.repeat_interleave(captions, 0).add_(normal(m, self.shared), alpha=self.caption_noise**0.5)
        y = normal(m, self.d_y).mul_((self.white / self.d_y) ** 0.5).add_(mixing_y[-1])
        y.addmm_(z.mul_(scale), mixing_y[: self.shared])
        y.addmm_(normal(m, self.private) * (private * self.nuisance**0.5), mixing_y[self.shared : -1])
        return x, y

    @cached_property
    def _mixing(self) -> tuple[Tensor, Tensor]:
        """A^T, B^T and the mean of each modality, (shared + private + 1, d)."""
        generator = _generator(self.seed, 0)

        def modality(d: int) -> Tensor:
            bases = [torch.linalg.qr(torch.randn(d, k, generator=generator)).Q.T for k in (self.shared, self.private)]
            mean = torch.randn(1, d, generator=generator)
            return torch.cat([*bases, mean / mean.norm()])

        return modality(self.d_x), modality(self.d_y)


def caption_pairs(x: Tensor, y: Tensor) -> Pairs:
    """Rows in the order of ``LatentFactors.rows``: each x with as many y, and its own group."""
    n = len(x)
    return Pairs(x, y, torch.arange(n).repeat_interleave(len(y) // n), torch.arange(n))


def _power_law(k: int, decay: float) -> Tensor:
    """Standard deviations (k,) whose squares fall as ``i^-decay`` and sum to 1."""
    variances = torch.arange(1, k + 1, dtype=torch.float64) ** -decay
    return (variances / variances.sum()).sqrt().float()


def _generator(seed: int, stream: int) -> torch.Generator:
    mixed = np.random.SeedSequence((seed, stream)).generate_state(1)
    return torch.Generator().manual_seed(int(mixed[0]))
