"""A memory beside any aligner: weight 0 is plain, its term is added, it is chosen, saved, exported and told."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from aligners import CCA, SGDCLIP, UniConBatches, load
from datamodules.pairs.pairs import Pairs
from exporting.aligned_head import Head
from exporting.heads import head_of
from exporting.onnx_file import run_onnx, write_onnx
from ground.errors import UserError
from tests.aligners.runs import ranked, run_apart, run_here
from tests.evaluation.fits import fitted, shared

FIT = {"batch_size": 32, "max_epochs": 3}


def test_weight_zero_is_plain_cosine(pairs: Pairs) -> None:
    plain, zero = (CCA(rank=4, memory=weight).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y) for weight in (0.0, [0.0]))
    assert zero.memory is None
    assert torch.equal(plain.encode_x(pairs.x), zero.encode_x(pairs.x))


def test_the_term_is_added_to_the_cosine(pairs: Pairs) -> None:
    given = {"x_of_y": pairs.x_of_y, "group": pairs.group}
    plain = CCA(rank=4).fit(pairs.x, pairs.y, **given)
    w, t = 0.6, 0.1
    aligner = CCA(rank=4, memory=w, memory_temperature=t).fit(pairs.x, pairs.y, **given)
    assert aligner.encode_x(pairs.x).shape == (pairs.n_x, 4 + pairs.n_x)
    term = aligner.memory.anchors.x(pairs.x, t) @ aligner.memory.anchors.y(pairs.y, t).T
    expected = (plain.similarity(pairs.x, pairs.y) + w * term) / (1 + w)
    torch.testing.assert_close(aligner.similarity(pairs.x, pairs.y), expected, rtol=0, atol=1e-5)


def test_the_term_is_added_to_a_score_of_ones_own(pairs: Pairs) -> None:
    votes = UniConBatches(rank=3, aggregate="majority").fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, batch_size=30)
    plain = votes.similarity(pairs.x, pairs.y)
    aligner = UniConBatches(rank=3, aggregate="majority", memory=0.5, memory_temperature=0.1)
    aligner.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, batch_size=30)
    term = aligner.memory.anchors.x(pairs.x, 0.1) @ aligner.memory.anchors.y(pairs.y, 0.1).T
    torch.testing.assert_close(
        aligner.similarity(pairs.x, pairs.y).double(), plain.double() + 0.5 * term.double(), rtol=0, atol=1e-5
    )


def test_weight_and_temperature_are_chosen_on_validation() -> None:
    aligner = CCA(rank=4, memory=[0.0, 0.3, 3.0], memory_temperature=[0.02, 0.2])
    data = shared()
    evaluation = fitted(aligner, data)
    val = data.splits["val"]
    plain = normalize(aligner.embedded_x(val.x[:])) @ normalize(aligner.embedded_y(val.y[:])).T
    positives = val.group[:, None] == val.y_group
    recalls = {}
    for w in (0.0, 0.3, 3.0):
        for t in (0.02, 0.2):
            scores = plain + w * aligner.memory.anchors.x(val.x[:], t) @ aligner.memory.anchors.y(val.y[:], t).T
            hits = []
            for s, p in ((scores, positives), (scores.T, positives.T)):
                ranks = 1 + ((s >= s.masked_fill(~p, -9).amax(1, keepdim=True)) & ~p).sum(1)
                hits += [float((ranks <= k).double().mean()) for k in (1, 5, 10)]
            recalls[w, t] = sum(hits)
    best = max(recalls, key=lambda each: recalls[each])
    assert (evaluation.metrics["fit/memory_weight"], evaluation.metrics["fit/memory_temperature"]) == best
    # two settings may have the same recall: the first is taken; here they differ
    assert len(set(recalls.values())) > 1


def test_what_it_costs_and_the_plain_cosine_are_told() -> None:
    data = shared()
    plain = fitted(CCA(rank=4), data).metrics
    metrics = fitted(CCA(rank=4, memory=0.5, memory_temperature=0.05), data).metrics
    assert metrics["test/cosine/mean_recall"] == plain["test/mean_recall"] == plain["test/cosine/mean_recall"]
    assert metrics["fit/memory_bytes"] > 4 * (60 * 12 + 180 * 9)
    assert metrics["fit/memory_seconds_per_query"] > 0
    assert metrics["model/bytes"] == plain["model/bytes"] + metrics["fit/memory_bytes"] + 16
    assert metrics["protocol/memory"] == "training items, weighed on validation"
    assert metrics["test/geometry/alignment"] == plain["test/geometry/alignment"]  # of the embeddings alone
    assert metrics["protocol/rank"] == 4


def test_a_saved_aligner_has_its_memory(pairs: Pairs, tmp_path: Path) -> None:
    aligner = SGDCLIP(rank=4, memory=0.5, memory_temperature=0.05, memory_items=20)
    aligner.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, **FIT)
    aligner.save(tmp_path / "aligner.safetensors")
    loaded = load(tmp_path / "aligner.safetensors")
    assert loaded.encode_y(pairs.y).shape == (pairs.n_y, 24)
    assert torch.equal(loaded.encode_x(pairs.x), aligner.encode_x(pairs.x))
    assert torch.equal(loaded.encode_y(pairs.y), aligner.encode_y(pairs.y))
    again = aligner.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, **FIT)  # begins afresh
    assert torch.equal(loaded.encode_x(pairs.x), again.encode_x(pairs.x))


def test_an_export_has_it_too(pairs: Pairs, tmp_path: Path) -> None:
    aligner = CCA(rank=4, memory=0.7, memory_temperature=0.05)
    aligner.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group)
    for side, rows, ours in (("x", pairs.x, aligner.encode_x), ("y", pairs.y, aligner.encode_y)):
        head = Head(*head_of(aligner, side)).eval()
        write_onnx(head, rows.shape[1], tmp_path / "head.onnx")
        torch.testing.assert_close(head(rows), ours(rows), rtol=0, atol=1e-5)
        torch.testing.assert_close(run_onnx(tmp_path / "head.onnx", rows), ours(rows), rtol=0, atol=1e-5)


def test_a_choice_without_validation_is_refused() -> None:
    data = shared()
    del data.splits["val"]
    with pytest.raises(UserError, match=r"^aligner.memory and aligner.memory_temperature are chosen on validation"):
        fitted(CCA(rank=4, memory=[0.0, 0.5]), data, keep="last", limit_val_batches=0)


def test_in_two_processes_as_in_one(features: Path, tmp_path: Path) -> None:
    overrides = [
        "aligner=cca", "aligner.rank=8", "aligner.memory=[0.5,1]", "evaluation.scoring=inverted_softmax",
        "evaluation.also=[csls]",
    ]  # fmt: skip
    one = run_here(features, tmp_path / "one", *overrides)
    two = run_apart(features, tmp_path / "two", 2, *overrides)
    assert ranked(one) == ranked(two)
    assert one["fit/memory_weight"] == two["fit/memory_weight"]
    assert one["protocol/scoring"] == "inverted_softmax, inductive: a bank of training queries"
    assert "test/memory/csls/mean_recall" in one
