"""What every aligner with a config does as an estimator: it forgets, begins afresh, and comes back from a file."""

import gc
import weakref
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aligners import load
from aligners.base.aligner import Aligner
from datamodules.pairs.pairs import Pairs
from tests.aligners.made import make

RANK = 6


def test_a_saved_aligner_encodes_to_the_same_bits(aligner_name: str, pairs: Pairs, tmp_path: Path) -> None:
    aligner = make(aligner_name, rank=RANK).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=2)
    aligner.save(tmp_path / "aligner.safetensors")
    loaded = load(tmp_path / "aligner.safetensors")
    assert type(loaded) is type(aligner)
    assert loaded.hparams == aligner.hparams
    assert loaded.facts == aligner.facts
    assert torch.equal(loaded.encode_x(pairs.x), aligner.encode_x(pairs.x))
    assert torch.equal(loaded.encode_y(pairs.y), aligner.encode_y(pairs.y))


def test_a_second_fit_is_as_the_first_of_another(aligner_name: str, pairs: Pairs) -> None:
    def encoded(aligner: Aligner, x: Tensor) -> Tensor:
        return aligner.fit(x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=2).encode_x(x)

    aligner = make(aligner_name, rank=RANK)
    encoded(aligner, pairs.x + pairs.x.roll(1, 0))
    for x in (pairs.x, pairs.x[:, :19]):
        assert torch.equal(encoded(aligner, x), encoded(make(aligner_name, rank=RANK), x))


def test_a_fit_keeps_no_data(aligner_name: str, pairs: Pairs) -> None:
    aligner = make(aligner_name, rank=RANK)

    def fit() -> weakref.ref[Tensor]:
        x = pairs.x.clone()
        aligner.fit(x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=1)
        return weakref.ref(x)

    rows = fit()
    gc.collect()
    assert rows() is None
    assert aligner.encode_x(pairs.x).shape == (pairs.n_x, aligner.embedding_width)
    with pytest.raises(RuntimeError, match="not attached to a `Trainer`"):
        _ = aligner.trainer
