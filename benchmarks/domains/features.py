"""Synthetic features of two modalities with classes and domains, as a features file of the cache."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.features_file import FOLDER
from ground.errors import UserError

SHARES = (0.6, 0.15, 0.25)
"""Train, val and test."""


@dataclass(frozen=True)
class DomainFactors:
    r"""Pairs that share a class, a domain and a factor of their own, in different directions.

    .. math:: x = U_x (c_k + z) + s V_x e_d + \sigma \epsilon, \quad y = U_y (c_k + z) + s V_y e_d + \sigma \epsilon

    with centres c_k and z standard normal in R^latent, U and V of orthonormal columns, and e_d the unit vector of the
    domain, drawn for each pair as its class is.

    Example:
        >>> tensors = DomainFactors(n=50, seed=0).tensors()
        >>> tensors["x"].shape, tensors["domain"].unique().tolist()
        (torch.Size([50, 40]), [0, 1, 2])
    """

    n: int = 1600
    classes: int = 6
    domains: int = 3
    latent: int = 12
    d_x: int = 40
    d_y: int = 30
    strength: float = 1.0
    noise: float = 0.6
    seed: int = 0

    def tensors(self) -> dict[str, Tensor]:
        """What a features file holds, float32."""
        generator = torch.Generator().manual_seed(self.seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        label, domain = (torch.randint(k, (self.n,), generator=generator) for k in (self.classes, self.domains))
        z = normal(self.classes, self.latent)[label] + normal(self.n, self.latent)
        shared = torch.cat([z, self.strength * torch.eye(self.domains)[domain]], dim=1)

        def modality(d: int) -> Tensor:
            basis: Tensor = torch.linalg.qr(normal(d, shared.shape[1])).Q
            return shared @ basis.T + self.noise * normal(self.n, d)

        counts = torch.tensor([round(share * self.n) for share in SHARES[:2]])
        split = torch.arange(3).repeat_interleave(torch.cat([counts, self.n - counts.sum()[None]])).to(torch.uint8)
        return {"x": modality(self.d_x), "y": modality(self.d_y), "label": label, "domain": domain, "split": split}


def synthetic_file(seed: int, quick: bool) -> Path:
    """The file of these features, made when it is not there.

    Raises:
        UserError: it cannot be written.
    """
    factors = DomainFactors(seed=seed)
    factors = replace(factors, n=200) if quick else factors
    path = FOLDER / f"domains-{factors.n}-{seed}.safetensors"
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        save_file(factors.tensors(), path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; start it in a folder of your own") from error
    return path
