"""``ranks.safetensors``: the rank of every test query, what paired tests and reports are made from."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from evaluation.judged import Judged


def rank_tensors(prefix: str, judged: Judged) -> dict[str, Tensor]:
    """For each direction, under names as ``test/image_to_text/rank``, int64 tensors.

    ``rank`` (q,) of the best-ranked positive of each query, from 1: the ranks that the metrics were computed from;
    ``index`` (q,) the row of the query's item in its split; ``group`` (q,) its group; ``gallery_size`` (), the number
    of items that were ranked.
    """
    groups = (judged.pairs.group, judged.pairs.y_group)
    tensors: dict[str, Tensor] = {}
    for (way, ranks), group, gallery in zip(judged.ranks.items(), groups, groups[::-1], strict=True):
        of_way = {
            "rank": ranks,
            "index": torch.arange(len(ranks)),
            "group": group,
            "gallery_size": torch.tensor(len(gallery)),
        }
        tensors |= {f"{prefix}/{way}/{name}": tensor for name, tensor in of_way.items()}
    return tensors


def write_ranks(path: Path, tests: dict[str, Judged]) -> None:
    """The ranks of each test, by its prefix; the header says ``x_name`` and ``y_name``."""
    tensors: dict[str, Tensor] = {}
    for prefix, judged in tests.items():
        tensors |= rank_tensors(prefix, judged)
    x_name, y_name = next(iter(tests.values())).names
    # copies: a file takes no two tensors of one memory
    save_file(
        {name: each.clone().contiguous() for name, each in tensors.items()}, path, {"x_name": x_name, "y_name": y_name}
    )
