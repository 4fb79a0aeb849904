"""What ends a benchmark early: a user's mistake in one line, Ctrl-C, a run that fails; what was measured is kept."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from benchmarks import gate, peers, quality, scale, scale_fit, speed
from benchmarks.features_file import features_file, read_splits
from benchmarks.record import ROOT, Record, command
from benchmarks.speed_shapes import QUICK_MODEL, QUICK_SHAPE
from ground.errors import UserError
from tests.problems import random_features

Main = Callable[[Sequence[str]], None]


def ended(main: Main, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of ``main`` on a command line."""
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    with pytest.raises(SystemExit) as end:
        command(main)
    return int(end.value.code or 0)


def features(path: Path) -> Path:
    x, y, _ = random_features(60, 1, 9, 7, seed=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"x": x, "y": y}, path)
    return path


MISTAKES: dict[str, tuple[Main, list[str], str]] = {
    "aligner": (quality.main, ["--aligners", "unicorn"], "unknown aligner 'unicorn': did you mean 'unicon'"),
    "no aligner": (quality.main, ["--aligners"], "--aligners: expected at least one argument"),
    "file": (quality.main, ["--features", "nowhere.st"], "no features file at nowhere.st"),
    "home": (quality.main, ["--features", "~/nowhere.st"], "no features file at HOME/nowhere.st"),
    "no seed": (quality.main, ["--seeds", "-1"], "--seeds: must be a whole number of at least 1, got -1"),
    "seed": (quality.main, ["--seeds", "x"], "--seeds: must be a whole number of at least 1, got x"),
    "ablation": (quality.main, ["--ablation", "--aligners", "cca"], "--ablation parts has no row of cca: take unicon"),
    "quick": (quality.main, ["--quick", "--features", "a"], "--quick has data of its own"),
    "sizes": (scale.main, ["--quick", "--sizes", "10"], "--quick has sizes of its own"),
    "size": (scale.main, ["--sizes", "0"], "--sizes: must be a whole number of at least 1, got 0"),
    "contestant": (speed.main, ["--skip", "sgd-clip"], "unknown contestant 'sgd-clip': did you mean 'sgd_clip'"),
    "no contestant": (speed.main, ["--aligners", "scipy"], "unknown contestant 'scipy': did you mean 'scipy CCA'"),
    "shape": (speed.main, ["--shapes", "coco"], "invalid choice: 'coco'"),
    "no features": (speed.main, ["--shapes", "clipart"], "--shapes clipart needs its features: give --clipart"),
    "features": (speed.main, ["--flickr8k", "~/none"], "no features file at HOME/none: give --flickr8k"),
    "beside": (speed.main, ["--beside", "~/none"], "HOME/none is no checkout: there is no train.py in it"),
    "tune": (speed.main, ["--shapes", "mscoco", "--tune"], "--tune is for flickr30k: name it in --shapes"),
    "limit": (speed.main, ["--limit", "0"], "--limit: must be a whole number of at least 1, got 0"),
    "peer": (peers.main, ["cca", "a", "b", "8", "0.1"], "unknown peer 'cca'"),
    "peer's data": (peers.main, ["scipy CCA", "text", "b", "8", "0.1"], "cannot read text ("),
    "fit": (scale_fit.main, ["folder"], "the following arguments are required"),
    "root": (gate.main, ["record", "out", "--root", "nowhere"], "no checkout: there is no train.py in it"),
    "data": (gate.main, ["record", "out", "--data", "nowhere"], "--data nowhere is no folder"),
    "jobs": (gate.main, ["record", "out", "--jobs", "0"], "--jobs: must be a whole number of at least 1, got 0"),
    "a file": (gate.main, ["record", "text", "--only", "aligner_cca"], "cannot write "),
    "record": (gate.main, ["compare", "~/none", "~/none"], "HOME/none holds no record"),
    "no record": (gate.main, ["compare", "broken", "broken"], "cannot read broken/a.json: "),
    "other JSON": (gate.main, ["compare", "other", "other"], "other/a.json is no record of the gate"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_is_one_line(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    Path("text").write_text("text")
    for folder, text in (("broken", "{"), ("other", "[1]")):
        Path(folder).mkdir()
        Path(folder, "a.json").write_text(text)
    main, arguments, line = MISTAKES[kind]
    assert ended(main, monkeypatch, *arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert line.replace("HOME", str(tmp_path / "home")) in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("taken", "main", "arguments"),
    [
        ("outputs", quality.main, ["--quick", "--aligners", "cca"]), ("outputs", scale.main, ["--quick"]),
        ("cache", speed.main, ["--quick"]), ("cache", scale.main, ["--quick"]),
    ],
)  # fmt: skip
def test_what_cannot_be_written(
    taken: str, main: Main, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(taken).touch()  # a file where a folder is to be
    assert ended(main, monkeypatch, *arguments) == 2
    assert capsys.readouterr().err.startswith("error: cannot write ")


def test_a_damaged_file_of_the_cache() -> None:
    path = features_file(QUICK_MODEL, QUICK_SHAPE)
    path.write_bytes(path.read_bytes()[:999])
    with pytest.raises(UserError, match=r"cannot read cache/benchmarks/.*: delete it, it is made again"):
        read_splits(path)


def test_what_was_measured_before_ctrl_c_is_shown_and_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, calls = quality.run, iter(range(9))

    def interrupted(config: Any) -> Any:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return run(config)

    monkeypatch.setattr(quality, "run", interrupted)
    assert ended(quality.main, monkeypatch, "--quick", "--aligners", "cca", "pls", "--seeds", "2") == 130
    told = capsys.readouterr()
    assert told.err == "interrupted: what was measured before is kept\n"
    assert "cca minus it" in told.out
    (path,) = Path("outputs/benchmarks/quality").glob("*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    counts = {row["aligner"]: len(row["fit_seconds"]["values"]) for row in record["summary"]["synthetic"]}
    assert counts == {"cca": 2, "pls": 1}
    assert [each.name for each in path.parent.iterdir()] == [path.name]  # and no part of a file


def test_data_that_cannot_be_used_hides_no_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quality, "LESS", [*quality.LESS, "aligner.rank=3"])
    good = features(Path("[b] a,b=c/x[b] 'q'.safetensors"))
    Path("damaged.safetensors").write_bytes(b"text")
    files = ["--features", str(good), "damaged.safetensors", str(good)]
    options = ["--no-bundled", "--aligners", "cca", "cca", "--seeds", "1"]
    assert ended(quality.main, monkeypatch, *files, *options) == 2
    told = capsys.readouterr()
    assert "x[b] 'q': test split, rates in percent" in told.out
    assert told.err.startswith("error: no aligner could run on damaged: damaged.safetensors is not a whole safetensors")
    (path,) = Path("outputs/benchmarks/quality").glob("*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert {name: len(runs) for name, runs in record["runs"].items()} == {"x[b] 'q'": 1, "damaged": 0}


def test_a_fit_that_fails_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fit(folder: Path, n: int, aligner: str, overrides: list[str]) -> dict[str, float]:
        if n > 1000:
            raise UserError("killed")
        return {"fit_seconds": 1.0, "rss_mb": 1.0, "recall": 50.0}

    monkeypatch.setattr(scale, "in_process", fit)
    assert ended(scale.main, monkeypatch, "--quick", "--repeats", "2") == 0
    out = capsys.readouterr().out
    assert "1,000" in out
    assert "not measured" in out
    assert "killed" in out
    monkeypatch.setattr(scale, "in_process", lambda *_: fit(Path(), 2000, "", []))
    assert ended(scale.main, monkeypatch, "--quick", "--repeats", "1") == 2
    assert capsys.readouterr() == ("", "error: killed\n")


def test_a_mistake_in_a_process_is_told_without_its_class() -> None:
    scale.write_shards(scale.QUICK_MODEL, [20], Path())
    with pytest.raises(UserError, match=r"the fit of cca on 20 pairs ended: aligner.rank must be at least 1, got 0"):
        scale_fit.in_process(Path(), 20, "cca", ["aligner.rank=0"])


def test_a_record_is_whole_or_the_former_one(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record("speed", {})
    record.save(a=1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
        record.save(b=2)
    assert json.loads(record.path.read_text(encoding="utf-8"))["a"] == 1


def test_the_gate_keeps_what_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(root: Path, run_dir: Path, overrides: Sequence[str]) -> str | None:
        run_dir.mkdir(parents=True)
        (run_dir / "metrics.json").write_text('{"test/mean_recall": 1.0, "time/fit_seconds": 2.0}')
        return "it broke" if "aligner=cca" in overrides else None

    monkeypatch.setattr(gate, "_run", run)
    (tmp_path / "out" / "runs").mkdir(parents=True)
    (tmp_path / "out" / "runs" / "mine").touch()
    with pytest.raises(UserError, match=r"1 of \d+ runs failed: aligner_cca"):
        gate.record(ROOT, tmp_path, tmp_path / "out", 1, "aligner_*")
    names = {path.stem for path in (tmp_path / "out").glob("*.json")}
    assert "aligner_pls" in names
    assert "aligner_cca" not in names
    assert (tmp_path / "out" / "runs" / "mine").exists()  # a folder of the user's
    assert not list((tmp_path / "out").glob("runs-*"))


def test_an_interval_needs_two_groups() -> None:
    metrics = {"test/mean_recall": 1.0, "time/fit_seconds": 1.0}
    runs = [{"name": "d", "aligner": name, "seed": 0, "set": [], "metrics": metrics} for name in ("cca", "pls")]
    one_group = {name: [torch.ones(1, dtype=torch.float64)] for name in ("cca", "pls")}
    _, rows = quality.tables("d", runs, one_group, {})
    assert "behind" not in rows[1]
