"""What every aligner with a config must do."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import lightning
import pytest
import torch
from torch import Tensor

from aligners.base.aligner import Aligner
from aligners.base.arrays import fit_arrays
from aligners.base.yaml_defaults import aligner_config
from aligners.closed_form import CSA
from aligners.point_sets import PointSetAligner
from datamodules.pairs.arrays import pairs_of_tensors
from datamodules.pairs.pairs import Pairs
from evaluation.retrieval import ranks_both_ways, rates_both_ways
from evaluation.scoring import COSINE, own
from ground.errors import UserError
from tests.aligners.made import RANKED, make
from tests.problems import random_features

RANK = 6


FIT = {"batch_size": 32, "max_epochs": 20, "seed": 0}


def made(name: str) -> Aligner:
    faster = {"optimizer": {"lr": 0.02}} if "optimizer" in aligner_config(name) else {}  # for few steps on few pairs
    return make(name, rank=RANK, **faster)


def width_of(aligner: Aligner, pairs: Pairs) -> int:
    """Numbers of an embedding: the rank, or twice it, all of a point set's, or what the data gives."""
    if isinstance(aligner, PointSetAligner):
        return aligner.points * (RANK + 1)
    if isinstance(aligner, CSA):
        return 2 * RANK
    return {"Ridge": 2 * max(pairs.dims), "ASIF": pairs.n_y}.get(type(aligner).__name__, RANK)


def fitted(name: str, pairs: Pairs, x: Tensor | None = None, y: Tensor | None = None) -> Aligner:
    """Fitted through ``Aligner.fit``; ``x`` and ``y`` in the place of the pairs' own features."""
    x, y = pairs.x if x is None else x, pairs.y if y is None else y
    return made(name).fit(x, y, x_of_y=pairs.x_of_y, group=pairs.group, **FIT)


@pytest.fixture(scope="module")
def trainer(aligner_name: str, pairs: Pairs) -> lightning.Trainer:
    """That has fitted the aligner once for all tests that read it."""
    return fit_arrays(made(aligner_name), pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, **FIT)


@pytest.fixture(scope="module")
def aligner(trainer: lightning.Trainer) -> Iterator[Aligner]:
    """What ``trainer`` has fitted; no test may change it."""
    aligner = trainer.lightning_module
    state = deepcopy(aligner.state_dict())
    yield aligner
    assert all(torch.equal(value, state[key]) for key, value in aligner.state_dict().items())


def metrics(aligner: Aligner, pairs: Pairs, x: Tensor, y: Tensor) -> dict[str, float]:
    """By the aligner's own score where it has one, as in an evaluation."""
    with torch.no_grad():
        a, b = aligner.encode_x(x), aligner.encode_y(y)
    score = getattr(aligner, "score", None)
    scorer = COSINE if score is None else own(score)
    return rates_both_ways(ranks_both_ways(a, b, pairs.group, pairs.y_group, "x", "y", 16, scorer))


def test_embeddings_have_the_rank_and_retrieve(aligner: Aligner, pairs: Pairs) -> None:
    with torch.no_grad():
        a, b = aligner.encode_x(pairs.x), aligner.encode_y(pairs.y)
    width = width_of(aligner, pairs)
    assert aligner.embedding_width == width
    assert a.shape == (pairs.n_x, width)
    assert b.shape == (pairs.n_y, width)
    assert a.dtype == b.dtype == torch.float32
    assert torch.isfinite(a).all()
    assert torch.isfinite(b).all()
    # a common factor of 8 dimensions under noise: chance is 12 %
    assert metrics(aligner, pairs, pairs.x, pairs.y)["mean_recall"] > 50


@pytest.fixture(scope="module")
def turned() -> tuple[Pairs, Pairs, float]:
    """Pairs one-to-one of one dimension, turned: to fit and to test; and what a centred identity has on these."""
    x, y, _ = random_features(160, 1, 16, 16, seed=5)
    train, test = pairs_of_tensors(x[:110], y[:110]), pairs_of_tensors(x[110:], y[110:])
    identity = make("identity", centre=True).fit(train.x, train.y)
    return train, test, metrics(identity, test, test.x, test.y)["mean_recall"]


def test_it_does_better_than_the_centred_identity_one_to_one(
    aligner_name: str, turned: tuple[Pairs, Pairs, float]
) -> None:
    train, test, of_identity = turned
    aligner = made(aligner_name).fit(train.x, train.y, **FIT)
    assert of_identity < 20  # chance is 11 %
    assert metrics(aligner, test, test.x, test.y)["mean_recall"] > of_identity + 10


