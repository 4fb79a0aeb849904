"""Standings: recalls from the ranks, who is best, and who cannot be told from whom."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from comparison.results import credits, standings
from datamodules.pairs.pairs import Pairs
from evaluation.retrieval import evaluate_retrieval, ranks
from tests.comparison.made import drawn_ranks, finished, result


def test_the_mean_of_credits_is_the_mean_recall(tmp_path: Path) -> None:
    job = finished(tmp_path, "cca", 0, drawn_ranks(40, 5, 0.3, 0), 5)
    made = credits(job.folder / "ranks.safetensors")
    metrics = job.metrics()
    assert metrics is not None
    assert made.shape == (40,)
    assert made.mean() == pytest.approx(metrics["test/mean_recall"])


def test_credits_of_many_to_many_ranks_add_up_too(pairs: Pairs, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(pairs.n_x, 4, generator=generator)
    y = x[pairs.x_of_y] + torch.randn(pairs.n_y, 4, generator=generator)
    tensors = {}
    for way, queries, gallery, of, of_gallery in (
        ("x_to_y", x, y, pairs.group, pairs.y_group),
        ("y_to_x", y, x, pairs.y_group, pairs.group),
    ):
        tensors |= {f"test/{way}/rank": ranks(queries, gallery, of, of_gallery, 16), f"test/{way}/group": of.clone()}
    save_file(tensors, tmp_path / "ranks.safetensors")
    made = credits(tmp_path / "ranks.safetensors")
    recall = evaluate_retrieval(x, y, pairs.group, pairs.y_group, "x", "y", 16)["mean_recall"]
    assert len(made) == len(pairs.group.unique()) < pairs.n_x
    assert 10 < recall < 90
    assert made.mean() == pytest.approx(recall, abs=1e-9)


def test_rows_are_in_order_and_told_apart(tmp_path: Path) -> None:
    jobs = [
        finished(tmp_path, row, seed, drawn_ranks(200, 2, chance, 10 * seed + number), 2)
        for number, (row, chance) in enumerate({"low": 0.1, "high": 0.5, "as high": 0.5}.items())
        for seed in range(3)
    ]
    table = standings([result(job) for job in jobs], {})["made"]
    assert {table[0].row, table[1].row} == {"high", "as high"}
    assert [row.letters for row in table] == ["a", "a", "b"]
    best, second, last = table
    assert (best.behind, best.p) == (0.0, None)
    assert second.p is not None
    assert second.p > 0.05
    assert last.p is not None
    assert last.p < 1e-6
    for row in table:
        assert row.low is not None
        assert row.high is not None
        assert row.mean is not None
        assert row.low < row.mean < row.high
        assert row.mean == pytest.approx(np.mean(row.values("test/mean_recall")))
        assert row.metrics["time/fit_seconds"] == 2.0


def test_rows_that_did_not_finish_stand_last_with_their_reasons(tmp_path: Path) -> None:
    jobs = [finished(tmp_path, "cca", seed, drawn_ranks(30, 1, 0.3, seed), 1) for seed in range(2)]
    reasons = {("made", "pls"): ["failed: killed", "failed: killed"], ("made", "cca"): ["failed: odd"]}
    table = standings([result(job) for job in jobs], reasons)["made"]
    assert [(row.row, row.reasons) for row in table] == [("cca", ["failed: odd"]), ("pls", ["failed: killed"])]
    assert table[1].mean is None
    assert standings([], {("made", "pls"): ["failed"]})["made"][0].reasons == ["failed"]


def test_rows_are_told_apart_on_the_seeds_that_all_have(tmp_path: Path) -> None:
    one = [finished(tmp_path, "one", seed, drawn_ranks(50, 1, 0.4, seed), 1) for seed in range(3)]
    other = finished(tmp_path, "other", 1, drawn_ranks(50, 1, 0.4, 1), 1)
    table = standings([result(job) for job in (*one, other)], {})["made"]
    assert {row.letters for row in table} == {"a"}
    assert next(row.p for row in table if row.p is not None) == 1.0  # seed 1 is the same in both


def test_one_group_says_nothing_of_others(tmp_path: Path) -> None:
    jobs = [finished(tmp_path, row, 0, drawn_ranks(1, 3, 0.4, 0), 3) for row in ("one", "other")]
    table = standings([result(job) for job in jobs], {})["made"]
    assert [(row.low, row.letters, row.p) for row in table] == [(None, "", None)] * 2
    assert all(row.mean is not None for row in table)


def test_other_queries_cannot_be_compared(tmp_path: Path) -> None:
    jobs = [
        finished(tmp_path, "one", 0, drawn_ranks(50, 1, 0.4, 0), 1),
        finished(tmp_path, "other", 0, drawn_ranks(40, 1, 0.4, 1), 1),
    ]
    table = standings([result(job) for job in jobs], {})["made"]
    assert [(row.letters, row.p) for row in table] == [("", None), ("", None)]
    assert all(row.low is not None for row in table)
