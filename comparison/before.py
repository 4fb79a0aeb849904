"""The map of both modalities before anything is aligned: raw features have no common axes, and pairs lie apart."""

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import normalize

from datamodules.base.datamodule import PairsDataModule
from report.figures.embedding_plots import embedding_map, t_sne
from report.figures.plot_style import name_figure

ITEMS = 200


def raw_map(datamodule: PairsDataModule, data: str) -> Figure | None:
    """t-SNE of the raw features of some test pairs, each modality by its leading principal components.

    As many of these as the smaller modality has dimensions, at most 50; None of fewer than three pairs.
    """
    pairs = datamodule.splits["test"]
    rows = (pairs.first_y >= 0).nonzero()[:, 0]
    rows = rows[torch.linspace(0, len(rows) - 1, min(ITEMS, len(rows))).round().long()]
    if len(rows) < 3:
        return None
    k = min(50, len(rows) - 1, *pairs.dims)
    x, y = _leading(pairs.x[rows], k), _leading(pairs.y[pairs.first_y[rows]], k)
    of_x, of_y = t_sne(x, y, seed=0)
    partners = torch.arange(len(rows))[:, None].expand(-1, 2)
    names = (datamodule.x_name, datamodule.y_name)
    title = f"t-SNE of {len(rows)} test {names[0]}s and {names[1]}s, raw features"
    figure = embedding_map(of_x, of_y, None, None, partners, [], names, title)
    name_figure(figure, f"{data}, test split")
    return figure


def _leading(rows: Tensor, k: int) -> Tensor:
    rows = normalize(rows.float())
    U, s, _ = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    leading: Tensor = U[:, :k] * s[:k]
    return leading
