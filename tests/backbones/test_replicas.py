"""Replicas of a backbone in several threads at once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from tests.backbones.test_backbone_contract import DIMS, items_of


@pytest.mark.parametrize("name", DIMS)
def test_replicas_at_once_give_the_bits_of_one(name: str, build: Any) -> None:
    backbone, items = build(name, batch_size=2), items_of(name)
    expected, notes = backbone.encode(items), backbone.too_long(items)
    state = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002
    replicas = backbone.replicas(3)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda each: [(each.encode(items), each.too_long(items)) for _ in range(3)], replicas))
    assert all(torch.equal(rows, expected) and told == notes for each in found for rows, told in each)
    assert np.array_equal(state, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002


@pytest.mark.parametrize("name", DIMS)
def test_replicas_share_the_weights_and_nothing_else(name: str, build: Any) -> None:
    backbone = build(name)
    first, second = backbone.replicas(2)
    assert first is backbone
    assert second.network is not backbone.network
    assert second.fingerprint == backbone.fingerprint
    ours, theirs = backbone.state_dict(keep_vars=True), second.state_dict(keep_vars=True)
    assert ours.keys() == theirs.keys()
    assert all(ours[key] is theirs[key] for key in ours)
    assert not any(parameter.requires_grad for parameter in second.parameters())
    assert not any(module.training for module in second.network.modules())
