"""The loop over batches as printed (Algorithms 1 and 2), against dense loops in float64 that share nothing with it."""

from itertools import pairwise
from pathlib import Path

import lightning
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.base.aligner import Aligner
from aligners.base.arrays import fit_arrays
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.batches import GroupBatches
from datamodules.pairs.pairs import Pairs
from tests.aligners.dense_loop import printed, problem, similarity, weights
from tests.aligners.made import make

RANK, PASSES = 4, 3


def hits(cosine: Tensor, P: Tensor) -> float:
    """Mean of R@1 in both directions, in [0, 1]."""
    right = P[torch.arange(len(P)), cosine.argmax(1)], P.T[torch.arange(P.shape[1]), cosine.argmax(0)]
    return float(sum(each.double().mean() for each in right)) / 2


def embedded(x: Tensor, y: Tensor, Z: Tensor) -> Tensor:
    """Cosines of all pairs at the split of Z's best rank r."""
    U, s, Vt = torch.linalg.svd(Z)
    root = s[:RANK].sqrt()
    return normalize(x @ U[:, :RANK] * root) @ normalize(y @ Vt[:RANK].T * root).T


def uniform(P: Tensor) -> Tensor:
    p, (b, c) = P.double(), P.shape
    return (p / p.sum(1, keepdim=True) - 1 / c) / b / 2 + (p / p.sum(0) - 1 / b) / c / 2


def best(C: Tensor) -> Tensor:
    U, s, Vt = torch.linalg.svd(C / C.norm())
    return U[:, :RANK] * s[:RANK] @ Vt[:RANK]


def loop(x: Tensor, y: Tensor, P: Tensor, batches: list[tuple[Tensor, Tensor]], tau: float, kind: str) -> list[Tensor]:
    """Cosines of all pairs after each round."""
    at: Tensor | None = None
    after = []
    for _ in range(PASSES + 1):
        Z, a = [], []
        for i, j in batches:
            S = uniform(P[i][:, j]) if at is None else weights(at[i][:, j], P[i][:, j], tau)
            Z.append(best(x[i].T @ S @ y[j]))
        for number, each in enumerate(Z):
            cosine = embedded(x, y, each)
            outside = [hits(cosine[i][:, j], P[i][:, j]) for other, (i, j) in enumerate(batches) if other != number]
            a.append(sum(outside) / len(outside))
        share = torch.tensor(a).double() / sum(a) if kind == "accuracy" else torch.tensor(a).double().softmax(0)
        at = embedded(x, y, sum(w * each for w, each in zip(share, Z, strict=True)))
        after.append(at)
    return after


def cut(x_of_y: Tensor, n: int, size: int) -> list[tuple[Tensor, Tensor]]:
    batches = GroupBatches(torch.arange(n), size, seed=0)
    return [(i, torch.cat([(x_of_y == each).nonzero()[:, 0] for each in i])) for i in batches]


def fitted(x: Tensor, y: Tensor, x_of_y: Tensor, size: int, **changed: object) -> Aligner:
    aligner = make("unicon_batches_paper", rank=RANK, **changed)
    fit_arrays(aligner, x, y, x_of_y=x_of_y, batch_size=size)
    return aligner


@pytest.mark.parametrize("kind", ["accuracy", "softmax"])
@pytest.mark.parametrize("tau", [1.0, 0.1])
def test_the_rounds_are_the_dense_loop(kind: str, tau: float) -> None:
    x, y, x_of_y, P = problem(many=False)
    batches = cut(x_of_y, 40, 14)
    assert len(batches) == 3
    expected = loop(x, y, P, batches, tau, kind)
    assert all(float((a - b).abs().max()) > 0.01 for a, b in pairwise(expected))
    for passes, cosine in enumerate(expected):
        aligner = fitted(x, y, x_of_y, 14, passes=passes, tau=tau, aggregate=kind)
        # directions by the Gram matrix of the aggregate, which has half of the digits
        torch.testing.assert_close(similarity(aligner, x, y), cosine, rtol=0, atol=1e-7)


@pytest.mark.parametrize("aggregate", ["accuracy", "softmax", "sum", "majority"])
def test_one_batch_is_the_iteration_over_all_pairs(aggregate: str) -> None:
    x, y, x_of_y, P = problem(many=False)
    for passes, expected in enumerate(printed(x, y, P, RANK, tau=0.5)[0][:PASSES]):
        aligner = fitted(x, y, x_of_y, 40, passes=passes, tau=0.5, aggregate=aggregate)
        torch.testing.assert_close(similarity(aligner, x, y), expected, rtol=0, atol=1e-8)


def test_majority_is_a_vote_of_models_that_go_through_their_rounds_alone() -> None:
    x, y, x_of_y, P = problem(many=False)
    batches, tau = cut(x_of_y, 40, 14), 0.5
    aligner = fitted(x, y, x_of_y, 14, passes=1, tau=tau, aggregate="majority")
    said, mean = torch.zeros(40, 40).double(), torch.zeros(40, 40).double()
    for i, j in batches:
        at = embedded(x[i], y[j], x[i].T @ uniform(P[i][:, j]) @ y[j])
        cosine = embedded(x, y, x[i].T @ weights(at, P[i][:, j], tau) @ y[j])
        outside = [cosine[k][:, m].flatten() for k, m in batches if not torch.equal(k, i)]
        threshold = sum(float(each.sort(descending=True).values[round(len(each) ** 0.5) - 1]) for each in outside) / 2
        said += cosine >= threshold
        mean += cosine / len(batches)
    assert {0, 1, 2, 3} == set(said.flatten().int().tolist())
    assert aligner.encode_x(x).shape == (40, 3 * RANK)
    ours = aligner.similarity(x.float(), y.float())
    torch.testing.assert_close(ours, said + (1 + mean) / 4, rtol=0, atol=1e-5)


def test_a_fit_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    x, y, x_of_y, _ = problem(many=True)

    def run(aligner: Aligner, epochs: int, ckpt_path: Path | None = None) -> lightning.Trainer:
        data = PairsDataModule(batch_size=14, eval_batch_size=40, seed=0)
        data.splits = {"train": Pairs(x, y, x_of_y, torch.arange(40))}
        trainer = lightning.Trainer(
            accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False, limit_val_batches=0,
            enable_model_summary=False, enable_progress_bar=False, use_distributed_sampler=False,
        )  # fmt: skip
        trainer.fit(aligner, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
        return trainer

    for aggregate in ("accuracy", "majority"):
        changed = {"rank": RANK, "aggregate": aggregate, "passes": 3, "tau": 0.1}
        whole, cut_off, resumed = (make("unicon_batches_paper", **changed) for _ in range(3))
        run(whole, 10)
        run(cut_off, 2).save_checkpoint(tmp_path / "last.ckpt")
        assert not torch.allclose(cut_off.embed_x(x), whole.embed_x(x))
        run(resumed, 10, tmp_path / "last.ckpt")
        torch.testing.assert_close(resumed.embed_x(x), whole.embed_x(x))
        assert len(whole.passes_record) == 4
        for one, other in zip(whole.passes_record, resumed.passes_record, strict=True):
            assert other == pytest.approx(one, rel=1e-6)
