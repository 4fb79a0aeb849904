"""The evaluation callback under a Trainer."""

import time
from typing import Any

import pytest
import torch
from torch import Tensor

from aligners.base.aligner import Aligner
from aligners.closed_form import CCA
from aligners.gradient import SGDCLIP
from aligners.unicon import UniConSpectral
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.arrays import pairs_of_tensors
from datamodules.pairs.pairs import Labelled
from evaluation.callback import Evaluation
from evaluation.linear_probe import linear_probe
from evaluation.retrieval import evaluate_retrieval
from ground.errors import UserError
from report.tables import directions
from tests.evaluation.runs import fitted, made, synthetic
from tests.problems import random_features


def shared(**changed: Any) -> PairsDataModule:
    """Captions many to one, in uneven evaluation batches."""
    datamodule = PairsDataModule(batch_size=16, eval_batch_size=7, seed=0)
    datamodule.x_name, datamodule.y_name = "image", "text"
    for number, (split, n) in enumerate((("train", 60), ("val", 23), ("test", 31))):
        x, y, x_of_y = random_features(n, 3, 12, 9, seed=number)
        group = torch.arange(n)
        group[1] = group[0]
        label = torch.arange(n) % 3 if changed.get("label") else None
        datamodule.splits[split] = pairs_of_tensors(x, y, x_of_y=x_of_y, group=group, label=label)
    return datamodule


def test_uneven_batches_give_the_metrics_of_the_whole() -> None:
    aligner, datamodule = CCA(rank=4), shared()
    evaluation = fitted(aligner, datamodule)
    pairs = datamodule.splits["test"]
    y_group = pairs.group[pairs.x_of_y]
    aligner.eval()
    with torch.no_grad():
        x, y = aligner.encode_x(pairs.x), aligner.encode_y(pairs.y)
    expected = evaluate_retrieval(x, y, pairs.group, y_group, "image", "text", 1024)
    for key, value in expected.items():
        assert evaluation.metrics[f"test/{key}"] == pytest.approx(value)
    assert evaluation.embeddings is not None
    torch.testing.assert_close(evaluation.embeddings[0], x)
    torch.testing.assert_close(evaluation.embeddings[1], y)
    assert evaluation.metrics["protocol/test_image"] == 31
    assert evaluation.metrics["protocol/test_text"] == 93


def test_no_labels_no_probe() -> None:
    evaluation = fitted(CCA(rank=4), shared())
    assert evaluation.probe_result is None
    assert not any("probe" in key or "knn" in key for key in evaluation.metrics)
    assert "test/linear_probe/accuracy" in fitted(CCA(rank=4), shared(label=True)).metrics


def test_the_sanity_check_logs_nothing() -> None:
    aligner = UniConSpectral(rank=4, feature_map="identity", passes=2, tolerance=0.0)
    evaluation = fitted(aligner, synthetic(), num_sanity_val_steps=-1)
    assert [record["pass"] for record in evaluation.history] == list(range(len(evaluation.history)))
    assert len(evaluation.history) == evaluation.metrics["fit/passes"]
    # and no part of it is left over in the first validation
    assert (
        evaluation.history
        == fitted(
            UniConSpectral(rank=4, feature_map="identity", passes=2, tolerance=0.0), synthetic(), num_sanity_val_steps=0
        ).history
    )


def test_a_sanity_check_of_some_batches_passes() -> None:
    evaluation = fitted(CCA(rank=4), shared(), num_sanity_val_steps=1)
    assert len(evaluation.history) == 1


def test_k_above_the_gallery_is_all_of_it() -> None:
    evaluation = fitted(CCA(rank=4), synthetic(n_val=3, n_test=4))
    assert evaluation.metrics["test/x_to_y/R@5"] == 100
    assert evaluation.metrics["test/y_to_x/R@10"] == 100


def test_validation_may_be_left_out() -> None:
    evaluation = fitted(CCA(rank=4), synthetic(), limit_val_batches=0)
    assert evaluation.history == []
    assert evaluation.metrics["test/mean_recall"] > 0
    assert evaluation.metrics["time/fit_seconds"] > 0


def test_fit_on_arrays_needs_no_validation() -> None:
    x, y, x_of_y = random_features(40, 2, 12, 9, seed=0)
    aligner = CCA(rank=4).fit(x.numpy(), y.numpy(), x_of_y=x_of_y.numpy())
    assert aligner.encode_y(y).shape == (80, 4)


