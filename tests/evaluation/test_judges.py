"""What the judges say of a fitted aligner, and judges of one's own."""

from dataclasses import replace

import pytest
import torch
from hydra.errors import InstantiationException
from torch import Tensor

from aligners.closed_form import CCA
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import Labelled
from evaluation.judged import Judged
from evaluation.linear_probe import linear_probe
from evaluation.probes import Probe
from evaluation.scoring import COSINE, Scorer
from ground.mistakes import user_line
from report.tables import directions
from tests.evaluation.fits import fitted, made, shared


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
