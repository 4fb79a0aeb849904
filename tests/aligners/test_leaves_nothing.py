"""A fit leaves nothing behind in the datamodule: aligners fitted one after the other equal those fitted alone."""

import lightning
import pytest
import torch
from torch import Tensor

from datamodules.base import PairsDataModule
from datamodules.pairs import Pairs
from tests.aligners.made import LEARNING, make


def datamodule(pairs: Pairs) -> PairsDataModule:
    data = PairsDataModule(batch_size=20, eval_batch_size=61, seed=0)
    data.splits = {"train": pairs, "val": pairs}
    return data


def state(name: str, data: PairsDataModule) -> dict[str, Tensor]:
    """What a fit of two epochs ends with."""
    torch.manual_seed(0)
    aligner = make(name, rank=6)
    lightning.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False, limit_val_batches=0,
        enable_model_summary=False, enable_progress_bar=False, use_distributed_sampler=False,
    ).fit(aligner, datamodule=data)  # fmt: skip
    return {key: value.clone() for key, value in aligner.state_dict().items()}


@pytest.fixture(scope="module")
def alone(pairs: Pairs) -> dict[str, dict[str, Tensor]]:
    return {name: state(name, datamodule(pairs)) for name in LEARNING}


@pytest.mark.parametrize("names", [LEARNING, LEARNING[::-1]], ids=["forwards", "backwards"])
def test_any_aligner_after_another_equals_it_alone(
    names: list[str], alone: dict[str, dict[str, Tensor]], pairs: Pairs
) -> None:
    data = datamodule(pairs)
    before = {key: value for key, value in vars(data).items() if key != "trainer"}
    for name in names:
        after = state(name, data)
        assert after.keys() == alone[name].keys()
        for key, value in after.items():
            assert torch.equal(value, alone[name][key]), f"{name}: {key}"
    assert {key: value for key, value in vars(data).items() if key != "trainer"} == before
