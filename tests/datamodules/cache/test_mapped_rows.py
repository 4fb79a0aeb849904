"""Gathering rows across memory-mapped shards."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from datamodules.cache.feature_cache import CachedFeatures
from tests.datamodules.cached import Fake, Holes, build, everything, texts


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> tuple[CachedFeatures, Tensor]:
    source = Holes([f"!{i}" if i in {0, 10, *range(14, 21)} else str(i) for i in range(33)], "captions")
    features = build(tmp_path_factory.mktemp("mapped"), size=7).features(source, Fake(batch_size=1))
    return features, torch.cat([Fake().encode([str(i)]) for i in features.kept.tolist()])


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(index=st.lists(st.integers(-24, 23), max_size=60))
def test_gathering_is_indexing(index: list[int], mapped: tuple[CachedFeatures, Tensor]) -> None:
    features, rows = mapped
    assert features.shape == rows.shape == (24, 6)
    at = torch.tensor(index, dtype=torch.int64)
    assert torch.equal(features[at], rows[at])
    at = at.sort().values
    assert torch.equal(features[at], rows[at])


def test_indices_out_of_range_or_of_another_kind(mapped: tuple[CachedFeatures, Tensor]) -> None:
    features, _ = mapped
    for index in ([24], [-25], [0, 1, 24]):
        with pytest.raises(IndexError, match="out of range for 24 rows"):
            features[torch.tensor(index)]
    for wrong in (torch.tensor(3), torch.zeros(24, dtype=torch.bool), torch.zeros(2, 2, dtype=torch.int64)):
        with pytest.raises(IndexError, match="vector of int64"):
            features[wrong]


def test_what_is_gathered_is_the_callers_own(mapped: tuple[CachedFeatures, Tensor]) -> None:
    features, rows = mapped
    everything(features).zero_()
    assert torch.equal(everything(features), rows)


def test_pickled_features_map_the_same_files(mapped: tuple[CachedFeatures, Tensor]) -> None:
    features, rows = mapped
    data = pickle.dumps(features)
    copy = pickle.loads(data)
    assert torch.equal(everything(copy), rows)
    assert copy.kept.tolist() == features.kept.tolist()
    # the rows are not in it
    assert rows[0].numpy().tobytes() not in data


def own_memory() -> int:
    """Bytes of the process that no file backs."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_rows_are_mapped_not_loaded(tmp_path: Path) -> None:
    class Wide(Fake):
        dim = 20_000

        def too_long(self, items: list[Any]) -> tuple[int, str]:
            return 0, ""

        def encode(self, items: list[Any]) -> Tensor:
            return torch.ones(len(items), self.dim)

    build(tmp_path, size=100).features(texts(800), Wide(batch_size=50))  # 64 MB
    before = own_memory()
    features = build(tmp_path, size=100).features(texts(800), Wide())
    assert not features.extracted
    assert features[torch.arange(0, 800, 100)].sum() == 8 * 20_000
    assert own_memory() - before < 16e6
