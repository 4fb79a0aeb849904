"""Aligners of transport objectives: the gradient of several processes, and the spectral solver over all pairs."""

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from aligners.base.of_cosines import OfCosines
from aligners.base.yaml_defaults import aligner_config
from aligners.unicon import UniConSpectral
from datamodules.pairs.pairs import PairBatch, Pairs
from ground.configs import CONFIGS
from ground.distributed import concatenate
from ground.errors import UserError
from tests.aligners.fixed import FIXED
from tests.aligners.made import make
from tests.processes import exit_codes, free_port

FAMILY = ("rince", "gca_ince", "gca_rince", "gca_uot", "iot", "iot_uni")


def batch() -> PairBatch:
    """12 x with two y each, some x of one group."""
    generator = torch.Generator().manual_seed(0)
    group, x_of_y = torch.arange(12) // 4 * 4 + torch.arange(12) % 3, torch.arange(24) // 2
    x, y = torch.randn(12, 9, generator=generator), torch.randn(24, 7, generator=generator)
    return PairBatch(x, y, group, group[x_of_y], torch.arange(12), torch.arange(24))


class Step(nn.Module):
    """A training step's loss of this process's part of the batch, as ``TrainedAligner`` takes it."""

    def __init__(self, name: str):
        super().__init__()
        torch.manual_seed(0)
        aligner = make(name, rank=3)
        assert isinstance(aligner, OfCosines)
        aligner._build((9, 7))
        self.aligner = aligner

    def forward(self, mine: PairBatch) -> Tensor:
        x, y = concatenate(self.aligner.embed_x(mine.x)), concatenate(self.aligner.embed_y(mine.y))
        return self.aligner.loss(x, y, PairBatch(*(concatenate(part) for part in mine)))

    def gradients(self) -> dict[str, Tensor]:
        return {name: p.grad.clone() for name, p in self.named_parameters() if p.grad is not None}


def work(rank: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    whole, x, y = batch(), [slice(0, 5), slice(5, 12)][rank], [slice(0, 10), slice(10, 24)][rank]
    mine = PairBatch(whole.x[x], whole.y[y], whole.x_group[x], whole.y_group[y], whole.x_index[x], whole.y_index[y])
    found = {}
    for name in FAMILY:
        step = Step(name)
        wrapped = DistributedDataParallel(step)  # held until backward has averaged
        wrapped(mine).backward()
        found[name] = step.gradients()
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_the_gradient_of_two_processes_is_that_of_the_joined_batch(tmp_path: Path) -> None:
    port = free_port()
    assert exit_codes(work, ((rank, port, tmp_path) for rank in range(2)), seconds=120) == [0, 0]
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name in FAMILY:
            step = Step(name)
            step(batch()).backward()
            expected = step.gradients()
            assert found[name].keys() == expected.keys() >= {"aligner.head_x.weight", "aligner.head_y.weight"}
            for key, gradient in expected.items():
                assert gradient.abs().max() > 1e-6
                torch.testing.assert_close(found[name][key], gradient, rtol=1e-4, atol=1e-6)


def solved(pairs: Pairs, objective: str, **changed: Any) -> UniConSpectral:
    settings = {**FIXED, "rank": 6, "feature_map": "identity", "tau": 0.5, "objective": objective} | changed
    solver = UniConSpectral(**settings)
    return solver.fit(pairs.x.double(), pairs.y.double(), x_of_y=pairs.x_of_y, group=pairs.group, batch_size=61)


@pytest.mark.parametrize("objective", FAMILY)
def test_passes_lower_the_objective_and_all_pairs_are_one_batch_of_all(pairs: Pairs, objective: str) -> None:
    """The streamed sweeps of all pairs against the matrix formed at once, of a batch that has all."""
    batch = solved(pairs, objective, negatives="batch")
    values = [each["objective"] for each in batch.solution.passes]
    assert len(values) > 2
    assert all(later < earlier for earlier, later in pairwise(values))
    if objective == "iot_uni":
        with pytest.raises(UserError, match=r"objective 'iot_uni' is no sum over rows"):
            solved(pairs, objective)
        return
    every = solved(pairs, objective)
    assert [each["objective"] for each in every.solution.passes] == pytest.approx(values, rel=1e-9)
    assert every.facts["gradient_norm"] == pytest.approx(batch.facts["gradient_norm"], rel=1e-6)


def test_settings_may_be_chosen_by_sweeps_over_all_pairs(pairs: Pairs) -> None:
    chosen = UniConSpectral(
        rank=6, objective="gca_ince", feature_map="identity", lam=1.0, tau=[0.2, 0.1], passes=[2, 0]
    )
    chosen.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, batch_size=61)
    assert type(chosen.fitted_objective).__name__ == "GCAINCE"


@pytest.mark.parametrize("name", FAMILY)
def test_a_yaml_has_the_options_of_its_objective(name: str) -> None:
    assert aligner_config(name)["objective"] == name
    assert (CONFIGS / "objective" / f"{name}.yaml").is_file()
    assert make(name, objective_options={}).hparams["objective_options"].keys() >= {"tolerance"} or "rince" in name
