"""Batches as each of several processes would get them, simulated in one."""

import pytest
from torch import Tensor
from torch.utils.data import Sampler

from datamodules.pairs import batches


def simulated(monkeypatch: pytest.MonkeyPatch, sampler: Sampler[Tensor], world: int) -> list[list[list[int]]]:
    """``[process][batch]`` rows, as each of ``world`` processes gets them; ``len`` is right in each."""
    parts = []
    for rank in range(world):
        monkeypatch.setattr(batches, "rank_and_world", lambda rank=rank: (rank, world))
        parts.append([part.tolist() for part in sampler])
        assert len(sampler) == len(parts[-1])  # type: ignore[arg-type]
    assert len({len(part) for part in parts}) == 1
    return parts
