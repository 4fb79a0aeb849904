"""Moments of a sample of the training batches."""

import pytest
import torch

from aligners.spectral.moments import Moments
from aligners.spectral.sampling import Growth, SampledMoments
from aligners.spectral.settings import Chosen
from aligners.spectral.trial import Trial
from datamodules.pairs.pairs import PairBatch

AT = Chosen(1.0, 0.1, 1.0, 0, "tangent")
BATCHES = [PairBatch(*torch.randn(2, 5, 3).unbind(), *torch.arange(5).expand(4, 5)) for _ in range(32)]


def trial(level: float) -> Trial:
    hits = torch.full((20,), level, dtype=torch.float64)
    return Trial(AT, (hits, hits))


def sampled(sample: float | str, levels: list[float]) -> tuple[Moments, list[int]]:
    """The moments of 32 batches, and how many items they had at each trial."""
    tried: list[int] = []

    def tries(moments: Moments) -> Trial:
        tried.append(int(moments.count_x))
        return trial(levels[len(tried) - 1])

    of_sample = SampledMoments(Moments(3, 3, 160, 160, "cpu"), sample, 32, tries)
    for batch in BATCHES:
        of_sample.add(batch if of_sample.wants_next else None)
    of_sample.moments.tensors()
    return of_sample.moments, tried


def test_moments_are_enough_when_twice_the_items_are_not_better() -> None:
    growth = Growth()
    assert [growth.due(share) for share in (0.01, 0.07, 0.1, 0.3, 0.4, 0.6, 1.0)] == [
        False, True, False, True, False, True, False,
    ]  # fmt: skip
    for level, enough in ((10.0, False), (20.0, False), (20.0, True)):
        growth.add(trial(level))
        assert growth.enough == enough


@pytest.mark.parametrize(("share", "batches"), [(1.0, 32), (0.5, 16), (0.1, 3), (0.001, 1)])
def test_a_share_takes_the_first_batches(share: float, batches: int) -> None:
    moments, tried = sampled(share, [])
    assert int(moments.count_x) == 5 * batches
    assert tried == []
    whole = Moments(3, 3, 160, 160, "cpu")
    for batch in BATCHES[:batches]:
        whole.add(batch)
    for one, other in zip(moments.tensors(), whole.tensors(), strict=True):
        assert torch.equal(one, other)


def test_enough_stops_at_the_first_trial_that_is_not_better() -> None:
    moments, tried = sampled("enough", [10.0, 20.0, 20.0])
    assert tried == [10, 20, 40]  # after 1/16, 1/8 and 1/4 of 160
    assert int(moments.count_x) == 40
    moments, tried = sampled("enough", [10.0, 20.0, 30.0, 40.0])
    assert int(moments.count_x) == 160  # it went on improving
