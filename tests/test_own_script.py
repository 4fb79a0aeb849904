"""A user's script that has files of its own by the names of ours beside it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
OWN = ("errors", "distributed", "train", "configs", "utils", "tests")
SCRIPT = """
import torch
from aligners import CCA, SGDCLIP, UniConSpectral, load

x = torch.randn(60, 9)
y = x @ torch.randn(9, 7)
for kind in (UniConSpectral, SGDCLIP, CCA):
    aligner = kind(rank=3).fit(x, y, max_epochs=1)
    aligner.save("aligner.safetensors")
    assert torch.equal(load("aligner.safetensors").similarity(x, y), aligner.similarity(x, y))
print("done")
"""


def test_a_script_beside_files_of_its_own_fits_saves_and_loads(tmp_path: Path) -> None:
    for name in OWN:
        file = tmp_path / name / "__init__.py" if name in ("configs", "tests") else tmp_path / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"raise RuntimeError('the {name} of the script was imported')\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    ended = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


def test_the_command_line_of_a_script_has_our_configs(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "__init__.py").write_text("raise RuntimeError('the configs of the script were imported')\n")
    (tmp_path / "script.py").write_text("from train import cli\n\ncli()\n")
    ended = subprocess.run(
        [sys.executable, "script.py", "aligner=cca", "--cfg", "job", "--package", "aligner"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "_target_: aligners.closed_form.CCA" in ended.stdout
