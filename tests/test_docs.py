"""Every command and every snippet of README.md and docs/ is run, on small data, or read and said why not run.

The data are in the layouts that the commands ask for, under the names that stand there. What is added makes runs small.
A command that no list here knows fails.
"""

import importlib
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from comparison.command import divided
from comparison.data import combinations, config_of, with_study
from comparison.rows import rows_of
from datamodules.clipart import DATA
from datamodules.doctor.command import main as doctor
from datamodules.formats.table_file import read_header, read_table
from exporting.command import export
from ground.configs import CONFIGS
from ground.values import check
from report.pictures import Pictures
from searching.command import search
from searching.embed import embed
from tests.cli import SMALL, call, last_of, metrics_of
from tests.datamodules import clotho_layout, layouts
from tests.docs_code import ROOT, blocks, commands, is_commands
from tests.docs_data import DATA_OF, features_run
from tests.problems import random_features
from tests.test_adding import COMMANDS as OF_ADDING
from tests.test_adding import FILES as OF_ADDING_FILES
from tests.test_experiments import NAMES as EXPERIMENTS

ALL = commands()
TRAIN = {text: words[2:] for text, words in ALL.items() if words[:2] == ["python", "train.py"]}
NOT_RUN = {
    "python train.py backbone@datamodule.image_backbone=resnet50 datamodule.image_backbone.weights=resnet50.pth":
        "needs ImageNet's weights; tests/backbones runs the family on tiny ones",
    "python train.py trainer=ddp": "needs GPUs",
    "python train.py trainer=ddp trainer.devices=4": "needs GPUs",
    "python train.py trainer=ddp_cpu trainer.devices=2": "two processes: tests/aligners/test_processes.py runs them",
    "python train.py logger=wandb tags=[first]": "tests/test_train.py runs it without a network",
    "python train.py ... run_dir=RUN resume=auto": "needs a run that was killed: tests/aligners/test_resume.py",
}  # fmt: skip
"""Commands that are only composed and checked, and why."""
OF_EXPERIMENTS = "tests/test_experiments.py runs every experiment on a sample in the official format"
BENCHMARKS = "take long: tests/benchmarks run each with --quick"


USED = {"search.py": search, "embed.py": embed, "export.py": export}
"""What a finished run is used by."""


class ArgumentsRead(Exception):  # noqa: N818 (no error)
    """Raised in the place of a benchmark's work, when it has read its arguments."""


def words_in(config: str) -> list[str]:
    """The words of a command that say something: ``...`` stands for others."""
    return [word for word in TRAIN[config] if word != "..."]


def experiment(words: list[str]) -> str | None:
    return next((word.partition("=")[2] for word in words if word.startswith("experiment=")), None)


def test_every_command_is_known() -> None:
    assert len(TRAIN) > 25
    unknown = [text for text, words in ALL.items() if words[0] == "python" and words[1:2] != ["train.py"]
               and words[1] not in ("compare.py", *USED) and words[2:3] != ["datamodules.doctor"]
               and not words[2].startswith("benchmarks.") and words[2:] != ["pytest", "tests/fuzz"]]  # fmt: skip
    assert not unknown
    assert set(NOT_RUN) <= set(TRAIN)  # none that stands nowhere any more
    known = {block.name for block in blocks() if is_commands(block) or block.language == "python"}
    others = {block.name: block.text.split("\n")[0] for block in blocks() if block.name not in known}
    data = {
        name: first for name, first in others.items()
        if not any(first == content.split("\n")[0] for _, content in OF_ADDING_FILES)
    }  # fmt: skip
    assert sorted(data.values()) == ["defaults:", "defaults:", "image,text,split"]  # with tests of their own below
    snippets = {b.name for b in blocks() if b.language == "python" and b.text not in dict(OF_ADDING_FILES).values()}
    assert {name.partition(" ")[0] for name in snippets} == {"README.md", "datasets.md"}
    assert len(snippets) == 3  # tests/test_readme.py has the first, those of files are below


