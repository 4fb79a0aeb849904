"""From image-text pairs to classes that were not fitted on: a run tested on a folder of labelled images."""

import json
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from datamodules.clipart import DATA
from tests.cli import call, metrics_of
from tests.pictures import arguments

CATEGORIES = ("animals", "signs_and_symbols", "food")


def folder_of_classes(folder: Path) -> Path:
    """Eight bundled images of each of three categories, those at the end of the list."""
    files = defaultdict(list)
    for line in (DATA / "pairs.jsonl").read_text(encoding="utf-8").splitlines()[40:]:
        record = json.loads(line)
        files[record["category"]].append(DATA / record["image"])
    for name in CATEGORIES:
        (folder / name).mkdir(parents=True)
        for path in files[name][-8:]:
            shutil.copy(path, folder / name)
    return folder


def test_a_run_on_pairs_is_tested_on_a_labelled_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labelled = ("eval_datamodule=image_folder", f"eval_datamodule.path={folder_of_classes(tmp_path / 'classes')}",
                "eval_datamodule.test_share=0.5", "eval_datamodule.image_backbone.size=64",
                "eval_datamodule.image_backbone.device=cpu", "eval_datamodule.text_backbone.device=cpu")  # fmt: skip
    assert call(*arguments(tmp_path), *labelled) == 2
    hint = "eval_datamodule has view_a and view_b, datamodule image and text; eval_datamodule.pairs=names makes images"
    assert hint in capsys.readouterr().err
    assert call(*arguments(tmp_path), *labelled, "eval_datamodule.pairs=names") == 0
    metrics = metrics_of(tmp_path / "run")
    of_class = {key.rpartition("/")[2]: value for key, value in metrics.items() if "zero_shot/class/" in key}
    assert sorted(of_class) == sorted(CATEGORIES)
    assert metrics["transfer/zero_shot/top1"] == pytest.approx(sum(of_class.values()) / 3)  # four images of each
    assert metrics["transfer/zero_shot/top5"] == 100
    assert metrics["transfer/protocol/zero_shot_classes"] == 3
    assert metrics["transfer/protocol/zero_shot_prompts"].startswith("a photo of a {}.; itap of a {}.")
    assert metrics["transfer/protocol/test_text"] == 3
    assert not [key for key in metrics if key.startswith("test/zero_shot")]  # the table has no labels
    shown = f"on the further data; zero-shot top-1 {metrics['transfer/zero_shot/top1']:.1f} % and top-5 100.0 % of 3"
    assert shown in capsys.readouterr().out
