"""What the judges say of a fitted aligner, and judges of one's own."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException
from torch import Tensor

from aligners.closed_form import CCA
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.arrays import pairs_of_tensors
from datamodules.pairs.pairs import Labelled
from evaluation.densities import densities
from evaluation.geometry import effective_rank, potential, shuffled
from evaluation.judged import Judged
from evaluation.judges import Geometry
from evaluation.linear_probe import linear_probe
from evaluation.probes import Probe
from evaluation.scoring import COSINE, Scorer
from ground.mistakes import user_line
from report.tables import directions
from tests.evaluation.fits import fitted, made, shared
from tests.problems import random_features


def test_no_labels_no_probe() -> None:
    evaluation = fitted(CCA(rank=4), shared())
    assert not evaluation.tests["test"].probes
    assert not any("probe" in key or "knn" in key for key in evaluation.metrics)
    assert "test/linear_probe/accuracy" in fitted(CCA(rank=4), shared(label=True)).metrics


def test_an_aligner_with_a_score_is_ranked_by_it() -> None:
    class Opposed(CCA):
        def score(self, x: Tensor, y: Tensor) -> Tensor:
            assert x.ndim == y.ndim == 2
            return -(x @ y.T).round(decimals=5)

    opposed, plain = fitted(Opposed(rank=4), shared(label=True)), fitted(CCA(rank=4), shared(label=True))
    assert not torch.equal(opposed.tests["test"].ranks["image_to_text"], plain.tests["test"].ranks["image_to_text"])
    judged = opposed.tests["test"]
    pairs, score = judged.pairs, -(judged.x @ judged.y.T).round(decimals=5)
    positive = pairs.group[:, None] == pairs.y_group
    best = score.masked_fill(~positive, -torch.inf).amax(1, keepdim=True)
    assert judged.ranks["image_to_text"].tolist() == ((score >= best) & ~positive).sum(1).add(1).tolist()
    hits = pairs.label[pairs.x_of_y][score.argmax(1)] == pairs.label  # type: ignore[index]
    assert opposed.metrics["test/image_to_text/class_accuracy"] == pytest.approx(100 * float(hits.double().mean()))


def test_a_judge_of_ones_own_is_asked_and_null_leaves_one_out() -> None:
    class Mine:
        every_pass = True

        def __call__(self, judged: Judged) -> dict[str, float]:
            rows = judged.encode_y(judged.datamodule.splits["train"].y[torch.arange(2)])
            return {"mine/width": float(rows.shape[1]), "mine/after": judged.after}

    evaluation = made(geometry=None)
    evaluation.judges["mine"] = Mine()
    metrics = fitted(CCA(rank=4), shared(), evaluation=evaluation).metrics
    assert metrics["test/mine/width"] == 4
    assert [row["mine/width"] for row in evaluation.history] == [4]
    assert not any("geometry" in key for key in metrics)
    assert "test/geometry/alignment" in fitted(CCA(rank=4), shared()).metrics


def test_the_shape_of_the_shared_space_and_of_raw_features_of_one_dimension() -> None:
    evaluation = fitted(CCA(rank=4), shared())
    metrics = {key.removeprefix("test/geometry/"): value for key, value in evaluation.metrics.items()}
    judged = evaluation.tests["test"]
    group, y_group = judged.pairs.group, judged.pairs.y_group
    at = densities(judged.x, judged.y, [20.0], 8, leave_one_out=True, partners=(group, y_group))[0]
    assert metrics["kappa20/divergence"] == pytest.approx(at.divergence, abs=1e-4)
    assert metrics["image/kappa20/entropy"] == pytest.approx(at.entropies[0], abs=1e-4)
    assert metrics["text_to_image/kappa20/kl"] == pytest.approx(at.divergences[1], abs=1e-4)
    assert metrics["image_to_text/kappa20/conditional_entropy"] == pytest.approx(at.conditional[0], abs=1e-4)
    assert metrics["text/effective_rank"] == pytest.approx(effective_rank(judged.y), abs=1e-6)
    other = shuffled(y_group, 0)
    assert other is not None
    assert metrics["shuffled/potential"] == pytest.approx(potential(judged.x, judged.y, group, other), abs=1e-6)
    assert metrics["shuffled/potential"] > metrics["potential"]
    control = densities(judged.x, judged.y, [20.0], 8, leave_one_out=True, partners=(group, other))[0]
    assert metrics["shuffled/kappa20/divergence"] == pytest.approx(control.divergence, abs=1e-4)
    assert [each.kappa for each in judged.densities["embeddings"]] == [5, 10, 20, 50, 100]
    assert not any(key.startswith("test/raw/geometry") for key in evaluation.metrics)  # of 12 and 9 dimensions


def test_raw_features_and_a_bound_on_the_items_of_densities() -> None:
    datamodule = PairsDataModule(batch_size=16, eval_batch_size=16, seed=0)
    x, y, x_of_y = random_features(40, 2, 6, 6, seed=0)
    datamodule.splits = dict.fromkeys(("train", "val", "test"), pairs_of_tensors(x, y, x_of_y=x_of_y))
    whole, bounded, other, without = (
        Geometry([10.0], False, items, raw, seed)
        for items, raw, seed in ((80, True, 0), (30, True, 0), (30, True, 1), (80, False, 0))
    )
    judged = Judged(x, y, "test", datamodule, torch.clone, torch.clone, block_size=16)
    metrics = whole(judged)
    assert set(judged.densities) == {"embeddings", "raw features"}
    assert all(metrics[f"raw/{key}"] == value for key, value in metrics.items() if not key.startswith("raw/"))
    assert without(judged) == {key: value for key, value in metrics.items() if not key.startswith("raw/")}
    drawn = bounded(judged)
    moved = {key.split("/")[-1] for key in metrics if drawn[key] != metrics[key]}
    assert moved == {"divergence", "entropy", "kl", "conditional_entropy"}
    assert bounded(judged) == drawn
    assert other(judged)["geometry/kappa10/divergence"] != drawn["geometry/kappa10/divergence"]


@pytest.mark.parametrize("partners", [False, True])
def test_pairs_that_are_shuffled_leave_what_knows_no_pairs_alone(partners: bool) -> None:
    x, y, x_of_y = random_features(40, 2, 6, 6, seed=0)
    told = []
    for owners in (x_of_y, (x_of_y + 7) % 40):
        datamodule = PairsDataModule(batch_size=16, eval_batch_size=16, seed=0)
        datamodule.splits["test"] = pairs_of_tensors(x, y, x_of_y=owners)
        judged = Judged(x, y, "test", datamodule, torch.clone, torch.clone, block_size=16)
        told.append(Geometry([10.0], partners, 80, False, 0)(judged))
    moved = {key for key in told[0] if told[0][key] != told[1][key]}
    of_pairs = {"alignment", "potential"} | (set() if partners else {"kappa10/divergence"})
    expected = {f"geometry/{control}{key}" for key in of_pairs for control in ("", "shuffled/")}
    ways = set() if partners else {f"geometry/{way}/kappa10/kl" for way in ("x_to_y", "y_to_x")}
    assert moved == expected | ways


def test_a_space_of_one_item_has_no_densities() -> None:
    datamodule = PairsDataModule(batch_size=16, eval_batch_size=16, seed=0)
    x, y = torch.eye(1, 3), torch.eye(2, 3)
    datamodule.splits["test"] = pairs_of_tensors(x, y, x_of_y=torch.zeros(2, dtype=torch.int64))
    judged = Judged(x, y, "test", datamodule, torch.clone, torch.clone, block_size=16)
    metrics = Geometry([10.0], False, 80, True, 0)(judged)
    assert "geometry/alignment" in metrics
    assert not any("kappa" in key or "shuffled" in key for key in metrics)
    assert judged.densities == {}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"kappas": []}, "evaluation.geometry.kappas must be a list of at least one, got []"),
        ({"kappas": [301]}, "evaluation.geometry.kappas must be above 0 and at most 300, got 301"),
        ({"kappas": [0]}, "evaluation.geometry.kappas must be above 0 and at most 300, got 0"),
        ({"items": 1}, "evaluation.geometry.items must be at least 2, got 1"),
    ],
)
def test_settings_of_the_geometry(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(InstantiationException) as told:
        made(geometry=settings)
    assert str(user_line(told.value, [])) == line


def test_what_is_no_judge_is_named() -> None:
    for key, line in (("keeep", "did you mean 'evaluation.keep'"), ("tsne_items", "it is 'report.tsne_items' now")):
        with pytest.raises(InstantiationException) as told:
            made(**{key: 3})
        assert line in str(user_line(told.value, []))


def test_raw_features_are_probed_beside_the_embeddings() -> None:
    datamodule = shared(label=True)
    evaluation = fitted(CCA(rank=4), datamodule)
    train, test = datamodule.splits["train"], datamodule.splits["test"]
    every = [torch.arange(pairs.n_x) for pairs in (train, test)]
    assert train.label is not None
    assert test.label is not None
    probe = evaluation.judges["probe"]
    assert isinstance(probe, Probe)
    settings = (probe.strengths, probe.holdout, probe.seed)
    expected = linear_probe(train.x[every[0]], train.label, test.x[every[1]], test.label, *settings)
    assert evaluation.metrics["test/raw/linear_probe/accuracy"] == expected.accuracy
    assert torch.equal(evaluation.tests["test"].probes["raw features"].confusion, expected.confusion)
    assert 0 <= float(evaluation.metrics["test/raw/knn/accuracy"]) <= 100
    without = made(probe={"raw": False})
    fitted(CCA(rank=4), datamodule, evaluation=without)
    assert list(without.tests["test"].probes) == ["linear probe"]
    assert not [key for key in without.metrics if "raw" in key]


def test_probes_on_test_sets_under_a_shift() -> None:
    datamodule = shared(label=True)
    test = datamodule.splits["test"]
    assert test.label is not None
    rows = test.x[torch.arange(31)]
    datamodule.shifted = {"same": Labelled(rows, test.label), "wrong": Labelled(rows, test.label + 10)}
    metrics = fitted(CCA(rank=4), datamodule).metrics
    for prefix in ("test/", "test/raw/"):
        accuracy = metrics[f"{prefix}linear_probe/accuracy"]
        assert metrics[f"{prefix}shifted/same/linear_probe"] == accuracy
        assert metrics[f"{prefix}shifted/wrong/linear_probe"] == 0
        assert metrics[f"{prefix}shifted/mean_linear_probe"] == pytest.approx(float(accuracy) / 2)


def test_a_probe_is_fitted_on_what_the_datamodule_says(monkeypatch: pytest.MonkeyPatch) -> None:
    datamodule = shared(label=True)
    test = datamodule.splits["test"]
    assert test.label is not None
    known = Labelled(test.x, test.label)
    monkeypatch.setattr(PairsDataModule, "probe_train", known)
    metrics = fitted(CCA(rank=4), datamodule, evaluation=made(probe={"neighbours": 1})).metrics
    assert metrics["test/knn/accuracy"] == metrics["test/raw/knn/accuracy"] == 100  # each is its own neighbour


def test_the_domain_has_a_probe_where_there_are_domains() -> None:
    assert not any("domain" in key for key in fitted(CCA(rank=4), shared(label=True)).metrics)
    datamodule = shared(domain=True)
    evaluation = made(domain_probe={"every_pass": True})
    metrics = fitted(CCA(rank=4), datamodule, evaluation=evaluation).metrics
    judged, train = evaluation.tests["test"], datamodule.domain_train
    assert train is not None
    rows = judged.encode_x(train.x[torch.arange(60)])
    domain = datamodule.splits["test"].domain
    assert domain is not None
    settings = ([0.001, 0.01, 0.1, 1.0, 10.0], 0.2, 0)
    assert (
        metrics["test/domain_probe/accuracy"] == linear_probe(rows, train.label, judged.x, domain, *settings).accuracy
    )
    raw = (train.x[torch.arange(60)], train.label, datamodule.splits["test"].x[torch.arange(31)], domain)
    assert metrics["test/raw/domain_probe/accuracy"] == linear_probe(*raw, *settings).accuracy > 60
    assert all("domain_probe/accuracy" in entry for entry in evaluation.history)
    assert not any("linear_probe" in key for key in metrics)
    for split, pairs in datamodule.splits.items():  # one domain alone: there is nothing to tell
        datamodule.splits[split] = replace(pairs, domain=torch.zeros(pairs.n_x, dtype=torch.int64))
    assert not any("domain" in key for key in fitted(CCA(rank=4), datamodule).metrics)


def test_class_accuracy_where_there_are_labels() -> None:
    evaluation = fitted(CCA(rank=4), shared(label=True))
    ways = [evaluation.metrics[f"test/{way}/class_accuracy"] for way in ("image_to_text", "text_to_image")]
    assert evaluation.metrics["test/class_accuracy"] == pytest.approx(sum(map(float, ways)) / 2)
    assert all("class_accuracy" in entry for entry in evaluation.history)
    assert "test/class_accuracy" not in fitted(CCA(rank=4), shared()).metrics


def test_coco_ids_bring_the_extended_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    datamodule = shared()
    pairs = datamodule.splits["test"]
    ids = torch.arange(pairs.n_x) + 100, torch.arange(pairs.n_y) + 500

    def judged(
        x: Tensor, y: Tensor, image_ids: Tensor, caption_ids: Tensor, block_size: int, scorer: Scorer
    ) -> dict[str, float]:
        assert scorer is COSINE
        assert (len(x), len(y), block_size) == (pairs.n_x, pairs.n_y, 1024)
        return {"eccv/image_to_text/R@1": float(image_ids[0] + caption_ids[0])}

    monkeypatch.setattr("evaluation.judges.extended_retrieval", judged)
    assert "test/eccv/image_to_text/R@1" not in fitted(CCA(rank=4), datamodule).metrics
    monkeypatch.setattr(PairsDataModule, "coco_ids", ids)
    metrics = fitted(CCA(rank=4), datamodule).metrics
    assert metrics["test/eccv/image_to_text/R@1"] == 600
    assert directions(metrics) == ["image_to_text", "text_to_image"]  # the table has no row of it
