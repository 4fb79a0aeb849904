"""The gate: what it runs, and what it tells of two records."""

import json
from pathlib import Path

import pytest

from benchmarks.gate import differences, main, record, runs
from benchmarks.record import ROOT
from ground.errors import UserError


def write(folder: Path, **metrics: float) -> Path:
    folder.mkdir()
    (folder / "aligner_cca.json").write_text(json.dumps({"cca0/metrics.json": metrics}), encoding="utf-8")
    return folder


def test_every_aligner_is_run(tmp_path: Path) -> None:
    names = {path.stem for path in (ROOT / "configs" / "aligner").glob("*.yaml")}
    listed = runs(ROOT, tmp_path)
    assert {name.removeprefix("aligner_") for name in listed if name.startswith("aligner_")} == names
    assert {"two_processes_unicon", "sweep", "warm_start", "experiment_synthetic_nonlinear"} <= set(listed)
    assert not any(name.startswith("features_") for name in listed)  # their data is not there


def test_differences_are_told_to_the_last_digit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path / "one", recall=1.0, gone=2.0, same=3.0)
    other = write(tmp_path / "other", recall=1.0000000000000002, new=4.0, same=3.0)
    run = "aligner_cca.json cca0/metrics.json"
    assert list(differences(one, other)) == [
        f"{run} gone: gone, was 2.0", f"{run} new: new, 4.0", f"{run} recall: 1.0 became 1.0000000000000002",
    ]  # fmt: skip
    for there, code in ((other, 1), (one, 0)):
        with pytest.raises(SystemExit) as end:
            main(["compare", str(one), str(there)])
        assert end.value.code == code
    assert capsys.readouterr().out.endswith("equal to the last digit\n")


def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no record"):
        main(["compare", str(tmp_path), str(tmp_path)])
    with pytest.raises(UserError, match="no run is named as --only sgd_clip: did you mean 'aligner_sgd_clip'"):
        record(ROOT, tmp_path, tmp_path / "out", 1, "sgd_clip")


def test_a_record_has_metrics_without_their_cost(tmp_path: Path) -> None:
    record(ROOT, tmp_path, tmp_path / "out", 1, "experiment_synthetic_triplet")
    (kept,) = (tmp_path / "out").iterdir()
    (metrics,) = json.loads(kept.read_text(encoding="utf-8")).values()
    assert metrics["test/mean_recall"] > 0
    assert not any(key.startswith(("time/", "memory/", "energy/")) for key in metrics)
