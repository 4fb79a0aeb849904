"""Structure: CLIP's loss and the regulariser, and how its weight grows; its steps and mixed ones in two processes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from aligners import SGDCLIP, Structure
from aligners.base.aligner import Aligner
from aligners.objectives.structure import structure
from datamodules.pairs.pairs import PairBatch, Pairs
from tests.aligners.processes import fit, fit_by_two

FIT = {"batch_size": 20, "max_epochs": 2, "seed": 0}


def fitted(aligner: Aligner, pairs: Pairs) -> Aligner:
    return aligner.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, **FIT)


def test_at_weight_0_it_is_sgd_clip_bit_for_bit(pairs: Pairs) -> None:
    plain, held = fitted(SGDCLIP(rank=6), pairs), fitted(Structure(rank=6, weight=0.0), pairs)
    state = held.state_dict()
    assert state.keys() == plain.state_dict().keys()
    assert all(torch.equal(value, state[key]) for key, value in plain.state_dict().items())
    other = fitted(Structure(rank=6, weight=10.0), pairs).state_dict()
    assert not torch.equal(other["head_x.weight"], state["head_x.weight"])


class Recorded(Structure):
    """Tells what it adds to CLIP's loss, and what that should be a multiple of."""

    def loss(self, x: torch.Tensor, y: torch.Tensor, batch: PairBatch) -> torch.Tensor:
        loss = super().loss(x, y, batch)
        clip = self.loss_of_cosines(
            torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(y).T, batch.positives
        )
        each = [structure(rows, z, self.levels, self.structure_tau) for rows, z in ((batch.x, x), (batch.y, y))]
        ratio = (loss - clip) / (sum(each) / 2)
        self.ratios = [*getattr(self, "ratios", []), ratio.item()]
        assert torch.equal(batch.x, self.prepare_x(self.train_pairs.x[batch.x_index]))
        return loss


@pytest.mark.parametrize(("warm_up", "weights"), [(0, [3.0] * 8), (4, [0, 0.75, 1.5, 2.25, 3, 3, 3, 3])])
def test_the_weight_grows_over_the_first_steps(warm_up: int, weights: list[float], pairs: Pairs) -> None:
    aligner = fitted(Recorded(rank=6, weight=3.0, warm_up=warm_up, levels=2), pairs)
    assert aligner.ratios == pytest.approx(weights, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("structure", {"weight": 100.0, "levels": 2, "structure_tau": 0.2}),
        ("sail", {"hidden": 16, "mixup": 1.0}),
    ],
)
def test_two_processes_take_the_steps_of_one(name: str, changed: dict[str, Any], pairs: Pairs, tmp_path: Path) -> None:
    """Plain gradient steps: the heads differ as the gradients of the joined batches do, mixed or not."""
    plain = {
        "rank": 6,
        "scheduler": None,
        "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.05, "weight_decay": 0.0},
    }
    one = fit(name, plain | changed, pairs, 2)
    states = fit_by_two(tmp_path, name, plain | changed, pairs, 2)
    start = fit(name, plain | changed | {"optimizer": {**plain["optimizer"], "lr": 0.0}}, pairs, 1)
    for key, value in one.items():
        assert torch.equal(states[0][key], states[1][key])
        torch.testing.assert_close(states[0][key], value, rtol=0, atol=1e-5)
    heads = [key for key in one if key.startswith("head_") and key.endswith("weight")]
    assert all((one[key] - start[key]).abs().max() > 1e-2 for key in heads)
