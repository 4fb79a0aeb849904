"""Names of a room that cost nothing before they are asked for."""

import subprocess
import sys
from pathlib import Path

import pytest

import evaluation
from evaluation.retrieval import retrieval_metrics
from ground.lazy import lazy

ROOT = Path(__file__).parents[2]
ROOMS = ("aligners", "datamodules", "datamodules.base", "evaluation", "ground", "report", "report.figures", "running")
HEAVY = ("hydra", "lightning", "matplotlib", "sklearn", "torch", "torchvision")


def test_a_room_imports_no_library_before_a_name_is_asked_for() -> None:
    rooms = "\n".join(f"import {room}" for room in ROOMS)
    code = f"import sys\n{rooms}\nprint([library for library in {HEAVY} if library in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_name_is_that_of_its_file() -> None:
    assert evaluation.retrieval_metrics is retrieval_metrics


def test_names_that_a_room_does_not_export() -> None:
    get = lazy("evaluation", {"retrieval": ("ranks",), "nearest": ("top_matches",)})
    assert get("__all__") == ["ranks", "top_matches"]
    with pytest.raises(AttributeError, match="module 'evaluation' has no attribute 'rnaks'"):
        get("rnaks")