RUN = [
    text for text in TRAIN
    if text not in NOT_RUN and experiment(words_in(text)) is None and words_in(text) not in OF_ADDING
]  # fmt: skip


@pytest.mark.parametrize("text", [text for text in TRAIN if text not in RUN])
def test_a_command_that_is_not_run_here_has_a_sound_config(text: str) -> None:
    """As one run of the command would compose it: of a sweep's values the first."""
    words = [word for word in words_in(text) if word not in ("-m", "experiment=")]  # the names follow in a table
    if any("own" in word for word in words):
        assert words in OF_ADDING  # which tests/test_adding.py runs
        return
    single = [word if re.search(r"[\[{']", word) else word.partition(",")[0] for word in words]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", overrides=[*single, "run_dir=r", "aligner_name=a", "name=n"])
    OmegaConf.set_struct(config, True)
    check(config)


@pytest.mark.parametrize("text", [text for text in TRAIN if text not in RUN and text not in NOT_RUN])
def test_a_command_that_is_run_elsewhere_is(text: str) -> None:
    words = words_in(text)
    name = experiment(words)
    assert words in OF_ADDING or name in EXPERIMENTS or name == "", OF_EXPERIMENTS


@pytest.mark.parametrize("text", RUN)
def test_a_command_of_a_run_runs(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = words_in(text)
    made, small = next((each for part, each in DATA_OF.items() if any(part in word for word in words)), (None, ()))
    if "report.tsne_items=200" not in words:
        monkeypatch.setattr(Pictures, "draw", lambda *_: {})  # pictures take most of the time, and have their tests
    quiet = ["trainer.enable_progress_bar=false", "trainer.accelerator=cpu", "report.sheet_items=1"]
    if made is None:
        small = (*SMALL, "trainer.max_epochs=3", "evaluation.probe.every_pass=false")
        if "aligner.kernel=rbf" in words:
            small += ("aligner.landmarks=20",)
        if any(word in words for word in ("aligner=identity", "aligner=ridge", "aligner=asif")):  # which have none
            small = tuple(word for word in small if not word.startswith("aligner.rank="))
    else:
        made(tmp_path)
    if "eval_datamodule=flickr30k" in words:
        shutil.copytree(picture_run, tmp_path / "RUN")
    sweep = ["hydra.sweep.dir=sweep"] if "-m" in words else []
    flag = [word for word in words if word == "-m"]
    given = [word.replace("seed=0,1,2", "seed=0,1") for word in words if word != "-m"]
    arguments = last_of([*quiet, *small, *sweep, *given])
    assert call(*flag, *arguments, *([] if sweep else ["run_dir=run"])) == 0, capsys.readouterr().err
    if not sweep:
        metrics = metrics_of(tmp_path / "run")
        assert 0 <= metrics["test/mean_recall"] <= 100
        assert ("transfer/mean_recall" in metrics) == any(word.startswith("eval_datamodule=") for word in words)
    else:
        assert "± 95 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", [text for text, words in ALL.items() if words[1:2] == ["compare.py"] and "--help" not in words]
)
def test_a_contest_composes_its_runs(text: str) -> None:
    settings, of_runs = divided(ALL[text][2:])
    rows = rows_of(
        OmegaConf.to_object(settings.aligners) if OmegaConf.is_config(settings.aligners) else settings.aligners
    )
    for data in combinations(with_study(of_runs, settings.study)):
        for row in rows.present:
            check(config_of(row, data))


def test_a_finished_run_is_used_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(picture_run, "RUN")
    shutil.copytree(DATA / "images" / "food", "FOLDER")
    shutil.copy(DATA / "images" / "food" / "an-apple.webp", "photo.jpg")
    used = [words[1:] for words in ALL.values() if words[1:2] and words[1] in USED]
    assert {words[0] for words in used} == {*USED}
    for program, *arguments in used:
        if "--serve" not in arguments:  # tests/searching/test_server.py does
            USED[program](arguments)
    assert capsys.readouterr().out.count("contact sheet: ") == 4
    assert Path("RUN/export/head_x.onnx").is_file()


