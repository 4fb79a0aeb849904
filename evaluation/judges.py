"""The judges that every aligner meets; the probes are in ``probes``."""

import torch

from datamodules.base.datamodule import PairsDataModule
from evaluation.extended import extended_retrieval
from evaluation.geometry import evaluate_geometry
from evaluation.hubness import evaluate_hubness
from evaluation.judged import Judged
from evaluation.nearest import class_accuracy
from evaluation.retrieval import ranks_both_ways, rates_both_ways
from ground.ranges import Count
from ground.values import checked


class Retrieval:
    """Both directions' rates and ``mean_recall``, and class accuracies where there are labels; leaves the ranks.

    Example:
        >>> import torch
        >>> from datamodules.base import PairsDataModule
        >>> from datamodules.pairs import pairs_of_tensors
        >>> data = PairsDataModule(batch_size=8, eval_batch_size=8, seed=0)
        >>> data.splits["test"] = pairs_of_tensors(torch.eye(3), torch.eye(3))
        >>> x, y = torch.eye(3), torch.eye(3)[[0, 2, 1]]
        >>> judged = Judged(x, y, "test", data, torch.clone, torch.clone, block_size=8)
        >>> Retrieval()(judged)["x_to_y/median_rank"], judged.ranks["x_to_y"]
        (3.0, tensor([1, 3, 3]))
    """

    every_pass = True

    def __call__(self, judged: Judged) -> dict[str, float]:
        pairs, names, (x, y, scorer) = judged.pairs, judged.names, judged.scored
        of = (judged.block_size, scorer)
        judged.ranks = ranks_both_ways(x, y, pairs.group, pairs.y_group, *names, *of)
        metrics = rates_both_ways(judged.ranks)
        if pairs.label is not None:
            metrics |= class_accuracy(x, y, pairs.label, pairs.label[pairs.x_of_y], *names, *of)
        return metrics

    def names(self, datamodule: PairsDataModule) -> list[str]:
        """The metrics of the validation split, before anything is fitted."""
        x, y = datamodule.x_name, datamodule.y_name
        ways = [f"{x}_to_{y}", f"{y}_to_{x}"]
        names = list(rates_both_ways(dict.fromkeys(ways, torch.ones(1, dtype=torch.int64))))
        if datamodule.splits["val"].label is not None:
            names += [*(f"{way}/class_accuracy" for way in ways), "class_accuracy"]
        return names


class Geometry:
    """The shape of the shared space at the test, under ``geometry/``, see ``evaluate_geometry``.

    Example:
        >>> import torch
        >>> from datamodules.base import PairsDataModule
        >>> from datamodules.pairs import pairs_of_tensors
        >>> data = PairsDataModule(batch_size=8, eval_batch_size=8, seed=0)
        >>> data.splits["test"] = pairs_of_tensors(torch.eye(3), torch.eye(3))
        >>> judged = Judged(torch.eye(3), -torch.eye(3), "test", data, torch.clone, torch.clone, block_size=8)
        >>> Geometry()(judged)["geometry/alignment"]  # the pairs' mean squared distance
        4.0
    """

    every_pass = False

    def __call__(self, judged: Judged) -> dict[str, float]:
        pairs = judged.pairs
        metrics = evaluate_geometry(judged.x, judged.y, pairs.group, pairs.y_group, *judged.names, judged.block_size)
        # float32 embeddings have some seven digits: what comes after them is noise, and differs with the processes
        return {f"geometry/{key}": round(value, 6) for key, value in metrics.items()}


class Hubness:
    """How unevenly test items are near to the queries of each direction, under ``hubness/``, see ``evaluate_hubness``.

    Args:
        neighbours: of a query, those that are counted.

    Raises:
        UserError: an argument of a wrong type or out of its range.

    Example:
        >>> import torch
        >>> from datamodules.base import PairsDataModule
        >>> from datamodules.pairs import pairs_of_tensors
        >>> data = PairsDataModule(batch_size=8, eval_batch_size=8, seed=0)
        >>> data.splits["test"] = pairs_of_tensors(torch.eye(3), torch.eye(3))
        >>> x, y = torch.eye(3), torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])
        >>> judged = Judged(x, y, "test", data, torch.clone, torch.clone, block_size=8)
        >>> Hubness(neighbours=1)(judged)["hubness/x_to_y"]  # the first y is nearest to two of the x, the third to none
        0.0
    """

    every_pass = False

    @checked("evaluation.hubness.")
    def __init__(self, neighbours: Count):
        self.neighbours = neighbours

    def __call__(self, judged: Judged) -> dict[str, float]:
        x, y, scorer = judged.scored
        metrics = evaluate_hubness(x, y, *judged.names, self.neighbours, judged.block_size, scorer)
        return {f"hubness/{way}": value for way, value in metrics.items()}


class Extended:
    """ECCV Caption and CxC at the test, where the items are COCO's, see ``extended_retrieval``.

    Example:
        >>> import torch
        >>> from datamodules.base import PairsDataModule
        >>> data, x = PairsDataModule(batch_size=8, eval_batch_size=8, seed=0), torch.eye(3)
        >>> Extended()(Judged(x, x, "test", data, torch.clone, torch.clone, block_size=8))  # no items of COCO
        {}
    """

    every_pass = False

    def __call__(self, judged: Judged) -> dict[str, float]:
        ids, (x, y, scorer) = judged.datamodule.coco_ids, judged.scored
        return {} if ids is None else extended_retrieval(x, y, *ids, judged.block_size, scorer)
