"""Contests on small data, as a user starts them: processes of their own."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = (
    "datamodule=synthetic", "datamodule.n_train=60", "datamodule.n_val=20", "datamodule.n_test=20",
    "datamodule.batch_size=32", "aligner.rank=8", "trainer.max_epochs=2", "report.sheet_items=1", "trials=0", "seeds=2",
)  # fmt: skip
OWN = """
import os, signal, time
from pathlib import Path
import torch
from aligners.closed_form import CCA
from ground.errors import UserError

class Crashes(CCA):
    def on_train_start(self):
        raise RuntimeError("this one is broken")

class Killed(CCA):
    def on_train_start(self):
        os.kill(os.getpid(), signal.SIGKILL)  # as the system does where memory runs out

class Declines(CCA):
    def on_train_start(self):
        raise UserError("this one needs other data")

class Waits(CCA):
    def on_train_start(self):
        if not Path("file").exists():
            raise UserError("there is no file yet")
        super().on_train_start()

class Once(CCA):
    def on_train_start(self):
        super().on_train_start()
        if not Path("once").exists():  # the second time it does not wait
            Path("once").touch()
            time.sleep(300)

class Slow(CCA):
    def on_train_start(self):
        super().on_train_start()
        Path(os.environ["STARTED"]).touch()
        time.sleep(float(os.environ.get("SLOW", "0")))
"""


def own_aligners(folder: Path) -> Path:
    """A folder of configs with aligners of a user's own, whose module lies beside it."""
    configs = folder / "conf"
    (configs / "aligner").mkdir(parents=True)
    (folder / "own.py").write_text(OWN)
    for name in ("Crashes", "Killed", "Declines", "Waits", "Once", "Slow"):
        (configs / "aligner" / f"{name.lower()}.yaml").write_text(
            f"defaults:\n  - cca@_here_\n  - _self_\n\n_target_: own.{name}\n"
        )
    return configs


def command(*arguments: str) -> list[str]:
    """The command of a tiny contest; later arguments replace earlier ones."""
    keys = {each.partition("=")[0]: each for each in (*TINY, *arguments)}
    return [sys.executable, str(ROOT / "compare.py"), *keys.values()]


def environment(folder: Path, **more: str) -> dict[str, str]:
    # the server that forks the runs knows of this tree by its path alone, and another may be installed
    path = os.pathsep.join([str(folder), str(ROOT)])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "STARTED": str(folder / "started"), **more}


def contest(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A tiny contest that is run to its end in ``folder``."""
    return subprocess.run(
        command(*arguments, f"run_dir={folder / 'contest'}"), cwd=folder, env=environment(folder, **more),
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip


def rows(folder: Path) -> dict[str, dict[str, str]]:
    """Its table, by the name of a row."""
    with (folder / "contest" / "table.csv").open(encoding="utf-8", newline="") as file:
        return {row["row"]: row for row in csv.DictReader(file)}


def unmeasured(row: dict[str, str]) -> dict[str, str]:
    """What is the same for every time that the row is run."""
    return {key: value for key, value in row.items() if not key.startswith(("time/", "memory/", "energy/"))}


def finished(folder: Path) -> dict[Path, int]:
    """Its runs that came to their end, and when."""
    return {path: path.stat().st_mtime_ns for path in (folder / "contest").rglob("metrics.json")}


def wait_for(path: Path) -> None:
    end = time.monotonic() + 100
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
