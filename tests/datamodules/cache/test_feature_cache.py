"""Features on disk: what comes back, the key, and what cannot be read or stored."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules.cache import entry as cache_entry
from datamodules.cache import feature_cache
from datamodules.items.items import ImageFiles, Texts
from ground.errors import UserError
from tests.datamodules.cached import Fake, Holes, build, everything, expected, only_folder, texts, tree, warned


@pytest.mark.parametrize("n", [1, 4, 5, 6, 15, 17])
def test_features_are_those_of_the_backbone(n: int, tmp_path: Path) -> None:
    source = texts(n)
    features = build(tmp_path).features(source, Fake())
    assert features.shape == (n, 6)
    assert torch.equal(everything(features), expected(source, Fake(), 5))
    assert features.kept.tolist() == list(range(n))
    assert (features.unreadable, features.extracted, features.extracted_items) == ([], True, n)
    assert features.seconds > 0


def test_a_second_run_extracts_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = build(tmp_path).features(texts(12), Fake())
    before = tree(tmp_path)
    backbone = Fake()
    second = build(tmp_path).features(texts(12), backbone)
    assert backbone.seen == []
    assert (second.extracted, second.extracted_items) == (False, 0)
    assert torch.equal(everything(first), everything(second))
    assert tree(tmp_path) == before
    assert warned(caplog) == []


def test_half_precision_stays_as_stored(tmp_path: Path) -> None:
    features = build(tmp_path, "float16").features(texts(7), Fake())
    assert everything(features).dtype == features.dtype == torch.float16
    assert torch.equal(everything(features), expected(texts(7), Fake(), 5).half())


def test_an_empty_source_has_no_rows(tmp_path: Path) -> None:
    for _ in range(2):
        features = build(tmp_path).features(texts(0), Fake())
        assert features.shape == (0, 6)
        assert everything(features).shape == (0, 6)
        assert (features.kept.tolist(), features.extracted) == ([], False)


def test_texts_of_any_script(tmp_path: Path) -> None:
    source = Texts(["猫", "naïve", "👩‍👩‍👧", "שלום", ""], "Überschriften 訓練")
    features = build(tmp_path).features(source, Fake())
    assert torch.equal(everything(features), expected(source, Fake(), 5))
    assert "Überschriften 訓練" in (only_folder(tmp_path) / "manifest.json").read_text("utf-8")


def test_the_manifest_tells_a_person_what_the_folder_is(tmp_path: Path) -> None:
    source = Holes(["a", "!b", "c"], "captions val")
    build(tmp_path, size=2).features(source, Fake("backbone 7"))
    folder = only_folder(tmp_path)
    files = [{"file": name, "rows": 1, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}
             for name in ("00000.safetensors", "00001.safetensors")]  # fmt: skip
    assert json.loads((folder / "manifest.json").read_text()) == {
        "source": "captions val", "source_fingerprint": source.fingerprint, "backbone": "backbone 7",
        "dim": 6,
        "precision": "float32", "items": 3, "rows": 2, "shard_size": 2, "extraction_version": 2, "notes": {},
        "unreadable": [{"item": 1, "reason": "b: is broken"}], "shards": files,
    }  # fmt: skip


def test_the_key_changes_with_all_that_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = ["a", "b", "c"]

    def key(strings: list[str] = base, name: str = "n", print_: str = "fake", **of_cache: Any) -> str:
        return build(tmp_path, **of_cache).key(Texts(strings, name), Fake(print_))

    keys = [
        key(), key(["a", "b", "d"]), key(["b", "a", "c"]), key([*base, ""]), key(name="m"),
        key(print_="other"), key(precision="float16"), key(size=4),
    ]  # fmt: skip
    assert key() == key(share=0.1) == keys[0]
    monkeypatch.setattr(feature_cache, "EXTRACTION_VERSION", cache_entry.EXTRACTION_VERSION + 1)
    keys.append(key())
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("change", ["data", "order", "backbone", "precision", "version"])
def test_a_change_extracts_anew_and_keeps_the_old(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path).features(texts(6), Fake())
    before = tree(tmp_path)
    source, backbone, cache = texts(6), Fake(), build(tmp_path)
    match change:
        case "data":
            source = Texts([*source.strings[:-1], "new"], source.name)
        case "order":
            source = Texts(source.strings[::-1], source.name)
        case "backbone":
            backbone = Fake("other")
        case "precision":
            cache = build(tmp_path, "float16")
        case "version":
            monkeypatch.setattr(feature_cache, "EXTRACTION_VERSION", 99)
    features = cache.features(source, backbone)
    assert features.extracted_items == 6
    assert torch.equal(everything(features), expected(source, Fake(), 5).to(features.dtype))
    assert before.items() < tree(tmp_path).items()


def test_unreadable_items_are_named_counted_and_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = Holes(["a", "!b", "c", "!d", "!e", "!f", "!g", "!h", "!i", "!j", "k", "l"], "captions val")
    features = build(tmp_path, size=2, share=0.7).features(source, Fake())  # shards 2 to 4 are empty
    assert features.kept.tolist() == [0, 2, 10, 11]
    assert features.shape == (4, 6)
    assert [i for i, _ in features.unreadable] == [1, 3, 4, 5, 6, 7, 8, 9]
    assert features.unreadable[0][1] == "b: is broken"
    rows = torch.cat([Fake().encode([t]) for t in "ac"] + [Fake().encode(["k", "l"])])
    assert torch.equal(everything(features), rows)
    (warning,) = warned(caplog)
    assert "captions val: 8 of 12 items (66.67%) cannot be read" in warning
    assert "b: is broken; d: is broken; e: is broken; ..." in warning
    again = build(tmp_path, size=2, share=0.7).features(source, Fake())
    assert not again.extracted
    assert again.unreadable == features.unreadable
    assert again.kept.tolist() == features.kept.tolist()


def test_too_large_a_share_is_an_error_and_keeps_the_work(tmp_path: Path) -> None:
    source = Holes(["a", "!b", "c", "d"], "captions val")
    for backbone in (Fake(), Fake()):
        with pytest.raises(UserError, match=r"^captions val: 1 of 4 items \(25\.00%\).*=0\.2: b: is broken; ") as e:
            build(tmp_path, share=0.2).features(source, backbone)
        assert "\n" not in str(e.value)
    assert backbone.seen == []
    backbone = Fake()
    assert build(tmp_path, share=0.25).features(source, backbone).shape == (3, 6)
    assert backbone.seen == []


def test_nothing_readable_is_always_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 of 2 items"):
        build(tmp_path, share=1.0).features(Holes(["!a", "!b"], "captions"), Fake())


def test_damaged_and_missing_image_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i in (0, 2, 3):
        Image.effect_noise((40, 40), 50 + i).save(paths[i])
    paths[2].write_bytes(paths[2].read_bytes()[:300])
    paths[4].write_text("no image")
    features = build(tmp_path / "cache", share=0.6).features(ImageFiles(paths, "pictures"), Fake())
    assert features.kept.tolist() == [0, 3]
    assert [i for i, _ in features.unreadable] == [1, 2, 4]
    (warning,) = warned(caplog)
    assert all(str(paths[i]) in warning for i in (1, 2, 4))


class Constant(Fake):
    def __init__(self, value: float, at: str) -> None:
        super().__init__()
        self.value, self.at = value, at

    def too_long(self, items: list[Any]) -> tuple[int, str]:
        return 0, ""

    def encode(self, items: list[Any]) -> Tensor:
        rows = super().encode(items)
        rows[[item == self.at for item in items]] = self.value
        return rows


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_features_that_are_not_finite_name_the_item(value: float, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="captions train: the features of item 7 'text 7' contain NaN or Inf"):
        build(tmp_path).features(texts(9), Constant(value, "text 7"))
    assert build(tmp_path).features(texts(9), Fake()).extracted_items == 4  # the first shard was kept


def test_features_beyond_half_precision_are_an_error(tmp_path: Path) -> None:
    build(tmp_path).features(texts(9), Constant(1e6, "text 7"))
    with pytest.raises(UserError, match=r"item 7 .* float16 ends"):
        build(tmp_path, "float16").features(texts(9), Constant(1e6, "text 7"))


def test_a_backbone_that_misstates_its_dim(tmp_path: Path) -> None:
    backbone = Fake()
    backbone.dim = 7
    backbone.encode = lambda items: torch.zeros(len(items), 6)  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"must return \(3, 7\), got \(3, 6\)"):
        build(tmp_path).features(texts(3), backbone)


def test_arguments_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'float61'.*did you mean 'float16'"):
        build(tmp_path, "float61")
    with pytest.raises(UserError, match=r"shard_size must be at least 1, got 0"):
        build(tmp_path, size=0)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match="from 0 to 1"):
            build(tmp_path, share=share)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write the feature cache .*file"):
        build(tmp_path / "file").features(texts(3), Fake())


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(UserError, match="No space left on device; free"):
        build(tmp_path).features(texts(3), Fake())
    assert tree(tmp_path) == {}
