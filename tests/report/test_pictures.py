"""The figures that a run has, drawn from what its evaluation kept."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from aligners.closed_form import CCA
from aligners.gradient import SGDCLIP
from aligners.unicon import UniConSpectral
from datamodules.pairs.pairs import Pairs
from datamodules.synthetic import SyntheticDataModule
from evaluation.callback import Evaluation
from ground.configs import CONFIGS
from report.figures.contrast_weights import departure
from report.pictures import PASSES_SHOWN, SPLITS, Pictures, confusion
from tests.evaluation.fits import fitted, made, synthetic
from tests.report.drawing import draw as drawn

ALWAYS = {
    "recall_over_passes", "singular_values", "similarity_matrix", "geometry_over_kappa", "confusion_matrix",
}  # fmt: skip
LINEAR: dict[str, Any] = {"rank": 4, "feature_map": "identity", "tau": 0.2, "lam": 1.0, "weight_power": 1.0}


Run = tuple[Evaluation, UniConSpectral, SyntheticDataModule]


def pictures(**changed: int) -> Pictures:
    config = OmegaConf.load(CONFIGS / "report" / "default.yaml")
    made_ones: Pictures = instantiate(OmegaConf.merge(config, {"sheet_items": 2}, changed))
    return made_ones


def run(of: Pictures) -> Run:
    aligner, datamodule = UniConSpectral(**LINEAR, passes=8, tolerance=0.0), synthetic()
    evaluation = made()
    evaluation.judges |= of.judges
    fitted(aligner, datamodule, evaluation=evaluation, max_epochs=20)
    return evaluation, aligner, datamodule


ALL = {"tsne_items": 12, "weights_items": 9}


@pytest.fixture(scope="module")
def asked() -> tuple[Pictures, Run]:
    """A run that asks for all figures."""
    of = pictures(**ALL)
    return of, run(of)


def heat_maps(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_a_map_and_weights_are_drawn_only_when_asked_for(
    asked: tuple[Pictures, Run],
) -> None:
    of, parts = asked
    figures = of.draw(*parts, "unicon on synthetic")
    solved = {"objective_over_passes", "model_over_passes", "weights_over_passes"}
    assert set(figures) == ALWAYS | solved | {"embedding_map", "class_map"}
    for name, figure in figures.items():
        assert f"unicon on synthetic, {SPLITS[name]} split" in drawn(figure)
    assert pictures().judges == {}
    evaluation = fitted(CCA(rank=4), datamodule := synthetic())
    assert set(pictures().draw(evaluation, CCA(rank=4), datamodule, "cca on synthetic")) == ALWAYS - {"singular_values"}


def test_one_item_of_each_modality_is_no_map(asked: tuple[Pictures, Run]) -> None:
    _, parts = asked
    assert "embedding_map" not in pictures(tsne_items=1).draw(*parts, "unicon on synthetic")
    of_two = pictures(tsne_items=2).draw(*parts, "unicon on synthetic")
    assert "embedding_map" in of_two
    assert "class_map" not in of_two
    assert "class_map" in pictures(tsne_items=3).draw(*parts, "unicon on synthetic")


def test_an_aligner_without_an_objective_has_no_weights() -> None:
    aligner, datamodule, of, evaluation = CCA(rank=4), synthetic(), pictures(weights_items=9), made()
    evaluation.judges |= of.judges
    fitted(aligner, datamodule, evaluation=evaluation)
    assert of.similarities.passes
    assert "weights_over_passes" not in of.draw(evaluation, aligner, datamodule, "cca on synthetic")


def test_the_map_has_both_modalities_and_the_classes(
    asked: tuple[Pictures, Run],
) -> None:
    of, parts = asked
    figure = of.draw(*parts, "unicon on synthetic")["embedding_map"]
    texts = set(drawn(figure))
    assert "t-SNE of 12 test xs and ys" in texts
    assert [len(each.get_offsets()) for each in figure.axes[0].collections] == [12, 12]
    assert len(figure.axes[0].lines) == 12
    label = parts[2].splits["test"].label
    assert label is not None
    assert {f"centre {c}" for c in label.unique().tolist()} <= texts


def test_the_class_map_has_x_alone_and_says_how_well_classes_are_told(asked: tuple[Pictures, Run]) -> None:
    of, parts = asked
    figure = of.draw(*parts, "unicon on synthetic")["class_map"]
    accuracy = parts[0].metrics["test/linear_probe/accuracy"]
    assert f"t-SNE of 12 test xs, 4-d, by class; linear probe {accuracy:.1f} %" in drawn(figure)
    assert sum(len(each.get_offsets()) for each in figure.axes[0].collections) == 12


def test_the_record_of_the_fit_is_what_is_drawn(asked: tuple[Pictures, Run]) -> None:
    of, parts = asked
    evaluation, aligner, _ = parts
    figures = of.draw(*parts, "unicon on synthetic")
    record = aligner.passes_record
    norms, turns = figures["model_over_passes"].axes
    assert norms.lines[0].get_ydata().tolist() == [told["model_norm"] for told in record]
    lines = {str(line.get_label()): line.get_xydata().tolist() for line in turns.lines}
    assert lines["x, largest"] == [[i, told["largest_angle_x"]] for i, told in enumerate(record) if i]
    assert lines["y, mean"] == [[i, told["mean_angle_y"]] for i, told in enumerate(record) if i]
    kept = f"pass {evaluation.metrics['fit/kept_pass']}, kept"
    assert kept in drawn(figures["model_over_passes"])
    assert kept in drawn(figures["objective_over_passes"])


def test_epochs_are_drawn_as_their_losses() -> None:
    aligner, datamodule = SGDCLIP(rank=4), synthetic()
    evaluation = fitted(aligner, datamodule, max_epochs=3)
    figures = pictures().draw(evaluation, aligner, datamodule, "sgd_clip on synthetic")
    assert "model_over_passes" not in figures
    curve = figures["objective_over_passes"].axes[0].lines[0].get_xydata().tolist()
    assert curve == [[i, told["objective"]] for i, told in enumerate(aligner.passes_record, 1)]
    assert len(curve) == 3


def test_weights_are_those_of_the_objective_at_the_cosines_after_each_pass(
    asked: tuple[Pictures, Run],
) -> None:
    of, parts = asked
    _, aligner, datamodule = parts
    figure = of.draw(*parts, "unicon on synthetic")["weights_over_passes"]
    titles = [text for text in drawn(figure) if "uniform" in text]
    shown = heat_maps(figure)
    n_passes = len(of.similarities.passes)
    assert len(shown) == len(titles) == min(n_passes, PASSES_SHOWN)
    assert titles[0].startswith("pass 0:")
    assert titles[-1].startswith(f"pass {n_passes - 1}:")
    label = datamodule.splits["val"].label
    assert label is not None
    order = torch.argsort(label[:9], stable=True)
    positives = torch.eye(9, dtype=torch.bool)
    objective = aligner.fitted_objective
    assert objective is not None
    similarity = of.similarities.passes[-1][1].double()[order][:, order]
    weights = objective.weights(similarity, positives)
    np.testing.assert_allclose(shown[-1], weights)
    far = departure(weights, objective.weights(torch.zeros_like(similarity), positives), positives)
    assert f"{far.matrix:.1f} % off uniform" in titles[-1]
    assert f"negatives {far.negatives:.0f} %" in titles[-1]


def test_confusion_of_the_probe_and_of_raw_features(
    asked: tuple[Pictures, Run],
) -> None:
    evaluation = asked[1][0]
    judged = evaluation.tests["test"]
    found = confusion(judged)
    assert found is not None
    assert found["classes"] == ["centre 0", "centre 1", "centre 2"]
    for key, metric in (
        ("linear probe", "test/linear_probe/accuracy"),
        ("raw features", "test/raw/linear_probe/accuracy"),
    ):
        counts = np.asarray(found["counts"][key])
        assert counts.sum() == 20
        assert 100 * counts.trace() / 20 == pytest.approx(evaluation.metrics[metric])
    without_raw = dataclasses.replace(judged, probes={"linear probe": judged.probes["linear probe"]})
    assert list((confusion(without_raw) or {})["counts"]) == ["linear probe"]
    assert confusion(dataclasses.replace(judged, probes={})) is None


def test_without_labels_the_map_has_no_classes(asked: tuple[Pictures, Run]) -> None:
    of, parts = asked
    datamodule = parts[2]
    splits = dict(datamodule.splits)
    for name, pairs in splits.items():
        datamodule.splits[name] = Pairs(pairs.x, pairs.y, pairs.x_of_y, pairs.group)
    try:
        figures = of.draw(*parts, "unicon on synthetic")
    finally:
        datamodule.splits = splits
    assert not figures["embedding_map"].axes[0].texts
    assert "class_map" not in figures
    assert len(heat_maps(figures["weights_over_passes"])[0]) == 9
