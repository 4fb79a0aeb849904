"""A judged split without any aligner: four x, two of them of one group, and five y."""

import torch

from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.arrays import pairs_of_tensors
from evaluation.judged import Judged
from evaluation.judges import Retrieval


def judged() -> Judged:
    datamodule = PairsDataModule(batch_size=4, eval_batch_size=4, seed=0)
    datamodule.x_name, datamodule.y_name = "image", "text"
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
    y = torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.1, 1.0], [-1.0, -0.1], [1.0, 0.9]])
    pairs = pairs_of_tensors(x, y, x_of_y=torch.tensor([0, 1, 1, 3, 2]), group=torch.tensor([5, 7, 5, 9]))
    datamodule.splits["test"] = pairs
    result = Judged(x, y, "test", datamodule, torch.clone, torch.clone, block_size=2)
    Retrieval()(result)
    return result
