"""Latent-factor models of two modalities (UniCon, Sui, Wang, Do, ICLR 2026, section 4.1)."""

from collections.abc import Callable
from typing import Annotated, Any

import torch
from torch import Tensor

from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import Pairs, subset
from datamodules.pairs.splits import SPLITS
from ground.errors import UserError
from ground.ranges import Count, NonNegative, Seed, one_of

NOISE_PLACES = ("inside", "outside")
NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {"none": lambda values: values, "tanh": torch.tanh}


class SyntheticDataModule(PairsDataModule):
    r"""One-to-one pairs of a common latent factor.

    .. math:: z = c_k + \sigma_z \epsilon, \quad x = h(U_x z + \sigma \epsilon_x),
              \quad y = h(U_y z + \sigma \epsilon_y)

    with centres c_k of length ``centre_scale`` in R^latent_dim, one drawn for each item and kept as its label,
    U with orthonormal columns, and h the identity (linear model) or tanh (nonlinear). The noise is inside h
    as in the paper; ``noise_place="outside"`` adds it to h(U z) instead, as runs saved before this key have it. All
    is drawn with ``data_seed``; the first items are train, then val, then test.

    Attributes:
        centres: (n_centres, latent_dim), from ``setup`` on.
        basis_x, basis_y: U, (d_x, latent_dim) and (d_y, latent_dim).

    Raises:
        UserError: an argument out of its range.

    Example:
        >>> from hydra import compose, initialize_config_dir
        >>> from hydra.utils import instantiate
        >>> from ground.configs import CONFIGS
        >>> with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        ...     data = instantiate(compose("train", ["datamodule=synthetic"]).datamodule)
        >>> data.setup()
        >>> data.dims, {split: pairs.n_x for split, pairs in data.splits.items()}
        ((40, 30), {'train': 600, 'val': 200, 'test': 200})
    """

    def __init__(
        self,
        n_train: Count,
        n_val: Count,
        n_test: Count,
        latent_dim: Count,
        n_centres: Count,
        centre_scale: NonNegative,
        latent_std: NonNegative,
        d_x: Count,
        d_y: Count,
        noise: NonNegative,
        noise_place: Annotated[str, one_of(NOISE_PLACES)],
        nonlinearity: Annotated[str, one_of(NONLINEARITIES)],
        data_seed: Seed,
        **common: Any,
    ):
        super().__init__(**common)
        if latent_dim > min(d_x, d_y):
            raise UserError(f"datamodule.latent_dim must be at most d_x and d_y, got {latent_dim} > {min(d_x, d_y)}")
        self.sizes = [n_train, n_val, n_test]
        self.latent_dim = latent_dim
        self.n_centres = n_centres
        self.centre_scale = centre_scale
        self.latent_std = latent_std
        self.d_x = d_x
        self.d_y = d_y
        self.noise = noise
        self.noise_place = noise_place
        self.nonlinearity = nonlinearity
        self.data_seed = data_seed
        self.label_names = [f"centre {k}" for k in range(n_centres)]

    @property
    def protocol(self) -> dict[str, str | int | float]:
        return {"dataset": f"synthetic, {self.nonlinearity}", "centre_scale": self.centre_scale}

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        generator = torch.Generator().manual_seed(self.data_seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        n = sum(self.sizes)
        centres = normal(self.n_centres, self.latent_dim)
        centres *= self.centre_scale / centres.norm(dim=1, keepdim=True)
        label = torch.randint(self.n_centres, (n,), generator=generator)
        z = centres[label] + self.latent_std * normal(n, self.latent_dim)
        h = NONLINEARITIES[self.nonlinearity]

        def modality(d: int) -> tuple[Tensor, Tensor]:
            basis = torch.linalg.qr(normal(d, self.latent_dim)).Q
            clean, noise = z @ basis.T, self.noise * normal(n, d)
            return basis, h(clean + noise) if self.noise_place == "inside" else h(clean) + noise

        index = torch.arange(n)
        self.centres = centres
        self.basis_x, x = modality(self.d_x)
        self.basis_y, y = modality(self.d_y)
        whole = Pairs(x, y, index, index, label)
        for name, rows in zip(SPLITS, torch.split(index, self.sizes), strict=True):
            self.splits[name] = subset(whole, rows)
        self.splits["train"] = self.training.of(self.splits["train"])
