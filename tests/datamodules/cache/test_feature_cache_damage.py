"""Damage to a cache is found when it is read, and mended."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.datamodules.cached import Fake, build, everything, expected, only_folder, texts, tree, warned


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path, place: int = -5) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


def flip_header(path: Path) -> None:
    flip(path, 60)


def other_shard(path: Path) -> None:
    path.write_bytes(path.with_name("00000.safetensors").read_bytes())


@pytest.mark.parametrize("manifest", ["kept", "none yet", "broken"])
@pytest.mark.parametrize("damage", [cut, empty, flip, flip_header, other_shard, Path.unlink])
def test_a_damaged_shard_alone_is_extracted_again(
    damage: Callable[[Path], None], manifest: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build(tmp_path).features(texts(17), Fake())
    before, folder = tree(tmp_path), only_folder(tmp_path)
    damage(folder / "00002.safetensors")
    if manifest == "none yet":
        (folder / "manifest.json").unlink()
    if manifest == "broken":
        (folder / "manifest.json").write_text("{")
    backbone = Fake()
    features = build(tmp_path).features(texts(17), backbone)
    assert backbone.seen == [f"text {i}" for i in range(10, 15)]
    assert features.extracted_items == 5
    assert tree(tmp_path) == before
    assert torch.equal(everything(features), expected(texts(17), Fake(), 5))
    if damage is Path.unlink and manifest == "none yet":
        assert warned(caplog) == []  # an interrupted run, not damage
    else:
        (warning,) = warned(caplog)
        assert "damaged feature cache" in warning
        assert "00002.safetensors" in warning
        assert "\n" not in warning
    caplog.clear()
    assert not build(tmp_path).features(texts(17), Fake()).extracted
    assert warned(caplog) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"shards": [1]}', '{"shards": 0}', "\ud800", None])
def test_a_broken_manifest_is_written_anew_without_extraction(
    text: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build(tmp_path).features(texts(7), Fake())
    before = tree(tmp_path)
    path = only_folder(tmp_path) / "manifest.json"
    if text is None:  # one digit of one checksum
        flip(path, path.read_bytes().rindex(b'"sha256": "') + 15)
    else:
        path.write_bytes(text.encode(errors="surrogatepass"))
    backbone = Fake()
    assert not build(tmp_path).features(texts(7), backbone).extracted
    assert backbone.seen == []
    assert tree(tmp_path) == before
    (warning,) = warned(caplog)
    assert "manifest.json" in warning


def test_files_of_others_are_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(tmp_path).features(texts(7), Fake())
    folder = only_folder(tmp_path)
    for name in ("notes.txt", "99999.safetensors", "x.safetensors"):
        (folder / name).write_text("garbage")
    before = tree(tmp_path)
    features = build(tmp_path).features(texts(7), Fake())
    assert not features.extracted
    assert features.shape == (7, 6)
    assert tree(tmp_path) == before
    assert warned(caplog) == []
