"""The speed benchmark end to end on tiny data, and how it measures one fit."""

import mmap
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from benchmarks import peers, speed, speed_contestants, timed_fit
from benchmarks.features_file import features_file, read_splits
from benchmarks.record import ROOT, Record
from benchmarks.speed_floors import products
from benchmarks.speed_shapes import QUICK_MODEL, QUICK_SHAPE, data
from ground.configs import CONFIGS
from ground.errors import UserError
from tests.benchmarks.records import record_of
from tests.problems import random_features


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Fits in this process: theirs take longer to start than to fit. Returns the checkouts that are asked for."""
    checkouts: list[Path] = []

    def fitted(checkout: Path, overrides: list[str], limit: float) -> dict[str, Any]:
        checkouts.append(checkout)
        try:
            return timed_fit.measure(CONFIGS, overrides)
        except UserError as error:
            return {"note": str(error)}

    monkeypatch.setattr(speed_contestants, "fitted", fitted)
    return checkouts


def test_speed(here: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    splits = read_splits(features_file(QUICK_MODEL, QUICK_SHAPE))
    missing = {"cca-zoo CCA": "not installed", "cca-zoo RidgeCCA": "not installed"}
    monkeypatch.setattr(
        speed_contestants, "in_process", lambda name, file, rank, lam, limit: peers.measure(name, splits, rank, lam)
    )
    monkeypatch.setattr(speed_contestants, "missing", missing.get)
    monkeypatch.setattr(speed_contestants, "SGD_START", ["trainer.max_epochs=3"])
    monkeypatch.setattr(speed_contestants, "DEFAULTS", {name: name for name in ("identity", "pls", "sgd_clip")})
    speed.main(["--quick", "--repeats", "2", "--skip", "scikit-learn CCA", "unicon feature_map=identity"])
    record = record_of("speed")
    ((shape, summary),) = record["summary"].items()
    assert shape == "flickr30k"
    assert summary["cca-zoo CCA"] == {"note": "not installed"}
    assert len(record["results"][shape]["cca-zoo CCA"]) == 1
    assert "one dimension on both sides" in summary["identity"]["note"]
    assert not {"scikit-learn CCA", "unicon feature_map=identity"} & set(summary)
    notes = {name for name, each in summary.items() if "note" in each}
    assert notes == {"identity", "cca-zoo CCA", "cca-zoo RidgeCCA"}
    for name in ("pls", "sgd_clip", "sgd_clip tuned", *speed_contestants.UNICON, "scipy CCA", "scikit-learn PLSSVD"):
        assert len(summary[name]["val"]["values"]) == 2
    epochs = {name: len(record["results"][shape][name][0]["recalls"]) for name in ("sgd_clip", "sgd_clip tuned")}
    assert epochs == {"sgd_clip": 2, "sgd_clip tuned": 3}
    assert summary["sgd_clip"]["share_of_sgd"] == 1
    assert set(record["shares"]) == {"10%", "30%", "100%"}
    assert record["shares"]["100%"]["val"] == summary["unicon linear, closed form"]["val"]
    told = capsys.readouterr().out
    assert "clipart is left out: --clipart FILE" in told
    assert "mscoco is left out" in told
    assert "share of the images" in told


def test_shapes_and_another_checkout(here: list[Path], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    x, y, _ = random_features(60, 1, 12, 9, seed=0)
    save_file({"x": x, "y": y}, "own.safetensors")
    then = tmp_path / "then"
    then.mkdir()
    (then / "train.py").touch()
    shapes = ["--shapes", "mscoco", "clipart", "--clipart", "own.safetensors"]
    speed.main(["--quick", "--repeats", "1", *shapes, "--aligners", "sgd_clip", "cca", "--beside", str(then)])
    record = record_of("speed")
    assert set(record["summary"]) == {"mscoco", "clipart"}
    for summary in record["summary"].values():
        assert set(summary) == {"matrix products", "cca", "sgd_clip", "sgd_clip of then"}
        assert summary["sgd_clip of then"]["val"] == summary["sgd_clip"]["val"]
    assert here == [ROOT, ROOT, then] * 2
    told = capsys.readouterr().out
    assert "mscoco: 300 images (48-d) with 600 captions (32-d), made" in told
    assert "clipart: 48 images (12-d) with 48 captions (9-d)" in told


def test_every_method_takes_part_once() -> None:
    methods = {path.stem for path in (CONFIGS / "aligner").glob("*.yaml") if "_paper" not in path.stem}
    assert set(speed_contestants.DEFAULTS) == methods | {"unicon_paper"}
    names = speed_contestants.names(["flickr30k"])
    assert len(names) == len(set(names))


def test_gradient_descent_gets_its_quickest_good_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    results = {"1": (50.0, 9.0), "2": (49.8, 3.0), "3": (49.0, 1.0)}  # recall and seconds by learning rate

    def own(checkout: Path, aligner: str, overrides: list[str], *_: Any) -> Any:
        recall, seconds = results[overrides[-1].split("=")[1]]
        return lambda repeat: {"val": recall, "seconds_to_best": seconds}

    monkeypatch.setattr(speed_contestants, "own", own)
    record = Record("speed", {})
    assert speed_contestants.tune(Path(), {"lr": [1, 2, 3]}, [], 9, record) == ["lr=2"]
    assert len(record.content["tuning"]) == 3
    monkeypatch.setattr(speed_contestants, "own", lambda *_: lambda repeat: {"note": "stopped after 9 s"})
    with pytest.raises(UserError, match="no setting of sgd_clip could be tuned: stopped after 9 s"):
        speed_contestants.tune(Path(), {"lr": [1, 2, 3]}, [], 9, record)


def test_validation_is_not_in_the_time_of_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 5.0, 7.0, 10.0, 15.0, 18.0])  # start, two validations from 5 to 7 and from 10 to 15, end
    monkeypatch.setattr(timed_fit, "_now", lambda: next(ticks))
    clock: Any = timed_fit.WholeFit()
    for _ in range(2):
        clock.on_validation_start(None, None)
        clock.on_validation_end(None, None)
    assert clock.seconds == [5.0, 8.0]
    assert clock.total() == 11.0


def test_own_memory_is_what_was_taken_since_the_start() -> None:
    if timed_fit.anonymous_mb() is None:
        pytest.skip("the system does not tell")
    memory = timed_fit.OwnMemory()
    memory.start()
    # pages of its own: what an allocator gives may be memory that the process has had for long
    with mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as taken:
        taken.write(bytes([1]) * len(taken))
        for _ in range(1000):
            if memory.peak_mb > memory.start_mb + 60:
                break
            time.sleep(0.01)
    assert 60 < memory.end()["own_mb"] < 200


def test_the_floor_takes_items_of_any_number_of_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.speed_floors.BLOCK", 16)
    x, y, _ = random_features(60, 1, 12, 9, seed=0)
    x_of_y = torch.cat([torch.arange(60), torch.arange(60)[::2]])
    save_file({"x": x, "y": torch.cat([y, y[::2]]), "x_of_y": x_of_y}, "own.safetensors")
    train = data("clipart", Path("own.safetensors"), quick=True).train
    assert products(train)(0)["fit_seconds"] > 0


def test_a_fit_is_stopped() -> None:
    assert speed_contestants.fitted(ROOT, [], limit=0.01) == {"note": "stopped after 0 s"}


def test_what_a_fit_fails_of_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(timed_fit, "_warm_up", lambda: None)
    of_file = ["datamodule=features", "datamodule.path=none.safetensors"]
    for overrides, line in (
        (["aligner=cca", *of_file], "no features file at none.safetensors: "),
        (["aligner=cca", "aligner.lam=-1", *of_file], "aligner.lam must be at least 0, got -1"),
        (["aligner=cca", "aligner.lamb=1", *of_file], "ConfigAttributeError: Key 'lamb' is not in struct"),
    ):
        with pytest.raises(SystemExit) as end:
            timed_fit.main(str(CONFIGS), "result.json", *overrides)
        assert end.value.code == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith(line)
    assert not Path("result.json").exists()


def test_a_fit_in_a_process_is_that_in_this_one() -> None:
    file = features_file(QUICK_MODEL, QUICK_SHAPE)
    measure = speed_contestants.own(ROOT, "cca", ["aligner.rank=8"], file.resolve(), limit=600)
    there = measure(0)
    here = timed_fit.measure(
        CONFIGS, ["aligner=cca", "aligner.rank=8", "datamodule=features", f"datamodule.path={file}", "seed=0"]
    )
    assert there.keys() == here.keys()
    assert there["recalls"] == pytest.approx(here["recalls"])
    assert there["test"] == pytest.approx(here["test"])
    assert there["seconds_to_best"] <= there["fit_seconds"]