def test_fit_time_leaves_validation_out(monkeypatch: pytest.MonkeyPatch) -> None:
    once = Evaluation.on_validation_batch_end

    def slow(self: Evaluation, *arguments: Any) -> None:
        time.sleep(0.5)
        once(self, *arguments)

    monkeypatch.setattr(Evaluation, "on_validation_batch_end", slow)
    evaluation = fitted(CCA(rank=4), synthetic(eval_batch_size=4))
    assert len(evaluation.history) == 1  # of five batches: 2.5 s
    assert 0 < evaluation.metrics["time/fit_seconds"] < 2


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("name", ["spectral", "gradient"])
def test_the_pass_that_is_kept_is_tested(keep: str, name: str) -> None:
    datamodule = shared()
    optimizer = {"_target_": "torch.optim.SGD", "lr": 500.0}  # so large that recall goes up and down
    aligner: Aligner = (
        UniConSpectral(rank=4, tau=0.01, eta=0.9, passes=5)
        if name == "spectral"
        else SGDCLIP(rank=4, optimizer=optimizer, scheduler=None)
    )
    torch.manual_seed(0)
    evaluation = fitted(aligner, datamodule, keep, max_epochs=6)
    recalls = [row["mean_recall"] for row in evaluation.history]
    best = recalls.index(max(recalls))
    assert best < len(recalls) - 1  # else the two would be one
    kept = evaluation.metrics["fit/kept_pass"]
    assert kept == (best if keep == "best" else len(recalls) - 1)
    pairs = datamodule.splits["val"]
    rows = (aligner.encode_x(pairs.x[torch.arange(pairs.n_x)]), aligner.encode_y(pairs.y[torch.arange(pairs.n_y)]))
    again = evaluate_retrieval(*(z.detach() for z in rows), pairs.group, pairs.y_group, "image", "text", 64)
    assert again["mean_recall"] == pytest.approx(recalls[kept])


def test_a_fit_that_diverged_is_said_so() -> None:
    optimizer = {"_target_": "torch.optim.SGD", "lr": 1e38}
    with pytest.raises(UserError, match="after pass 1: the fit diverged"):
        fitted(SGDCLIP(rank=4, head="mlp", optimizer=optimizer, scheduler=None), shared())


def test_raw_features_are_probed_beside_the_embeddings() -> None:
    datamodule = shared(label=True)
    evaluation = fitted(CCA(rank=4), datamodule)
    train, test = datamodule.splits["train"], datamodule.splits["test"]
    every = [torch.arange(pairs.n_x) for pairs in (train, test)]
    assert train.label is not None
    assert test.label is not None
    settings = [evaluation.probe[key] for key in ("strengths", "holdout", "seed")]  # type: ignore[literal-required]
    expected = linear_probe(train.x[every[0]], train.label, test.x[every[1]], test.label, *settings)
    assert evaluation.metrics["test/raw/linear_probe/accuracy"] == expected.accuracy
    assert evaluation.raw_probe_result is not None
    assert torch.equal(evaluation.raw_probe_result.confusion, expected.confusion)
    assert 0 <= float(evaluation.metrics["test/raw/knn/accuracy"]) <= 100
    without = made()
    without.probe["raw"] = False
    fitted(CCA(rank=4), datamodule, evaluation=without)
    assert without.raw_probe_result is None
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


def test_similarities_of_the_first_pairs_after_each_pass() -> None:
    aligner, datamodule = UniConSpectral(rank=4, feature_map="identity", passes=2, lam=1.0), shared()
    evaluation = fitted(aligner, datamodule, "last", made(weights_items=5, keep="last"))
    assert [number for number, _ in evaluation.similarities] == list(range(len(evaluation.history)))
    pairs = datamodule.splits["val"]
    x, y = aligner.encode_x(pairs.x[torch.arange(5)]), aligner.encode_y(pairs.y[torch.arange(0, 15, 3)])
    expected = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(y).T
    torch.testing.assert_close(evaluation.similarities[-1][1], expected)
    assert fitted(CCA(rank=4), shared()).similarities == []


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

    def judged(x: Tensor, y: Tensor, image_ids: Tensor, caption_ids: Tensor, block_size: int) -> dict[str, float]:
        assert (len(x), len(y), block_size) == (pairs.n_x, pairs.n_y, 1024)
        return {"eccv/image_to_text/R@1": float(image_ids[0] + caption_ids[0])}

    monkeypatch.setattr("evaluation.callback.extended_retrieval", judged)
    assert "test/eccv/image_to_text/R@1" not in fitted(CCA(rank=4), datamodule).metrics
    monkeypatch.setattr(PairsDataModule, "coco_ids", ids)
    metrics = fitted(CCA(rank=4), datamodule).metrics
    assert metrics["test/eccv/image_to_text/R@1"] == 600
    assert directions(metrics) == ["image_to_text", "text_to_image"]  # the table has no row of it
