"""The judges that every aligner meets; the probes are in ``probes``."""

from typing import Annotated

import torch
from torch import Tensor

from datamodules.base.datamodule import PairsDataModule
from evaluation.densities import LARGEST_KAPPA, densities_without, named_densities
from evaluation.extended import extended_retrieval
from evaluation.geometry import alignment, evaluate_geometry, potential, shuffled
from evaluation.hubness import evaluate_hubness
from evaluation.judged import Judged, as_it_is, encoded
from evaluation.nearest import class_accuracy
from evaluation.retrieval import ranks_both_ways, rates_both_ways
from ground.ranges import Count, Seed, above, at_least, at_most, not_empty
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
    """The shape of the shared space at the test, under ``geometry/``, see ``evaluate_geometry`` and ``densities``.

    Rows are judged as unit vectors by their cosines, also where an aligner scores otherwise. Each item is left out of
    the density of its own modality. Under ``geometry/shuffled/`` what knows the pairs, when no y is with its own x.
    Under ``raw/geometry/`` the same of raw features of one dimension. It leaves the densities.

    Args:
        kappas: concentrations of the densities' kernels, the inverse of a temperature.
        partners: whether an item's positives are in the other modality's density where that is read at the item.
        items: so many of each modality at most, drawn anew from each, have densities; all else is of all items.
        raw: also of the raw features, without any alignment, where both modalities have one dimension.
        seed: of the draw and of the shuffled pairs.

    Raises:
        UserError: an argument of a wrong type or out of its range.

    Example:
        >>> import torch
        >>> from datamodules.base import PairsDataModule
        >>> from datamodules.pairs import pairs_of_tensors
        >>> data = PairsDataModule(batch_size=8, eval_batch_size=8, seed=0)
        >>> data.splits["test"] = pairs_of_tensors(torch.eye(3), torch.eye(3))
        >>> judged = Judged(torch.eye(3), -torch.eye(3), "test", data, torch.clone, torch.clone, block_size=8)
        >>> metrics = Geometry([10.0], partners=False, items=8, raw=True, seed=0)(judged)
        >>> metrics["geometry/alignment"]  # the pairs' mean squared distance
        4.0
        >>> metrics["geometry/shuffled/alignment"], metrics["raw/geometry/alignment"]
        (2.0, 0.0)
    """

    every_pass = False

    @checked("evaluation.geometry.")
    def __init__(
        self,
        kappas: Annotated[list[Annotated[float, above(0), at_most(LARGEST_KAPPA)]], not_empty],
        partners: bool,
        items: Annotated[int, at_least(2)],
        raw: bool,
        seed: Seed,
    ):
        self.kappas = [float(kappa) for kappa in kappas]
        self.partners = partners
        self.items = items
        self.raw = raw
        self.seed = seed

    def __call__(self, judged: Judged) -> dict[str, float]:
        pairs = judged.pairs
        metrics = self._shape(judged, "embeddings", judged.x, judged.y)
        if self.raw and pairs.dims[0] == pairs.dims[1]:
            x, y = (encoded(rows, as_it_is, judged.block_size) for rows in (pairs.x, pairs.y))
            metrics |= {f"raw/{key}": value for key, value in self._shape(judged, "raw features", x, y).items()}
        return metrics

    def _shape(self, judged: Judged, title: str, x: Tensor, y: Tensor) -> dict[str, float]:
        pairs, names, block_size = judged.pairs, judged.names, judged.block_size
        metrics = evaluate_geometry(x, y, pairs.group, pairs.y_group, *names, block_size)
        others = shuffled(pairs.y_group, self.seed)
        if others is not None:
            for key, judge in (("alignment", alignment), ("potential", potential)):
                metrics[f"shuffled/{key}"] = judge(x, y, pairs.group, others)
        # float32 embeddings have some seven digits: what comes after them is noise, and differs with the processes
        told = {f"geometry/{key}": round(value, 6) for key, value in metrics.items()}
        if others is None:  # of a single group there is no item that is no partner
            return told
        generator = torch.Generator().manual_seed(self.seed)
        i, j = (torch.randperm(len(rows), generator=generator)[: self.items].sort().values for rows in (x, y))
        pairings = [None] if self.partners else [(pairs.group[i], of[j]) for of in (pairs.y_group, others)]
        if min(len(set(group.tolist())) for group in (pairs.group[i], pairs.y_group[j])) < 2:
            return told
        found, *control = densities_without(x[i], y[j], self.kappas, block_size, True, pairings)
        judged.densities[title] = found
        named = named_densities(found, *names)
        for at in (each for of_control in control for each in of_control):
            named[f"shuffled/kappa{at.kappa:g}/divergence"] = at.divergence
        # a log density is kappa times as noisy as a cosine
        return told | {f"geometry/{key}": round(value, 4) for key, value in named.items()}


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