def test_rows_are_encoded_each_by_itself(aligner: Aligner, pairs: Pairs) -> None:
    with torch.no_grad():
        whole = aligner.encode_y(pairs.y)
        alone = torch.cat([aligner.encode_y(pairs.y[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(whole[:5], alone, rtol=1e-5, atol=1e-6)


def test_a_shift_of_all_features_changes_no_metric(aligner_name: str, pairs: Pairs) -> None:
    """But of an aligner that says that it does not centre."""
    # eighths: the shift is exact in float32, so what is left is what the aligner does with it
    x, y = (torch.round(rows * 8) / 8 for rows in (pairs.x, pairs.y))
    shifted = (x + 256.0, y - 64.0)
    plain = metrics(fitted(aligner_name, pairs, x, y), pairs, x, y)
    moved = metrics(fitted(aligner_name, pairs, *shifted), pairs, *shifted)
    if made(aligner_name).centre:
        assert moved == pytest.approx(plain, abs=1e-9)
    else:
        assert moved != pytest.approx(plain, abs=1e-9)


def test_checkpoint_holds_the_whole_aligner(
    trainer: lightning.Trainer, aligner: Aligner, pairs: Pairs, tmp_path: Path
) -> None:
    path = tmp_path / "last.ckpt"
    trainer.save_checkpoint(path)
    loaded = type(aligner).load_from_checkpoint(path, weights_only=True)
    assert loaded.hparams == aligner.hparams
    with torch.no_grad():
        assert torch.equal(loaded.encode_x(pairs.x), aligner.encode_x(pairs.x))
        assert torch.equal(loaded.encode_y(pairs.y), aligner.encode_y(pairs.y))


# aligners with gradients take batches in an order; unicon draws landmarks by row, test_unicon takes all of them
@pytest.mark.parametrize("name", ["cca", "csa", "pls", "procrustes", "ridge", "unicon_paper"])
def test_the_order_of_the_samples_does_not_matter(name: str, pairs: Pairs) -> None:
    order = torch.randperm(pairs.n_x, generator=torch.Generator().manual_seed(1))
    place = torch.argsort(order)
    permuted = make(name, rank=RANK).fit(pairs.x[order], pairs.y, x_of_y=place[pairs.x_of_y], group=pairs.group[order])
    plain = fitted(name, pairs)
    torch.testing.assert_close(permuted.encode_x(pairs.x), plain.encode_x(pairs.x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(permuted.encode_y(pairs.y), plain.encode_y(pairs.y), rtol=1e-4, atol=1e-5)


def test_an_unknown_argument_is_named(aligner_name: str) -> None:
    nearest = ": did you mean 'rank'" if aligner_name in RANKED else ""
    with pytest.raises(UserError, match=f"has no argument 'rnk'{nearest}"):
        make(aligner_name, rnk=3)


def test_rank_below_one_is_refused(ranked_name: str) -> None:
    with pytest.raises(UserError, match=r"aligner.rank must be at least 1, got 0"):
        make(ranked_name, rank=0)


def test_a_seed_gives_the_same_bits(aligner_name: str, aligner: Aligner, pairs: Pairs) -> None:
    again = fitted(aligner_name, pairs)
    with torch.no_grad():
        assert torch.equal(again.encode_x(pairs.x), aligner.encode_x(pairs.x))


def test_fewer_rows_than_dimensions(aligner_name: str) -> None:
    x, y, x_of_y = random_features(12, 2, 40, 30, seed=3)
    x[:, 3] = 1.5  # a constant column
    y[4:6] = y[2:4]  # repeated rows
    aligner = make(aligner_name, rank=4).fit(x, y, x_of_y=x_of_y, batch_size=12, max_epochs=3)
    with torch.no_grad():
        assert torch.isfinite(aligner.encode_x(x)).all()
        assert torch.isfinite(aligner.encode_y(y)).all()


def test_one_group_alone_is_refused(aligner_name: str) -> None:
    x, y, x_of_y = random_features(12, 2, 8, 7, seed=3)
    group = torch.zeros(12, dtype=torch.int64)
    with pytest.raises(UserError, match="one group"):
        make(aligner_name, rank=4).fit(x, y, x_of_y=x_of_y, group=group, max_epochs=1)


@pytest.mark.parametrize("scale", [6e4, 6e-8])
def test_float16_features_near_its_limits(aligner_name: str, pairs: Pairs, scale: float) -> None:
    x, y = (scale * rows / rows.abs().max() for rows in (pairs.x, pairs.y))
    if scale < 1:  # a few steps of the smallest number there is
        x, y = 8 * x, 8 * y
    aligner = fitted(aligner_name, pairs, x.half(), y.half())
    for embedded in (aligner.encode_x(x.half()), aligner.encode_y(y.half())):
        assert torch.isfinite(embedded).all()
    assert metrics(aligner, pairs, x.half(), y.half())["mean_recall"] > 25


def test_only_the_optimizer_counts_steps(trainer: lightning.Trainer) -> None:
    assert trainer.global_step == trainer.current_epoch * 2  # two batches of 32 from 61 rows


def test_x_without_y_are_left_out(aligner_name: str, pairs: Pairs, caplog: pytest.LogCaptureFixture) -> None:
    x = torch.cat([pairs.x, pairs.x[:2] + 1])
    aligner = make(aligner_name, rank=RANK).fit(x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=1)
    assert "2 of 63 x have no y" in caplog.text
    with torch.no_grad():
        assert torch.isfinite(aligner.encode_x(x)).all()


def test_arrays_go_in_and_tensors_come_out(aligner_name: str, pairs: Pairs) -> None:
    x, y, x_of_y = pairs.x.numpy(), pairs.y.numpy(), pairs.x_of_y.numpy()
    aligner = make(aligner_name, rank=RANK).fit(x, y, x_of_y=x_of_y, max_epochs=2)
    assert aligner.encode_x(x).numpy().shape == (pairs.n_x, width_of(aligner, pairs))
    assert torch.equal(aligner.encode_y(y), aligner.encode_y(pairs.y))
