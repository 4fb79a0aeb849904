"""Heads trained towards a plan of domains: what the contract asks of all, the plan in the loss, and what it does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from aligners import GCADomains, load
from benchmarks.domains.features import DomainFactors
from datamodules.pairs.arrays import pairs_of_tensors
from datamodules.pairs.pairs import Pairs
from evaluation.linear_probe import linear_probe
from evaluation.retrieval import evaluate_retrieval
from ground.errors import UserError
from tests.aligners.made import make
from tests.problems import random_features

FIT: dict[str, Any] = {"batch_size": 32, "max_epochs": 20, "seed": 0}


def fitted(pairs: Pairs, shift: float = 0.0, **changed: Any) -> GCADomains:
    aligner = make("gca_domains", rank=6, optimizer={"lr": 0.02}, **changed)
    assert isinstance(aligner, GCADomains)
    of = {"x_of_y": pairs.x_of_y, "group": pairs.group, "domain": pairs.group % 2}
    return aligner.fit(pairs.x + shift, pairs.y - shift, **of, **FIT)


def test_it_does_what_the_contract_asks(pairs: Pairs, tmp_path: Path) -> None:
    x, y = (torch.round(rows * 8) / 8 for rows in (pairs.x, pairs.y))  # eighths: a shift is exact
    eighths = pairs_of_tensors(x, y, x_of_y=pairs.x_of_y, group=pairs.group)
    aligner, again, moved = fitted(eighths), fitted(eighths), fitted(eighths, shift=64.0)
    a, b = aligner.encode_x(x), aligner.encode_y(y)
    assert (a.shape, b.shape) == ((61, 6), (183, 6))
    assert evaluate_retrieval(a, b, pairs.group, pairs.y_group, "x", "y", 16)["mean_recall"] > 50
    assert torch.equal(again.encode_x(x), a)
    torch.testing.assert_close(moved.encode_x(x + 64), a)
    aligner.save(tmp_path / "domains.safetensors")
    assert torch.equal(load(tmp_path / "domains.safetensors").encode_y(y), b)


def test_data_without_domains_are_refused_in_one_line(pairs: Pairs) -> None:
    with pytest.raises(
        UserError, match="this aligner reads the domain of each x, and the data has none: give a"
    ) as told:
        make("gca_domains", rank=4).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=1)
    assert "\n" not in str(told.value)
    for wrong in ({"a": -0.1}, {"b": -1.0}, {"tau": 0.0}, {"iterations": 0}):
        with pytest.raises(UserError, match=f"aligner.{next(iter(wrong))} must be"):
            make("gca_domains", **wrong)


def test_the_loss_reads_the_domains_of_the_batch_by_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against KL(T || P) written out, with weights of every pair by hand; y in another order than x."""
    x, y, x_of_y = random_features(9, 1, 6, 5, seed=1)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    domain = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
    pairs = pairs_of_tensors(x, y[order], x_of_y=x_of_y[order], domain=domain)
    aligner = make("gca_domains", rank=4, a=0.3, b=0.1, tau=0.5, iterations=300)
    monkeypatch.setattr(type(aligner), "train_pairs", pairs)
    rows = torch.tensor([7, 0, 3, 1, 4, 6])  # two of each domain: T is then of equal rows
    batch = pairs[rows]
    generator = torch.Generator().manual_seed(3)
    a, b = (torch.randn(6, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    of_y = pairs.x_of_y[batch.y_index]
    T = torch.empty(6, 6, dtype=torch.float64)
    for i, row in enumerate(rows.tolist()):
        for j, other in enumerate(of_y.tolist()):
            T[i, j] = 1.0 if row == other else 0.3 if domain[row] == domain[other] else 0.1
    T /= 1 + 0.3 + 4 * 0.1
    K = ((normalize(a) @ normalize(b).T - 1) / 0.5).exp()
    u, v = torch.ones(6, dtype=torch.float64), torch.ones(6, dtype=torch.float64)
    for _ in range(300):
        u = 1 / (K @ v)
        v = 1 / (K.T @ u)
    P = u[:, None] * K * v
    assert float(aligner.loss(a, b, batch)) == pytest.approx(float((T * (T / P).log()).sum() / 6), rel=1e-9)


def test_without_domains_in_the_plan_it_is_gca_ince(pairs: Pairs) -> None:
    plain = make("gca_ince", rank=6, tau=0.07, learn_tau=False, optimizer={"lr": 0.02})
    plain.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, **FIT)
    ours = make("gca_domains", rank=6, a=0.0, b=0.0, tau=0.07, optimizer={"lr": 0.02})
    ours.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, domain=torch.zeros(61, dtype=torch.int64), **FIT)
    torch.testing.assert_close(ours.encode_x(pairs.x), plain.encode_x(pairs.x), rtol=1e-3, atol=1e-3)


def test_the_larger_a_less_b_the_better_a_probe_tells_the_domains() -> None:
    """And the classes stay: their directions are others."""
    tensors = DomainFactors(n=800, seed=0).tensors()
    train, test = (tensors["split"] == split for split in (0, 2))
    accuracy: dict[str, list[float]] = {"domain": [], "label": []}
    for a, b in ((0.0, 0.02), (0.0, 0.0), (0.02, 0.0)):
        aligner = make("gca_domains", rank=12, a=a, b=b, optimizer={"lr": 0.01})
        x, y, domain = (tensors[key][train] for key in ("x", "y", "domain"))
        aligner.fit(x, y, domain=domain, batch_size=160, max_epochs=15, seed=0)
        rows = [aligner.encode_x(tensors["x"][split]) for split in (train, test)]
        for key, found in accuracy.items():
            of = (rows[0], tensors[key][train], rows[1], tensors[key][test])
            found.append(linear_probe(*of, strengths=[0.1], holdout=0.2, seed=0).accuracy)
    assert accuracy["domain"][0] < accuracy["domain"][1] < accuracy["domain"][2] - 5
    assert min(accuracy["label"]) > max(accuracy["label"]) - 10
