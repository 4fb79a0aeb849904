"""Heads trained to keep domains apart, or to bring them together: GCA-INCE with a target plan of domains."""

from typing import Any

from torch import Tensor
from torch.nn.functional import normalize

from aligners.base.trained import TrainedAligner
from aligners.base.yaml_defaults import defaults_from
from aligners.objectives.plans import domain_plan
from aligners.objectives.transport import gca_ince
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import PairBatch
from ground.errors import UserError
from ground.ranges import Count, NonNegative, Positive


@defaults_from("gca_domains")
class GCADomains(TrainedAligner):
    r"""Heads trained on GCA-INCE towards a plan of domains (Chen et al., NeurIPS 2024, its experiment on PACS).

    .. math:: L = KL(T || P), \quad T_{ij} \propto [i = j] + a [\text{same domain}, i \neq j] + b [\text{other domain}]

    P is the kernel ``exp((c_ij - 1) / tau)`` of a batch's cosines (n_x, n_y) after ``iterations`` of Sinkhorn's, T is
    Sinkhorn-normalised, ``[i = j]`` stands for the positives, and a y is of its x's domain. The larger a - b, the
    further embeddings of different domains lie apart; below 0 they are mixed. With a = b = 0 it is GCA-INCE.

    Raises:
        UserError: an argument out of its range; at a fit, data without domains.

    Example:
        >>> import torch
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = GCADomains(rank=4, a=0.01).fit(x, x.flip(1), domain=torch.arange(50) % 2, max_epochs=2)
        >>> aligner.encode_x(x).shape
        torch.Size([50, 4])
    """

    def __init__(self, *, a: NonNegative, b: NonNegative, tau: Positive, iterations: Count, **common: Any):
        super().__init__(**common)
        self.a = a
        self.b = b
        self.tau = tau
        self.iterations = iterations

    def setup(self, stage: str) -> None:
        datamodule: PairsDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        if stage == "fit" and datamodule.splits["train"].domain is None:
            raise UserError(
                "this aligner reads the domain of each x, and the data has none: give a table or a features file a "
                "domain, datamodule=image_folder its domains=true, or fit(x, y) its domain; or take another aligner"
            )
        super().setup(stage)

    def loss(self, x: Tensor, y: Tensor, batch: PairBatch) -> Tensor:
        pairs = self.train_pairs
        assert pairs.domain is not None
        x_index, y_index = batch.x_index.cpu(), batch.y_index.cpu()
        same = pairs.domain[x_index][:, None] == pairs.domain[pairs.x_of_y[y_index]]
        target = domain_plan(batch.positives, same.to(batch.positives.device), self.a, self.b)
        return gca_ince(normalize(x) @ normalize(y).T, target, self.tau, self.iterations)
