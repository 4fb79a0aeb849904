"""Runs that are there: which count, and what tells them apart."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from comparison.found import runs_in
from ground.errors import UserError


def run(place: Path, aligner: str = "cca", seed: int = 0, name: str = "clipart", **settings: Any) -> None:
    place.mkdir(parents=True)
    config = {
        "aligner_name": aligner, "name": name, "seed": seed, "run_dir": str(place), "tags": [str(place)],
        "aligner": {"rank": 8, **settings}, "datamodule": {"seed": seed, "path": None},
    }  # fmt: skip
    (place / "config.yaml").write_text(yaml.safe_dump(config))
    (place / "metrics.json").write_text(json.dumps({"test/mean_recall": 40.0}))
    (place / "ranks.safetensors").touch()


def test_rows_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    run(tmp_path / "a", lam=0.1)
    run(tmp_path / "b", lam=0.1, seed=1)
    run(tmp_path / "c", lam=1.0)
    run(tmp_path / "d", "pls")
    run(tmp_path / "e", "pls", name="other")
    found = {(each.row, each.data, each.seed) for each in runs_in(tmp_path)}
    assert found == {
        ("cca lam=0.1", "clipart", 0), ("cca lam=0.1", "clipart", 1), ("cca lam=1.0", "clipart", 0),
        ("pls", "clipart", 0), ("pls", "other", 0),
    }  # fmt: skip


def test_what_is_no_run_of_its_own_is_left_out(tmp_path: Path) -> None:
    run(tmp_path / "a")
    run(tmp_path / "a" / "test" / "2026")  # judged again
    run(tmp_path / "trials" / "b", seed=1)
    run(tmp_path / "unfinished", seed=2)
    (tmp_path / "unfinished" / "metrics.json").unlink()
    assert [each.folder.name for each in runs_in(tmp_path)] == ["a"]


def test_of_two_alike_the_last_is_taken(tmp_path: Path) -> None:
    import os

    run(tmp_path / "b")
    run(tmp_path / "a")
    os.utime(tmp_path / "a" / "metrics.json", (1, 1))
    assert [each.folder.name for each in runs_in(tmp_path)] == ["b"]


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        runs_in(tmp_path / "no")
    with pytest.raises(UserError, match="holds no finished run"):
        runs_in(tmp_path)
    run(tmp_path / "a")
    (tmp_path / "a" / "config.yaml").write_text("[")
    with pytest.raises(UserError, match="cannot read the run in"):
        runs_in(tmp_path)
    (tmp_path / "a" / "config.yaml").write_text("seed: 1")
    with pytest.raises(UserError, match="is no config of a run"):
        runs_in(tmp_path)
