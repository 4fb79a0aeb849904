"""What a command line imports: seconds of libraries that it does not use are not spent."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

ROOT = Path(__file__).parents[1]
HEAVY = {
    "lightning", "matplotlib", "open_clip", "sentence_transformers", "sklearn", "torch", "torchmetrics", "torchvision",
    "transformers", "wandb",
}  # fmt: skip
TRAIN = "import train; train.cli()"


def imported(code: str, *arguments: str, cwd: Path, code_before: str = "", exit_code: int = 0) -> tuple[set[str], str]:
    """Packages that ``code`` imports beyond those of ``code_before``, in a process of its own, and what it printed."""
    told = cwd / "imported"
    program = f"""import pathlib, sys
{code_before}
before = {{*sys.modules}}
try:
    {code}
finally:
    pathlib.Path({str(told)!r}).write_text(" ".join({{name.partition(".")[0] for name in {{*sys.modules}} - before}}))
"""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == exit_code, done.stderr
    return {*told.read_text().split()}, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (TRAIN, "== Groups: group=name picks a file =="),
        ("from datamodules.doctor import main; sys.exit(main())", "python -m datamodules.doctor"),
        *((f"import {name}; {name}.cli()", f"python {name}.py run=RUN") for name in ("search", "embed", "export")),
    ],
    ids=["train", "doctor", "search", "embed", "export"],
)
def test_help_imports_no_heavy_library(tmp_path: Path, code: str, shown: str) -> None:
    packages, screen = imported(code, "--help", cwd=tmp_path)
    assert shown in screen
    assert packages & {"hydra", "yaml"}
    assert not packages & HEAVY


def test_a_mistake_in_a_name_imports_no_heavy_library(tmp_path: Path) -> None:
    packages, screen = imported(TRAIN, "aligner=triplt", cwd=tmp_path, exit_code=2)
    assert screen == "error: unknown aligner 'triplt': did you mean 'triplet'?\n"
    assert not packages & HEAVY


def test_a_run_imports_what_it_uses_beyond_lightning(tmp_path: Path) -> None:
    """No probe of labels that are not there, no map, no logger and no backbone."""
    save_file({"x": torch.randn(40, 6), "y": torch.randn(40, 5)}, tmp_path / "features.safetensors")
    packages, screen = imported(
        TRAIN, "aligner=cca", "aligner.rank=2", "datamodule=features", "datamodule.path=features.safetensors",
        "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "run_dir=run",
        cwd=tmp_path, code_before="import lightning",
    )  # fmt: skip
    assert "run directory: run" in screen
    assert "aligners" in packages
    assert not packages & {"open_clip", "sentence_transformers", "sklearn", "wandb"}
