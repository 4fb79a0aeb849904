"""Features on disk: keyed by content, resumed after a kill, checked when read."""

import fcntl
import hashlib
import json
import logging
import multiprocessing
import os
import pickle
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from datamodules import extraction, feature_cache
from datamodules.feature_cache import CachedFeatures, FeatureCache
from datamodules.items import ImageFiles, Texts, Unreadable
from errors import UserError

# Children are forked from a server that has imported once what takes long.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["torch", "safetensors.torch", "rich.progress", "PIL.Image", "hypothesis", "pytest"])


class Fake:
    """Features from hashes. They depend on the batch too, as those of a real model do in their last bits."""

    dim = 6

    def __init__(self, fingerprint: str = "fake", batch_size: int = 3, delay: float = 0) -> None:
        self.fingerprint, self.batch_size, self.delay = fingerprint, batch_size, delay
        self.seen: list[Any] = []
        self.log: Path | None = None

    def encode(self, items: list[Any]) -> Tensor:
        time.sleep(self.delay)
        self.seen += items
        if self.log:
            with self.log.open("a") as file:
                file.write("".join(f"{item}\n" for item in items))
        rows = []
        for item in items:
            data = item.encode() if isinstance(item, str) else item.tobytes()
            seed = int.from_bytes(hashlib.sha256(data + bytes([len(items)])).digest()[:6], "little")
            rows.append(torch.randn(self.dim, generator=torch.Generator().manual_seed(seed)))
        return torch.stack(rows)


class Holes(Texts):
    """Texts, of which those that start with ! cannot be read."""

    def __getitem__(self, i: int) -> str:
        text = super().__getitem__(i)
        if text.startswith("!"):
            raise Unreadable(f"{text[1:]}: is\nbroken")
        return text


def texts(n: int) -> Texts:
    return Texts([f"text {i}" for i in range(n)], "captions train")


def build(folder: Path, precision: str = "float32", size: int = 5, share: float = 0.5) -> FeatureCache:
    return FeatureCache(folder, precision, size, share)


def expected(source: Texts, backbone: Fake, size: int) -> Tensor:
    """Without any cache: batches that start anew with each shard."""
    rows = []
    for first in range(0, len(source), size):
        stop = min(first + size, len(source))
        starts = range(first, stop, backbone.batch_size)
        rows += [backbone.encode(source.strings[i : min(i + backbone.batch_size, stop)]) for i in starts]
    return torch.cat(rows)


def everything(features: CachedFeatures) -> Tensor:
    return features[torch.arange(len(features))]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def only_folder(folder: Path) -> Path:
    (only,) = folder.iterdir()
    return only


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# --- what comes back ---------------------------------------------------------------------------------------


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
        "precision": "float32", "items": 3, "rows": 2, "shard_size": 2, "extraction_version": 1,
        "unreadable": [{"item": 1, "reason": "b: is broken"}], "shards": files,
    }  # fmt: skip


# --- the key -----------------------------------------------------------------------------------------------


def test_the_key_changes_with_all_that_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = ["a", "b", "c"]

    def key(strings: list[str] = base, name: str = "n", print_: str = "fake", **of_cache: Any) -> str:
        return build(tmp_path, **of_cache).key(Texts(strings, name), Fake(print_))

    keys = [
        key(), key(["a", "b", "d"]), key(["b", "a", "c"]), key([*base, ""]), key(name="m"),
        key(print_="other"), key(precision="float16"), key(size=4),
    ]  # fmt: skip
    assert key() == key(share=0.1) == keys[0]
    monkeypatch.setattr(feature_cache, "EXTRACTION_VERSION", feature_cache.EXTRACTION_VERSION + 1)
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


# --- kills -------------------------------------------------------------------------------------------------

N, SIZE = 26, 6
LEN_SHARDS = 5


def work(folder: Path, log: Path, delay: float, die_at: int | None, locks: bool = True) -> None:
    """In a child: extracts, and kills itself at the ``die_at``-th step of the writing."""
    steps = iter(range(1_000_000))

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            for run in (None, call):
                result = run(*args) if run else None
                if next(steps) == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return result

        return step

    os.fsync, Path.replace = dying(os.fsync), dying(Path.replace)  # type: ignore[method-assign]
    if not locks:

        def refuse(*args: Any) -> None:
            raise OSError("no locks here")

        fcntl.flock = refuse
    backbone = Fake(delay=delay)
    backbone.log = log
    build(folder, size=SIZE).features(holed(), backbone, progress=False)


def holed() -> Holes:
    return Holes([f"!{i}" if i in (2, 13) else str(i) for i in range(N)], "captions train")


