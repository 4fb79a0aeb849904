"""Densities over kappa, drawn."""

import pytest

from evaluation.densities import Densities
from report.figures.geometry_plots import over_kappa
from tests.report.drawing import HARD, draw


def found(shift: float) -> list[Densities]:
    return [Densities(k, (shift - k, shift), (shift, shift + 2 * k), (0.0, 0.0)) for k in (5.0, 10.0, 100.0)]


def test_entropies_and_divergence_before_and_after() -> None:
    figure = over_kappa({"embeddings": found(1.0), "raw features": found(2.0)}, "image", "text")
    texts = draw(figure)
    assert {"entropy (nats)", "symmetric divergence D (nats)", "embeddings: image", "raw features: text"} <= set(texts)
    entropies, divergence = ({line.get_label(): line for line in axes.lines} for axes in figure.axes)
    assert entropies["embeddings: image"].get_xydata().tolist() == [[5, -4], [10, -9], [100, -99]]
    assert entropies["raw features: text"].get_ydata().tolist() == [2, 2, 2]
    assert divergence["raw features: divergence"].get_ydata().tolist() == [7, 12, 102]
    styles = {entropies[f"{title}: image"].get_linestyle() for title in ("embeddings", "raw features")}
    assert len(styles) == 2


@pytest.mark.parametrize("name", HARD)
def test_any_name_and_a_single_kappa(name: str) -> None:
    draw(over_kappa({"embeddings": found(1.0)[:1]}, name, "text"))


def test_nothing_is_refused() -> None:
    for nothing in ({}, {"embeddings": []}):
        with pytest.raises(ValueError, match="no densities"):
            over_kappa(nothing, "image", "text")
