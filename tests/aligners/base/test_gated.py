"""Gated heads: what they compute, under any gradient aligner and out of the project."""

import numpy as np
import pytest
import torch

from aligners import SAIL, SGDCLIP, Triplet
from aligners.base.gated import Gated
from aligners.base.trained import TrainedAligner
from aligners.objectives import SigLIP
from datamodules.pairs.pairs import PairBatch, Pairs
from exporting.aligned_head import OPERATIONS
from exporting.heads import head_of
from ground.errors import UserError
from tests.aligners.made import make


def test_a_gate_is_shut_below_0_and_no_wider_than_6() -> None:
    layer = Gated(5, 7)
    x = 9 * torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    of = {name: parameter.detach().numpy() for name, parameter in layer.named_parameters()}
    gate = x.numpy() @ of["gate.weight"].T + of["gate.bias"]
    assert (gate > 6).any()
    assert (gate < 0).any()
    expected = np.minimum(np.maximum(gate, 0), 6) * (x.numpy() @ of["value.weight"].T + of["value.bias"])
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-5, atol=1e-5)
    step = layer.step()
    by_step = OPERATIONS[step.op](x, **step.tensors)
    torch.testing.assert_close(by_step, layer(x))


@pytest.mark.parametrize("kind", [SGDCLIP, Triplet, SAIL])
def test_any_gradient_aligner_has_gated_heads(kind: type[TrainedAligner], pairs: Pairs) -> None:
    aligner = kind(rank=4, head="glu", hidden=9).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=1)
    for head, d in ((aligner.head_x, 24), (aligner.head_y, 17)):
        assert sum(p.numel() for p in head.parameters()) == 2 * 9 * (d + 1) + 4 * (9 + 1)
    assert aligner.encode_x(pairs.x).shape == (61, 4)
    assert [step["op"] for step in head_of(aligner, "y")[0]] == ["centre", "unit", "float", "scale", "gated", "linear"]


def test_no_more_dimensions_than_gates_use(pairs: Pairs) -> None:
    with pytest.raises(UserError, match="glu heads of 4 and 4 inputs have no use for more than 8"):
        SAIL(rank=9, hidden=3).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=1)


def test_a_linear_solution_starts_no_gated_head() -> None:
    with pytest.raises(UserError, match=r"got aligner\.head=glu"):
        SGDCLIP(head="glu", warm_start="unicon")


def test_every_caption_of_an_image_is_a_positive_of_sail() -> None:
    aligner = make("sail", rank=3, hidden=4)
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 3, generator=generator), torch.randn(5, 3, generator=generator)
    groups = torch.tensor([0, 1]), torch.tensor([0, 0, 0, 1, 1])
    loss = aligner.loss(x, y, PairBatch(x, y, *groups, *groups)).item()
    unit_x, unit_y = (z.numpy() / np.linalg.norm(z.numpy(), axis=1, keepdims=True) for z in (x, y))
    logits = 20 * unit_x @ unit_y.T - 10
    signs = np.where(groups[0].numpy()[:, None] == groups[1].numpy(), 1, -1)
    assert loss == pytest.approx(np.log1p(np.exp(-signs * logits)).sum() / 2, rel=1e-5)
    # the released code's mean over two sets of captions, each with one of every image, is this, divided by their number
    cosines, own = torch.from_numpy(unit_x @ unit_y[[0, 3, 1, 4]].T), torch.eye(2, dtype=torch.bool).repeat(1, 2)
    sets = [SigLIP(0.05, -10.0)(part, own[:, :2]) for part in cosines.split(2, dim=1)]
    assert SigLIP(0.05, -10.0)(cosines, own).item() == pytest.approx(float(sum(sets)), rel=1e-5)
