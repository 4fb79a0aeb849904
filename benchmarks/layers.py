"""Which layers of two encoders agree most on who is near to whom: ``python -m benchmarks.layers``.

The layers are those that stand beside each other in a row: of a backbone that takes ``layers``, as MiniLM does, or of a
features file that says ``x_layers`` or ``y_layers``. What the data is, is said as to train.py. Each pair of layers is
measured by the mutual nearest neighbours of training items, as STRUCTURE chooses its layers (Gröger et al., NeurIPS
2025), and the best pair is told. The bundled image encoders give one layer, of which there is nothing to choose.
"""

import math
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.record import Parser, Record, command, positive, table
from datamodules.base.datamodule import PairsDataModule
from evaluation.mutual_knn import neighbours, shared
from ground.configs import CONFIGS
from ground.errors import UserError
from ground.home import expand_home
from ground.values import check


def parsed(argv: Sequence[str]) -> Namespace:
    parser = Parser("python -m benchmarks.layers", description=__doc__)
    parser.add_argument("data", nargs="*", metavar="KEY=VALUE", help="what the data is, as to train.py")
    parser.add_argument("--k", type=positive, help="neighbours of an item; default: 2 n^(1/3) of n items, Rice's rule")
    parser.add_argument("--items", type=positive, default=5000, help="training items, drawn by the seed; default: 5000")
    return parser.parse_args(argv)


def config_of(overrides: Sequence[str]) -> DictConfig:
    """A run's config: of it the data is taken, and the seed."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", overrides=[*overrides, "run_dir=none", "aligner_name=none", "name=none"])
    expand_home(config)
    check(config)
    return config


def items(data: PairsDataModule, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """As many training items, or all: their x (n, d_x), and of each its first y (n, d_y)."""
    pairs = data.splits["train"]
    with_y = (pairs.first_y >= 0).nonzero()[:, 0]
    order = torch.randperm(len(with_y), generator=torch.Generator().manual_seed(seed))
    drawn = with_y[order[:n]].sort().values
    return pairs.x[drawn].float(), pairs.y[pairs.first_y[drawn]].float()


def prepared(rows: Tensor, layers: int) -> list[Tensor]:
    """The layers (n, d / layers) of rows (n, d), each as aligners see it: less its mean, and of length 1."""
    return [normalize(each - each.mean(0)) for each in rows.chunk(layers, dim=1)]


def names_of(data: PairsDataModule, side: str) -> list[str]:
    """What the layers of x or y are called: their numbers in the network, where a backbone says them."""
    number = data.layers["xy".index(side)]
    told = getattr(getattr(data, f"{side}_backbone", None), "layers", None)
    return ["own"] if number == 1 and told is None else [str(each) for each in (told or range(number))]


def main(argv: Sequence[str]) -> None:
    arguments = parsed(argv)
    config = config_of(arguments.data)
    record = Record("layers", {"data": arguments.data, "k": arguments.k, "items": arguments.items})
    data = instantiate(config.datamodule)
    data.prepare_data()
    data.setup("fit")
    rows = items(data, arguments.items, config.seed)
    n = len(rows[0])
    k = arguments.k or math.ceil(2 * n ** (1 / 3))
    if k >= n:
        raise UserError(f"{n} training items have no {k} others each: take a smaller --k")
    near = [
        [neighbours(each, k) for each in prepared(of, number)] for of, number in zip(rows, data.layers, strict=True)
    ]
    names = [names_of(data, side) for side in "xy"]
    alignment = [[shared(of_x, of_y) for of_y in near[1]] for of_x in near[0]]
    best, i, j = max((value, -i, -j) for i, of_x in enumerate(alignment) for j, value in enumerate(of_x))
    chosen: dict[str, Any] = {data.x_name: names[0][-i], data.y_name: names[1][-j], "mutual_knn": best}
    record.save(items=n, neighbours=k, layers=dict(zip("xy", names, strict=True)), mutual_knn=alignment, chosen=chosen)
    shown = [[name, *(f"{100 * value:.2f}" for value in of_x)] for name, of_x in zip(names[0], alignment, strict=True)]
    title = f"mutual {k} nearest neighbours of {n:,} training items, in percent (of chance {100 * k / (n - 1):.2f})"
    record.show(table(title, [f"{data.x_name} \\ {data.y_name} layer", *names[1]], shown))
    for name, of in ((data.x_name, names[0]), (data.y_name, names[1])):
        if len(of) == 1:
            print(f"{name}: one layer, nothing to choose")
    print(f"chosen: {data.x_name} layer {chosen[data.x_name]}, {data.y_name} layer {chosen[data.y_name]}")


if __name__ == "__main__":
    command(main)
