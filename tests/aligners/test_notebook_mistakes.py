"""What a notebook gives an aligner: numbers of numpy's, no epoch at all, a fit that an error ends."""

import re

import lightning
import numpy as np
import pytest
import torch

from aligners import CCA, SGDCLIP, UniConSpectral
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


def test_scalars_of_numpy_in_dicts() -> None:
    options = {"bias": np.float32(-10)}
    fitted = [
        UniConSpectral(rank=3, landmarks=20, objective="siglip", objective_options=each).fit(X, X).encode_x(X)
        for each in (options, {"bias": -10.0}, {np.str_("bias"): np.int64(-10)})
    ]
    assert all(torch.equal(each, fitted[0]) for each in fitted)
    optimizer = {"_target_": "torch.optim.AdamW", "lr": np.float64(0.01), "betas": (np.float64(0.9), np.float32(0.5))}
    aligner = SGDCLIP(rank=3, optimizer=optimizer).fit(X, X, max_epochs=1)
    assert [type(each) for each in aligner.hparams["optimizer"]["betas"]] == [float, float]
    with pytest.raises(UserError, match=r"aligner.optimizer must name its class, as _target_: torch.optim.AdamW"):
        SGDCLIP(rank=3, optimizer={"lr": 0.1}).fit(X, X, max_epochs=1)


class Frame:
    """What a data frame is to an aligner: nothing but its array."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, column: object) -> object:
        raise KeyError(column)


ROWS = X.numpy()
READ = {
    "float64": (ROWS.astype(np.float64), 1e-5), "float16": (ROWS.astype(np.float16), 1e-2),
    "bfloat16": (X.bfloat16(), 1e-1), "a frame": (Frame(ROWS), 0), "objects": (ROWS.astype(object), 1e-5),
    "a frame of objects": (Frame(ROWS.astype(object)), 1e-5), "lists": (ROWS.tolist(), 0), "rows": (list(ROWS), 0),
    "tensors": (list(X), 0), "tuples": (tuple(map(tuple, ROWS.tolist())), 0), "from the end": (ROWS[::-1][::-1], 0),
    "other bytes": (ROWS.astype(">f4"), 0), "a mask of nothing": (np.ma.masked_array(ROWS), 0),
    "a gradient": (X.clone().requires_grad_(), 0),
}  # fmt: skip
REFUSED = {
    "integers": ((X * 100).long(), "must be features (n, d) in float16, bfloat16, float32 or float64, got shape"),
    "booleans": (ROWS > 0, "of torch.bool"), "complex": (X + 1j, "of torch.complex64"),
    "texts": (np.array([["a"] * 6] * 40, object), "must be an array of numbers, got ndarray"),
    "a frame of texts": (Frame(np.array([["a"] * 6] * 40, object)), "must be an array of numbers, got Frame"),
    "ragged": ([[1.0, 2.0], [3.0]], "must be an array of numbers, got list"),
    "ragged tensors": ([X[0], X[0, :3]], "must be an array of numbers, got list"),
    "sparse": (X.to_sparse(), "is sparse, Tensor"), "masked": (np.ma.masked_array(ROWS, ROWS > 1), "has masked values"),
    "nothing": (None, "must be an array of numbers, got NoneType"),
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_kinds_of_arrays_that_are_read(kind: str) -> None:
    values, tolerance = READ[kind]
    fitted = CCA(rank=3).fit(values, X)
    expected = CCA(rank=3).fit(X, X)
    torch.testing.assert_close(fitted.similarity(values, X), expected.similarity(X, X), rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", REFUSED)
def test_kinds_of_arrays_that_are_refused(kind: str) -> None:
    values, line = REFUSED[kind]
    fitted = CCA(rank=3).fit(X, X)
    for read in (lambda: CCA(rank=3).fit(values, X), lambda: fitted.encode_x(values)):
        with pytest.raises(UserError, match=re.escape(line)) as error:
            read()
        assert "\n" not in str(error.value)


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
