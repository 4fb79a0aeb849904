"""What ends a benchmark early: a user's mistake in one line, Ctrl-C, a run that fails; what was measured is kept."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks import gate, peers, scale, scale_fit, speed
from benchmarks.features_file import features_file, read_splits
from benchmarks.record import ROOT, Record, command
from benchmarks.speed_shapes import QUICK_MODEL, QUICK_SHAPE
from ground.errors import UserError

Main = Callable[[Sequence[str]], None]


def ended(main: Main, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of ``main`` on a command line."""
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    with pytest.raises(SystemExit) as end:
        command(main)
    return int(end.value.code or 0)


MISTAKES: dict[str, tuple[Main, list[str], str]] = {
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
        ("outputs", scale.main, ["--quick"]), ("cache", speed.main, ["--quick"]), ("cache", scale.main, ["--quick"]),
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


def test_what_was_measured_before_ctrl_c_is_shown_and_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = iter(range(9))

    def fit(folder: Path, n: int, aligner: str, overrides: list[str]) -> dict[str, float]:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return {"fit_seconds": 1.0, "rss_mb": 1.0, "recall": 50.0}

    contestants = [*scale.CONTESTANTS][:2]
    monkeypatch.setattr(scale, "CONTESTANTS", {name: scale.CONTESTANTS[name] for name in contestants})
    monkeypatch.setattr(scale, "in_process", fit)
    assert ended(scale.main, monkeypatch, "--quick", "--repeats", "2") == 130
    told = capsys.readouterr()
    assert told.err == "interrupted: what was measured before is kept\n"
    assert contestants[0] in told.out
    (path,) = Path("outputs/benchmarks/scale").glob("*.json")
    summary = json.loads(path.read_text(encoding="utf-8"))["summary"]
    sizes = [of for each in summary.values() for of in each["sizes"].values()]
    assert sum(len(of["fit_seconds"]["values"]) for of in sizes) == 3
    assert [each.name for each in path.parent.iterdir()] == [path.name]  # and no part of a file


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
