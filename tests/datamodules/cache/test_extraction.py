"""Extraction by several threads: the bytes of one, the first mistake in order, and a clean end."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from backbones.backbone import Backbone
from datamodules.cache.feature_cache import FeatureCache
from datamodules.cache.workers import AHEAD
from datamodules.items.items import ImageFiles, Texts, Unreadable
from ground.errors import UserError
from tests.datamodules.cached import Fake, Holes, build, everything, expected, texts, tree
from tests.datamodules.fakes import CharacterCounts
from tests.datamodules.threads import torch_threads, workers_alive

SIZE, BATCH = 7, 3  # of shards and of batches: neither fits into the other


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> ImageFiles:
    """Twenty files of five formats, two of them damaged."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = []
    for i in range(20):
        shape = (int(rng.integers(20, 90)), int(rng.integers(20, 90)), 3)
        paths.append(folder / f"{i:02d}.{('png', 'jpg', 'webp', 'tiff', 'bmp')[i % 5]}")
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(paths[-1])
    for i in (4, 11):
        paths[i].write_bytes(paths[i].read_bytes()[:60])
    return ImageFiles(paths, "pictures train")


def network(make: Any, name: str) -> Backbone:
    backbone = make(name, batch_size=BATCH, size=64)
    assert isinstance(backbone, Backbone)
    return backbone


def one_after_another(source: ImageFiles, backbone: Backbone) -> Iterator[Tensor]:
    """Without any cache or thread: batches that start anew with each shard and count damaged items too."""
    for first in range(0, len(source), SIZE):
        for start in range(first, min(first + SIZE, len(source)), BATCH):
            items = []
            for i in range(start, min(start + BATCH, first + SIZE, len(source))):
                try:
                    items.append(source[i])
                except Unreadable:
                    continue
            yield backbone.encode(items)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
def test_any_number_of_threads_writes_the_same_bytes(
    name: str, pictures: ImageFiles, build: Any, tmp_path: Path
) -> None:
    expected_rows = torch.cat(list(one_after_another(pictures, network(build, name))))
    trees = []
    for threads in (1, 2, 3, 9):
        folder = tmp_path / str(threads)
        with torch_threads(threads):
            features = FeatureCache(folder, "float32", SIZE, 0.5).features(pictures, network(build, name))
        assert torch.equal(everything(features), expected_rows)
        assert [i for i, _ in features.unreadable] == [4, 11]
        trees.append(tree(folder))
    assert all(each == trees[0] for each in trees)


def test_a_backbone_of_any_kind_is_used_by_one_thread_at_a_time(tmp_path: Path) -> None:
    class Alone(Fake):
        inside = 0

        def encode(self, items: list[Any]) -> Tensor:
            self.inside += 1
            assert self.inside == 1
            rows = super().encode(items)
            self.inside -= 1
            return rows

    source = texts(23)
    with torch_threads(4):
        features = build(tmp_path).features(source, Alone(delay=0.002))
    assert torch.equal(everything(features), expected(source, Fake(), 5))


def test_a_backbone_that_cannot_be_copied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    backbone = CharacterCounts()
    backbone.lock = threading.Lock()  # type: ignore[assignment]
    with torch_threads(2), caplog.at_level(logging.INFO):
        features = FeatureCache(tmp_path, "float32", 40, 0.5).features(texts(40), backbone)
    assert torch.equal(everything(features), CharacterCounts().encode(texts(40).strings))
    assert "CharacterCounts cannot be copied" in caplog.text
    assert backbone.encoded == 40


class Changed(Texts):
    """Texts, of which those that start with ? have changed meanwhile; the first of these is slow to tell."""

    def __getitem__(self, i: int) -> str:
        text = super().__getitem__(i)
        if text.startswith("?"):
            time.sleep(0.1 if i < 12 else 0)
            raise UserError(f"item {i} changed")
        return text


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_first_mistake_in_order_is_told_and_what_was_before_it_is_kept(threads: int, tmp_path: Path) -> None:
    source = Changed([f"{'?' if i in (11, 12, 17, 19) else ''}{i}" for i in range(30)], "captions train")
    with torch_threads(threads), pytest.raises(UserError, match=r"^item 11 changed$"):
        build(tmp_path).features(source, Fake())
    assert sorted(Path(name).name for name in tree(tmp_path)) == ["00000.safetensors", "00001.safetensors"]
    assert workers_alive() == []


@pytest.mark.parametrize("threads", [1, 3])
def test_features_that_are_not_finite_name_the_first_item(threads: int, tmp_path: Path) -> None:
    class Diverging(CharacterCounts):
        def vector(self, item: str) -> list[float]:
            return [float("nan") if item in ("text 13", "text 14", "text 38") else 1.0] * self.dim

    with torch_threads(threads), pytest.raises(UserError, match="the features of item 13 'text 13' contain NaN"):
        FeatureCache(tmp_path, "float32", 40, 0.5).features(texts(40), Diverging())


def test_few_batches_are_in_memory(tmp_path: Path) -> None:
    class Counted(Holes):
        read = 0

        def __getitem__(self, i: int) -> str:
            Counted.read += 1
            return super().__getitem__(i)

    class Slow(Fake):
        def encode(self, items: list[Any]) -> Tensor:
            done = int(items[-1].split()[1])
            assert Counted.read <= done + 1 + (1 + AHEAD) * 2 * self.batch_size
            return super().encode(items)

    with torch_threads(2):
        build(tmp_path).features(Counted(texts(120).strings, "captions train"), Slow(delay=0.001))


def test_interrupted_it_ends_at_once_and_goes_on_later(tmp_path: Path) -> None:
    class Stuck(Texts):
        def __getitem__(self, i: int) -> str:
            if i == 14:
                for _ in range(30_000):  # ms; what comes after fails where it was not written
                    if any(tmp_path.rglob("00001.safetensors")):
                        break
                    time.sleep(0.001)
                time.sleep(0.05)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.2)
            return super().__getitem__(i)

    source = texts(31)
    with torch_threads(3), pytest.raises(KeyboardInterrupt):
        build(tmp_path / "cache").features(Stuck(source.strings, source.name), Fake())
    assert workers_alive() == []
    written = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert sorted(written) == ["00000.safetensors", "00001.safetensors"]
    with torch_threads(3):
        features = build(tmp_path / "cache").features(source, Fake())
    build(tmp_path / "whole").features(source, Fake())
    assert features.extracted_items == 21
    assert tree(tmp_path / "cache") == tree(tmp_path / "whole")