def start(*args: Any) -> Any:
    child = PROCESSES.Process(target=work, args=args)
    child.start()
    return child


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    build(folder, size=SIZE).features(holed(), Fake())
    return tree(folder)


def finished_items(folder: Path) -> set[str]:
    """The items of the shards that stand under their final names."""
    numbers = [int(path.stem) for path in folder.glob("*/*.safetensors")]
    return {str(i) for k in numbers for i in range(k * SIZE, min((k + 1) * SIZE, N))}


def lines(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_random_moments_ends_with_the_same_bytes(
    seed: int, tmp_path: Path, uninterrupted: dict[str, bytes]
) -> None:
    moments = random.Random(seed)
    folder, killed = tmp_path / "cache", 0
    for attempt in range(8):
        log, done = tmp_path / f"log{attempt}", finished_items(folder)
        child = start(folder, log, 0.04, None)
        if attempt < 6:
            while child.is_alive() and not log.exists():  # count from the start of the work, not of the process
                time.sleep(0.002)
            child.join(moments.uniform(0, 0.25))
            child.kill()
        child.join()
        assert child.exitcode in (0, -signal.SIGKILL)
        killed += child.exitcode != 0
        assert not done & set(lines(log))
        if child.exitcode == 0:
            break
    assert killed
    assert tree(folder) == uninterrupted


# Each of 5 shards and the manifest: before and after fsync, before and after the rename.
@pytest.mark.parametrize("step", range(4 * (LEN_SHARDS + 1)))
def test_killed_at_each_step_of_writing(step: int, tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    folder, log = tmp_path / "cache", tmp_path / "log"
    child = start(folder, log, 0, step)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    done = finished_items(folder)
    assert len(done) == min(N, (step + 1) // 4 * SIZE)
    backbone = Fake()
    features = build(folder, size=SIZE).features(holed(), backbone)
    assert set(backbone.seen) == set(holed().strings) - done - {"!2", "!13"}
    assert features.extracted_items == N - len(done)
    assert tree(folder) == uninterrupted


@pytest.mark.parametrize("locks", [True, False])
def test_two_processes_at_once(locks: bool, tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    folder, logs = tmp_path / "cache", [tmp_path / "log0", tmp_path / "log1"]
    children = [start(folder, log, 0.01, None, locks) for log in logs]
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    assert tree(folder) == uninterrupted
    if locks:  # the second waits and finds the work done
        assert max(Counter(lines(logs[0]) + lines(logs[1])).values()) == 1


def test_a_waiting_process_takes_over_from_a_killed_one(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    folder, logs = tmp_path / "cache", [tmp_path / "log0", tmp_path / "log1"]
    first = start(folder, logs[0], 0.03, None)
    while not logs[0].exists():
        time.sleep(0.002)
    second = start(folder, logs[1], 0, None)
    second.join(0.1)
    assert not logs[1].exists()
    first.kill()
    first.join()
    second.join()
    assert second.exitcode == 0
    assert tree(folder) == uninterrupted


# --- damage ------------------------------------------------------------------------------------------------


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


# --- what cannot be read or stored -------------------------------------------------------------------------


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
    with pytest.raises(UserError, match=r"shard_size .* at least 1, got 0"):
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


# --- gathering ---------------------------------------------------------------------------------------------


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

        def encode(self, items: list[Any]) -> Tensor:
            return torch.ones(len(items), self.dim)

    build(tmp_path, size=100).features(texts(800), Wide(batch_size=50))  # 64 MB
    before = own_memory()
    features = build(tmp_path, size=100).features(texts(800), Wide())
    assert not features.extracted
    assert features[torch.arange(0, 800, 100)].sum() == 8 * 20_000
    assert own_memory() - before < 16e6


# --- progress ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "terminal", "rank", "shown"),
    [(True, True, "0", True), (False, True, "0", False), (True, False, "0", False), (True, True, "1", False)],
)
def test_progress_is_shown_to_whoever_looks(
    ask: bool, terminal: bool, rank: str, shown: bool,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    cache = build(tmp_path)
    cache.features(texts(8), Fake(delay=0.01), progress=ask)
    captured = capsys.readouterr()
    assert captured.out == ""
    if shown:
        assert "captions train" in captured.err
        assert "items/s" in captured.err
    else:
        assert captured.err == ""
    cache.features(texts(8), Fake(), progress=ask)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("variable", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_ranks_by_the_launchers_variables(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert extraction.is_rank_zero()
    monkeypatch.setenv(variable, "0")
    assert extraction.is_rank_zero()
    monkeypatch.setenv(variable, "2")
    assert not extraction.is_rank_zero()