@pytest.mark.parametrize("text", [text for text, words in ALL.items() if words[2:3] == ["datamodules.doctor"]])
def test_the_doctor_is_called_as_it_stands(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ALL[text][3:]
    name = "mscoco" if words[0] == "NAME" else words[0]
    folder = Path(words[1].partition("=")[2])
    if name == "clotho":
        clotho_layout.write_clotho(folder)
    else:
        layouts.coco(folder, 2014)
    assert doctor([name, *words[1:]]) in (0, 1)
    assert name in capsys.readouterr().out.lower()


@pytest.mark.parametrize("text", [text for text, words in ALL.items() if words[2:3] and "benchmarks." in words[2]])
def test_a_benchmark_reads_its_arguments(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert BENCHMARKS
    monkeypatch.chdir(tmp_path)
    features_run(tmp_path, "features.safetensors")
    module: Any = importlib.import_module(ALL[text][2])
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{ALL[text][2]}.__main__")

    def read(*_: object) -> None:
        raise ArgumentsRead

    # what is measured is kept in a record; a table of data begins with the bundled images
    monkeypatch.setattr(module, "Record" if hasattr(module, "Record") else "clip_art", read)
    with pytest.raises(ArgumentsRead):
        module.main(ALL[text][3:])


def test_what_make_and_pip_are_given_is_there() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    made = [words[1] for words in ALL.values() if words[0] == "make"]
    assert set(made) >= {"run", "test", "compare"}
    assert set(made) <= set(targets)
    installed = [re.search(r"\[(\w+)\]", words[2]) for words in ALL.values() if words[:2] == ["pip", "install"]]
    assert installed
    assert all(found and found[1] in extras for found in installed)


@pytest.mark.parametrize("program", ["torchrun", "srun"])
def test_what_starts_processes_starts_a_sound_run(program: str) -> None:
    """They need several machines: only what they start is composed."""
    (words,) = (words for words in ALL.values() if words[0] == program)
    overrides = words[words.index("train.py") + 1 :]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        check(compose("train", overrides=[*overrides, "run_dir=r", "aligner_name=a", "name=n"]))


@pytest.mark.parametrize("block", [b for b in blocks() if "save_file(" in b.text], ids=lambda block: block.name)
def test_a_features_file_is_written_and_run_as_it_stands(
    block: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x, y, x_of_y = random_features(60, 2, 24, 20, seed=0)
    names = {"x": x, "y": y, "x_of_y": x_of_y, "files": [f"{i}.jpg" for i in range(60)], "captions": ["é"] * 120}
    exec(compile(block.text, block.name, "exec"), names)
    (path,) = tmp_path.glob("*.safetensors")
    (command,) = (words for text, words in TRAIN.items() if text.endswith(f"datamodule.path={path.name}"))
    assert call(*command, "aligner=cca", "aligner.rank=8", "run_dir=run", "trainer.enable_progress_bar=false") == 0
    assert ("named" in path.name) == (tmp_path / "run" / "figures" / "retrieval_sheet.png").exists()


def test_the_table_that_stands_there_is_one(tmp_path: Path) -> None:
    (text,) = (block.text for block in blocks() if block.text.startswith("image,text,split"))
    path = tmp_path / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    header = read_header(path)
    table = read_table(path, header, header[:2])
    assert len(table.number) == 3
    assert table.columns["text"].values[2] == "snow, and more snow"


def test_the_judge_that_stands_there_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = (block.text for block in blocks() if "my_judges" in block.text)
    folder = tmp_path / "conf" / "evaluation"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    assert yaml.safe_load(text)["width"]["_target_"] == "my_judges.Width"
    (tmp_path / "my_judges.py").write_text(
        "class Width:\n"
        "    every_pass = False\n"
        "    def __call__(self, judged):\n"
        "        return {'width': float(judged.x.shape[1])}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert (
        call(*SMALL, "evaluation=mine", f"hydra.searchpath=[file://{tmp_path / 'conf'}]", f"run_dir={tmp_path / 'r'}")
        == 0
    )
    assert metrics_of(tmp_path / "r")["test/width"] == 8
    assert DATA.is_dir()
