"""A run that goes on in two processes, whichever of them comes first to the run directory."""

from pathlib import Path

import pytest

from tests.cli import metrics_of, without_cost
from tests.running.torchrun import by_two


@pytest.mark.parametrize(("resume", "late"), [("auto", 1), ("run/checkpoints/last.ckpt", 0)])
def test_both_go_on_from_one_checkpoint(resume: str, late: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert by_two(tmp_path, late, "run_dir=run") == [0, 0]
    whole = without_cost(metrics_of(run))
    (run / "metrics.json").unlink()  # as if it had been killed after its last pass
    assert by_two(tmp_path, late, "run_dir=run", f"resume={resume}") == [0, 0]
    assert without_cost(metrics_of(run)) == whole
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_dir()) == ["run", "run.1"]
    # what came to its end has nothing to do, and is moved where its checkpoint is named
    assert by_two(tmp_path, late, "run_dir=run", f"resume={resume}") == [0, 0]
    assert without_cost(metrics_of(run)) == whole
    assert (tmp_path / "run.2").is_dir() == (resume != "auto")
