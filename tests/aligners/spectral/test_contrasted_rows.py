"""Kept rows lie in one piece of memory: between what comes and goes with a batch they would leave holes."""

import torch

from aligners import UniConSpectral
from aligners.spectral.contrasted_rows import ContrastedRows
from aligners.spectral.rows import ItemSample
from aligners.spectral.training import Training, raw_features
from datamodules.pairs.arrays import pairs_of_tensors
from datamodules.pairs.batches import GroupBatches
from datamodules.pairs.pairs import PairBatch
from datamodules.pairs.stream import Stream
from tests.problems import random_features


def test_rows_of_many_batches_share_one_memory_before_and_within_a_span() -> None:
    x, y, _ = random_features(300, 1, 8, 6, seed=0)
    pairs, settings = pairs_of_tensors(x, y), UniConSpectral(rank=4, feature_map="identity").settings
    features = raw_features(settings, 8, 6, "identity", settings.kernel_maps[0])
    training = Training(settings, features, pairs, None, torch.clone, torch.clone, x.device, False)
    stream = Stream(pairs, GroupBatches(pairs.group, batch_size=10, seed=0), x.device)
    rows = ContrastedRows(training, stream, ItemSample(pairs, 100), memory_mb=100)
    for batch in stream():
        rows.add(batch, None)
    raw = list(rows.raw())

    def half(batch: PairBatch) -> PairBatch:
        return batch._replace(x=batch.x[:, :4] / 2, y=batch.y[:, :3] / 2)

    halved = list(rows.within(half, 4, 3))
    # room for the rows within the span alone: read for it, and kept
    some = ContrastedRows(training, stream, ItemSample(pairs, 100), memory_mb=100 * (4 + 3) * 4 / 2**20)
    read = [batch for batch in some.within(half, 4, 3) if len(batch.x_index)]
    assert len(raw) == len(halved) > 20
    for before, after in zip(raw, halved, strict=True):
        assert torch.equal(after.x, before.x[:, :4] / 2)
        assert torch.equal(after.y, before.y[:, :3] / 2)
    assert all(map(torch.equal, (batch.x for batch in halved), (batch.x for batch in read)))
    for batches in (raw, halved, read):
        for place in range(len(PairBatch._fields)):
            assert len({batch[place].untyped_storage().data_ptr() for batch in batches}) == 1
