"""What a notebook gives an aligner: numbers of numpy's, no epoch at all, a fit that an error ends."""

import lightning
import numpy as np
import pytest
import torch

from aligners import CCA, SGDCLIP
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.arrays import pairs_of_tensors
from ground.errors import UserError

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


def test_scalars_of_numpy() -> None:
    aligner = CCA(rank=np.int64(3), lam=np.float32(0.5))
    assert dict(aligner.hparams)["rank"] == 3
    assert [type(aligner.hparams[key]) for key in ("rank", "lam")] == [int, float]
    assert aligner.fit(X, X, seed=np.int64(1)).encode_x(X).shape == (40, 3)
    with pytest.raises(UserError, match=r"aligner.rank must be at least 1, got 0"):
        CCA(rank=np.int64(0))


@pytest.mark.parametrize("epochs", [0, -1, 1.5])
def test_a_fit_of_no_epoch_is_refused(epochs: float) -> None:
    aligner = SGDCLIP(rank=3)
    with pytest.raises(UserError, match="max_epochs must be"):
        aligner.fit(X, X, max_epochs=epochs)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is not fitted"):
        aligner.encode_x(X)


def test_rows_are_let_go_after_an_error() -> None:
    class Broken(lightning.Callback):
        def on_train_batch_end(self, *_: object) -> None:
            raise RuntimeError("a bug of the user's")

    data = PairsDataModule(batch_size=8, eval_batch_size=8, seed=0)
    data.splits = {"train": pairs_of_tensors(X, X)}
    aligner = CCA(rank=3)
    trainer = lightning.Trainer(
        max_epochs=1, logger=False, callbacks=[Broken()], enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0, use_distributed_sampler=False, accelerator="cpu",
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="a bug of the user's"):
        trainer.fit(aligner, datamodule=data)
    assert aligner._pass is None  # it holds them
