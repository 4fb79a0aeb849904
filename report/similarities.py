"""What the pictures of the contrastive weights are made from: scores of some validation pairs after each pass."""

from typing import Any

from torch import Tensor

from datamodules.base.datamodule import PairsDataModule
from evaluation.judged import Judged


class Similarities:
    """Keeps the scores (k, k) of the first ``n_items`` validation x with the first y of each, and judges nothing.

    Attributes:
        passes: the number of each pass and its scores.

    Example:
        >>> import torch
        >>> from datamodules.base import PairsDataModule
        >>> from datamodules.pairs import pairs_of_tensors
        >>> data, x = PairsDataModule(batch_size=8, eval_batch_size=8, seed=0), torch.eye(3)
        >>> data.splits["val"] = pairs_of_tensors(x, x)
        >>> similarities = Similarities(n_items=2)
        >>> similarities(Judged(x, x, "val", data, torch.clone, torch.clone, block_size=8, after=4))
        {}
        >>> similarities.passes
        [(4, tensor([[1., 0.], [0., 1.]]))]
    """

    every_pass = True

    def __init__(self, n_items: int):
        self.n_items = n_items
        self.passes: list[tuple[int, Tensor]] = []

    def __call__(self, judged: Judged) -> dict[str, float]:
        if judged.split == "val":
            first = judged.pairs.first_y[: self.n_items]
            rows = (first >= 0).nonzero()[:, 0]
            self.passes.append((judged.after, judged.scored.of_items(rows, first[rows])))
        return {}

    def names(self, datamodule: PairsDataModule) -> list[str]:
        """None: it judges nothing."""
        return []

    def state_dict(self) -> dict[str, Any]:
        return {"passes": self.passes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.passes = state_dict["passes"]
