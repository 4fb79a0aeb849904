"""A real run on real images and texts, taken out, and used where the project is not."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners import CCA, load
from aligners.base.loading import load_run
from comparison.job import Job
from exporting.command import export, write_export
from ground.errors import UserError
from tests.cli import small

TEXTS = ["an apple", "a red telephone", "a house by the sea, with a garden, seen from above"]


@pytest.fixture(scope="module")
def exported(picture_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "pets"
    export([f"run={picture_run}", f"to={folder}"])
    return folder


def elsewhere(code: str, folder: Path) -> str:
    """What a script prints that runs in ``folder``, where this project is not."""
    refused = (
        "import sys; sys.meta_path.insert(0, type('No', (), {'find_spec': staticmethod(lambda n, *a: exec("
        "'raise ImportError(n)') if n.split('.')[0] in ('aligners', 'backbones', 'exporting', 'ground') else None)}))"
    )
    (folder / "script.py").write_text(f"{refused}\n{code}", encoding="utf-8")
    environment = os.environ | {"HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def blocks(folder: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def test_an_export_has_its_files_and_leaves_no_others(exported: Path) -> None:
    assert {each.name for each in exported.iterdir() if each.name not in ("script.py", "home")} == {
        "README.md", "aligned_head.py", "head_x.onnx", "head_y.onnx", "heads.json", "heads.safetensors",
        "sentence_model_y",
    }  # fmt: skip
    assert [each.name for each in exported.parent.iterdir()] == ["pets"]
    heads = json.loads((exported / "heads.json").read_text(encoding="utf-8"))
    assert (heads["x"]["name"], heads["y"]["name"], heads["x"]["r"]) == ("image", "text", 8)


def test_the_example_of_the_card_runs_without_the_project(exported: Path) -> None:
    example = blocks(exported)[0]
    assert len(example.splitlines()) <= 10
    assert re.fullmatch(r"\[[0-6 ]{9}\]\n", elsewhere(example, exported))


def test_plain_torch_encodes_the_same_without_the_project(exported: Path, picture_run: Path) -> None:
    features = torch.randn(5, 1280, generator=torch.Generator().manual_seed(0))
    given = f"import torch\nfeatures = torch.tensor({features.tolist()})\n"
    told = elsewhere(f"{given}{blocks(exported)[1]}\nprint(embeddings.tolist())", exported)
    assert_same(torch.tensor(json.loads(told)), load(picture_run).encode_x(features))


def test_texts_are_encoded_by_sentence_transformers_alone(exported: Path, picture_run: Path) -> None:
    code = blocks(exported)[2].replace('["a text"]', repr(TEXTS))
    told = elsewhere(f"{code}\nimport json\nprint(json.dumps(embeddings.tolist()))", exported)
    assert_same(torch.tensor(json.loads(told.splitlines()[-1])), load(picture_run).encode_y(TEXTS))


def assert_same(found: Tensor, ours: Tensor) -> None:
    torch.testing.assert_close(normalize(found), normalize(ours), rtol=0, atol=1e-5)


def test_the_card_tells_what_it_reached_and_how_exact_it_is(exported: Path, picture_run: Path) -> None:
    card = (exported / "README.md").read_text(encoding="utf-8")
    metrics = json.loads((picture_run / "metrics.json").read_text(encoding="utf-8"))
    assert f"| test/mean_recall | {metrics['test/mean_recall']:.4g} |" in card
    found = re.search(r"at most (\S+) \(heads\), (\S+) \(ONNX, opset 18\)", card)
    assert found is not None
    assert max(float(each) for each in found.groups()) <= 1e-5


def test_a_former_export_is_kept(picture_run: Path, tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "mine.txt").write_text("mine")
    export([f"run={picture_run}", f"to={tmp_path / 'e'}"])
    assert (tmp_path / "e.1" / "mine.txt").read_text() == "mine"
    assert (tmp_path / "e" / "heads.json").is_file()


def test_a_run_of_features_is_exported_without_encoders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert small("run_dir=run") == 0
    export(["run=run"])
    assert "sentence_model" not in {each.name for each in (tmp_path / "run" / "export").iterdir()}
    told = capsys.readouterr().out
    assert "test items differ" in told
    assert "export: README.md, aligned_head.py, head_x.onnx, head_y.onnx, heads.json, heads.safetensors\n" in told


def test_the_row_of_its_contest_stands_in_the_card(picture_run: Path, tmp_path: Path) -> None:
    job = Job("cca, twice", "own pairs", 0, {"rank": 8}, tmp_path / "runs")
    shutil.copytree(picture_run, job.folder)
    lines = [
        "data,row,seeds,mean_recall,letters,test/x",
        "own pairs,pls,2,1,b,",
        '"own pairs","cca, twice",2,12.34567,a,7',
    ]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    export([f"run={job.folder}", f"to={tmp_path / 'e'}"])
    card = (tmp_path / "e" / "README.md").read_text(encoding="utf-8")
    titles, row = "| data | row | seeds | mean_recall | letters |", "| own pairs | cca, twice | 2 | 12.35 | a |"
    assert f"{titles}\n| --- | --- | --- | --- | --- |\n{row}" in card


def test_steps_that_lead_elsewhere_are_refused(
    picture_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aligner, data = load_run(picture_run)
    right = CCA.embed_x
    monkeypatch.setattr(CCA, "embed_x", lambda self, x: right(self, x).abs())
    with pytest.raises(UserError, match=r"^heads.json does not encode as CCA does: cosines differ by "):
        write_export(picture_run, aligner, data, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], r"^run is not given: python export.py run=RUN$"),
        (["RUN"], r"^cannot read 'RUN': python export.py run=RUN$"),
        (["run=nowhere"], r"^run=nowhere is no run directory of train.py$"),
        (["rnu=a"], r"^unknown key 'rnu' in 'rnu=a': did you mean 'run'"),
        (["run=a", "run=b"], r"^run is given twice$"),
        (["run=a", "trust=maybe"], r"^trust must be true or false, got 'maybe'$"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: list[str], line: str) -> None:
    with pytest.raises(UserError, match=line):
        export(arguments)
