"""Heads trained on a loss of embeddings and inputs."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from aligners.base.arrays import fit_arrays
from aligners.base.trained import TrainedAligner
from aligners.base.yaml_defaults import aligner_config, defaults_from
from datamodules.pairs.pairs import PairBatch, Pairs


@defaults_from("base/trained")
class Predictor(TrainedAligner):
    """Predicts y's embedding, in its own scale, and the inputs x, from the embedding of an x that it belongs to."""

    def build(self, d_x: int, d_y: int) -> None:
        super().build(d_x, d_y)
        self.predict = nn.Linear(self.rank, self.rank)
        self.reconstruct = nn.Linear(self.rank, d_x)

    def loss(self, x: Tensor, y: Tensor, batch: PairBatch) -> Tensor:
        self.seen = (x.detach(), y.detach(), batch)
        row, column = batch.positives.nonzero(as_tuple=True)
        alike = (self.predict(x[row]) - y[column]).square().sum(1).mean()
        inputs = (self.reconstruct(x) - self.scaled(batch.x)).square().sum(1).mean()
        return alike + inputs - torch.logdet(y.T @ y / len(y) + 0.01 * torch.eye(y.shape[1]))


def fitted(pairs: Pairs, max_epochs: int, lr: float, batch_size: int = 61) -> Predictor:
    optimizer = {**aligner_config("base/trained")["optimizer"], "lr": lr, "weight_decay": 0.0}
    aligner = Predictor(rank=6, optimizer=optimizer, scheduler=None)
    arguments = {
        "x_of_y": pairs.x_of_y,
        "group": pairs.group,
        "batch_size": batch_size,
        "max_epochs": max_epochs,
        "seed": 0,
    }
    fit_arrays(aligner, pairs.x, pairs.y, **arguments)  # keeps its Trainer
    return aligner


def test_the_loss_sees_embeddings_and_what_was_embedded(pairs: Pairs) -> None:
    aligner = fitted(pairs, max_epochs=1, lr=0.0)
    x, y, batch = aligner.seen
    assert torch.equal(batch.x, aligner.prepare_x(pairs.x[batch.x_index]))
    assert torch.equal(batch.y, aligner.prepare_y(pairs.y[batch.y_index]))
    assert torch.equal(batch.x_group, pairs.group[batch.x_index])
    assert torch.equal(x, aligner.encode_x(pairs.x[batch.x_index]))  # in their own scale
    assert torch.equal(y, aligner.encode_y(pairs.y[batch.y_index]))
    assert x.norm(dim=1).std() > 0.01


def test_heads_and_what_a_child_adds_learn(pairs: Pairs) -> None:
    start, after = (fitted(pairs, max_epochs=n, lr=lr) for n, lr in ((1, 0.0), (60, 0.02)))
    for name, parameter in after.named_parameters():
        assert not torch.allclose(parameter, start.state_dict()[name], atol=1e-3), name
    losses = [aligner.trainer.callback_metrics["fit/objective"].item() for aligner in (start, after)]
    assert losses[1] < 0.5 * losses[0]


def test_the_record_holds_the_mean_loss_of_each_epoch(pairs: Pairs, tmp_path: Path) -> None:
    # batches of 40 and 21 x: the mean is by items
    aligner = fitted(pairs, max_epochs=3, lr=0.02, batch_size=40)
    assert len(aligner.passes_record) == 3
    logged = aligner.trainer.callback_metrics["fit/objective"].item()
    assert aligner.passes_record[-1]["objective"] == pytest.approx(logged, rel=1e-6)
    losses = [told["objective"] for told in aligner.passes_record]
    assert losses[0] > losses[1] > losses[2]
    aligner.trainer.save_checkpoint(tmp_path / "last.ckpt")
    loaded = Predictor.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert loaded.passes_record == aligner.passes_record
    again = aligner.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, max_epochs=1)
    assert len(again.passes_record) == 1


def test_weight_decay_leaves_vectors_and_scalars_alone(pairs: Pairs) -> None:
    aligner = fitted(pairs, max_epochs=1, lr=0.0)
    decayed, kept = aligner.optimizers().param_groups
    assert {id(p) for p in kept["params"]} == {id(aligner.predict.bias), id(aligner.reconstruct.bias)}
    assert kept["weight_decay"] == 0.0
    assert len(decayed["params"]) == 4
