"""train.py: mistakes, errors and interrupts, in one line and with their exit codes."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from running.directory import RunDirectory
from tests.cli import GRADIENT, SMALL, TRAIN, call, last_of, process, small


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of features files, good and bad."""
    folder = tmp_path_factory.mktemp("features")
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 6, generator=generator), torch.randn(60, 5, generator=generator)

    def save(name: str, **tensors: Tensor) -> None:
        save_file({"x": x, "y": y} | tensors, folder / f"{name}.safetensors")

    nan, infinite, zero = x.clone(), x.clone(), x.clone()
    nan[3, 1], infinite[5, 0], zero[4] = torch.nan, torch.inf, 0
    save("good")
    save("rows", y=y[:50].clone())
    save("x_of_y", x_of_y=torch.arange(60) + 1)
    save("nan", x=nan)
    save("infinite", x=infinite)
    save("zero", x=zero)
    save("empty", split=torch.zeros(60, dtype=torch.uint8))
    save("unknown", z=y.clone())
    (folder / "text.safetensors").write_text("no tensors here")
    return folder


MISTAKES = {
    "aligner": (("aligner=unicorn",), "unknown aligner 'unicorn': did you mean 'unicon'"),
    "group": (("dtamodule=synthetic",), "unknown key 'dtamodule': did you mean 'datamodule'"),
    "key": (("aligner.rnak=3",), "unknown key 'aligner.rnak': did you mean 'aligner.rank'"),
    "added key": (("+sed=1",), "unknown key 'sed': did you mean 'seed'"),
    "added aligner key": (("+aligner.lamb=1",), "unknown key 'aligner.lamb': did you mean 'lam'"),
    "added judge key": (("+evaluation.probe.strenghts=1",), "'evaluation.probe.strenghts': did you mean 'strengths'"),
    "added key unread": (("+logger.csv2=1",), "unknown key 'logger.csv2': did you mean 'logger.csv"),
    "select": (("evaluation.select=mean_recal",), "no validation metric 'mean_recal': did you mean 'mean_recall"),
    "no retrieval": (("evaluation.retrieval=null",), "evaluation.retrieval must be a judge, got null"),
    "former key": (("evaluation.tsne_items=200",), "'evaluation.tsne_items': it is 'report.tsne_items' now"),
    "added former key": (("+evaluation.sheet_items=2",), "'evaluation.sheet_items': it is 'report.sheet_items' now"),
    "picture key": (("report.tsne=200",), "unknown key 'report.tsne': did you mean 'report.tsne_items'"),
    "no judge": (("+evaluation.keeep=3",), "unknown key 'evaluation.keeep': did you mean 'evaluation.keep'"),
    "trainer key": (("trainer.max_epoch=1",), "unknown key 'trainer.max_epoch': did you mean 'trainer.max_epochs'"),
    "added trainer key": (("+trainer.max_epoch=1",), "unknown key 'trainer.max_epoch': did you mean 'max_epochs'"),
    "leaf": (("aligner=sgd_clip", "aligner.lr=1"), "unknown key 'aligner.lr': did you mean 'aligner.optimizer.lr'"),
    "leaf alone": (("aligner=sgd_clip", "lr=1"), "unknown key 'lr': did you mean 'aligner.optimizer.lr'"),
    "group null": (("logger=null",), "logger=null leaves out what every run has"),
    "report null": (("report=null",), "report=null leaves out what every run has"),
    "judge true": (("evaluation.geometry=true",), "evaluation.geometry is a judge with keys of its own, or null"),
    "no judge of the user's": (
        ("+evaluation.mine._target_=torch.nn.Identity",),
        "evaluation.mine: Identity needs every_pass, true or false, to be a judge",
    ),
    "judge by strength": (("evaluation.select=linear_probe/strength",), "is a setting that the probe chose"),
    "interpolation": (("aligner.rank=${foo}",), "Interpolation key 'foo' not found"),
    "interpolated run_dir": (("run_dir=${foo}",), "run_dir: Interpolation key 'foo' not found"),
    "search path": (("hydra.searchpath=[file:///nope]",), "names file:///nope, which is no folder"),
    "no checkpoint": (("resume=FILES/text.safetensors",), "text.safetensors is no checkpoint of a fit"),
    "missing checkpoint": (("resume=nope.ckpt",), "no checkpoint at resume=nope.ckpt"),
    "several devices": (("trainer.devices=2",), "set trainer=ddp (GPUs) or trainer=ddp_cpu"),
    "margin": (
        ("aligner=unicon", "aligner.objective=triplet", "aligner.objective_options.margin=-1"),
        "margin must be at least 0, got -1",
    ),
    "steps of the schedule": (
        ("aligner=sgd_clip", "aligner.scheduler.T_max=0"), "aligner.scheduler.T_max must be at least 1, got 0",
    ),
    "learning rate": (("aligner=sgd_clip", "aligner.optimizer.lr=-1"), "aligner.optimizer: torch.optim.AdamW"),
    "experiment": (("experiment=nope",), "unknown experiment 'nope'"),
    "logger": (("logger=nope",), "unknown logger 'nope': known are csv, tensorboard, wandb"),
    "type": (("aligner.rank=abc",), "aligner.rank must be an integer, got 'abc'"),
    "no value": (("aligner.rank=",), "aligner.rank must be an integer, got ''"),
    "type of a later use": (
        ("aligner=unicon", "aligner.passes=abc"),
        "aligner.passes must be an integer or a list, each an integer, got 'abc'",
    ),
    "type of a number": (("aligner.lam=[1]",), "aligner.lam must be a number, got [1]"),
    "seed": (("seed=abc",), "seed must be an integer, got 'abc'"),
    "negative seed": (("seed=-1",), "seed must be from 0 to"),
    "threads": (("threads=0",), "threads must be at least 1 and at most 2147483647, got 0"),
    "batch size": (("datamodule.batch_size=0",), "datamodule.batch_size must be at least 1, got 0"),
    "block size": (("evaluation.block_size=0",), "evaluation.block_size must be at least 1, got 0"),
    "epochs": (("trainer.max_epochs=0",), "trainer.max_epochs must be at least 1, got 0"),
    "precision": (("trainer.precision=abc",), "trainer.precision must be"),
    "accelerator": (("trainer.accelerator=abc",), "trainer: You selected an invalid accelerator"),
    "devices": (("trainer.devices=abc",), "trainer: `devices`"),
    "double dot": (("aligner..rank=1",), "cannot read 'aligner..rank=1'"),
    "no equals": (("aligner.rank",), "cannot read 'aligner.rank'"),
    "sweep without -m": (("seed=0,1",), "Ambiguous value for argument 'seed=0,1'"),
    "target": (("aligner._target_=nope.Nope",), "aligner._target_ 'nope.Nope' cannot be imported"),
    "optimizer target": (
        ("aligner=sgd_clip", "aligner.optimizer._target_=torch.optim.Nope"),
        "aligner.optimizer._target_ 'torch.optim.Nope' cannot be imported",
    ),
    "optimizer": (("aligner=sgd_clip", "aligner.optimizer.lr=abc"), "AdamW"),
    "rank": (("aligner.rank=31",), "rank 31 is above what the data allows"),
    "rank of heads": (
        ("aligner=sgd_clip", "aligner.rank=100000"), "rank 100000 is above what the data allows: linear heads of"
    ),
    "rank 0": (("aligner.rank=0",), "aligner.rank must be"),
    "objective": (("aligner=unicon", "aligner.objective=siglp"), "unknown objective 'siglp': did you mean 'siglip'?"),
    "option": (
        ("aligner=unicon", "aligner.objective=siglip", "aligner.objective_options={bais:-10}"),
        "unknown option 'bais' of objective 'siglip': did you mean 'bias'?",
    ),
    "option of another": (
        ("aligner.objective_options.bias=-10", "aligner=sgd_clip"),
        "unknown option 'bias' of objective 'clip': there are none",
    ),
    "options of none": (("aligner.objective_options.bias=1",), "unknown key 'aligner.objective_options'"),
    "group for a key": (
        ("aligner=unicon", "objective=siglip"), "unknown key 'objective': did you mean 'aligner.objective'"
    ),
    "no items": (("datamodule.n_val=0",), "datamodule.n_val must be at least 1, got 0"),
    "run_dir is a file": (("run_dir=FILES/good.safetensors",), "set another run_dir"),
    "run_dir holds other files": (("run_dir=FILES",), "holds something that is no run"),
    "run_dir cannot be": (("run_dir=/proc/nope/run",), "cannot write the run directory /proc/nope/run"),
}  # fmt: skip
BAD_FILES = {
    "missing": "no features file at",
    "text": "is not a whole safetensors file",
    "rows": "x has 60 rows and y has 50",
    "x_of_y": "x_of_y must be in 0 to 59",
    "nan": "1 of 60 rows of x hold NaN or infinity: rows 3",
    "infinite": "1 of 60 rows of x hold NaN or infinity: rows 5",
    "zero": "1 of 60 rows of x hold nothing but zeros: rows 4",
    "empty": "the val split is empty",
    "unknown": "unknown tensor 'z'",
    "good": "rank 8 is above what the data allows",
}
MISTAKES |= {
    f"features: {name}": (
        ("datamodule=features", f"datamodule.path=FILES/{name}.safetensors", "~datamodule.batch_size"), line
    )
    for name, line in BAD_FILES.items()
}  # fmt: skip
FEATURES = ("datamodule=features", "aligner=cca", "aligner.rank=8", "trainer.enable_progress_bar=false")


@pytest.mark.parametrize(("overrides", "line"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_is_one_line(
    overrides: tuple[str, ...], line: str, features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = tuple(o.replace("FILES", str(features)) for o in overrides if not o.startswith("~"))
    before = {path: path.read_bytes() for path in features.iterdir()}
    base = FEATURES if overrides[0] == "datamodule=features" else SMALL
    where = () if overrides[0].startswith("run_dir") else (f"run_dir={tmp_path / 'run'}",)
    assert call(*base, *overrides, *where) == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1, err
    assert err[0].startswith("error: ")
    assert line in err[0]
    assert {path: path.read_bytes() for path in features.iterdir()} == before
    log = tmp_path / "run" / "train.log"
    assert not log.exists() or err[0].removeprefix("error: ") in log.read_text(encoding="utf-8")


def test_mistake_loses_nothing(one_run: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    assert small(f"run_dir={run_dir}") == 0
    before = {str(p.relative_to(run_dir)): p.read_bytes() for p in run_dir.rglob("*") if p.is_file()}
    assert small(f"run_dir={run_dir}", "aligner.rank=abc") == 2  # found before the directory is touched
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    assert small(f"run_dir={run_dir}", "aligner.rank=31") == 2  # found in the data
    former = tmp_path / "run.1"
    assert {str(p.relative_to(former)): p.read_bytes() for p in former.rglob("*") if p.is_file()} == before


def test_processes_end_with_their_exit_codes(tmp_path: Path) -> None:
    for mistake in (["aligner=unicorn"], [*SMALL, "aligner.rank=31", "run_dir=run"]):
        ended = process(*mistake, cwd=tmp_path)
        assert ended.returncode == 2
        assert ended.stderr.startswith("error: ")
        assert len(ended.stderr.splitlines()) == 1
        assert "Traceback" not in ended.stdout + ended.stderr


def test_errors_of_ours_keep_their_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(RunDirectory, "write", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        small(f"run_dir={tmp_path / 'run'}")
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert "ended by an error" in log
    assert "Traceback" in log
    assert "RuntimeError: a bug" in log
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


def test_interrupt_leaves_the_run_whole(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    # what a shell starts behind itself ignores Ctrl-C, and so would all that it starts
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    started = subprocess.Popen(
        [sys.executable, str(TRAIN), *last_of([*SMALL, *GRADIENT, "trainer.max_epochs=100000", f"run_dir={run_dir}"])],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    signal.signal(signal.SIGINT, former)
    checkpoint = run_dir / "checkpoints" / "last.ckpt"
    for _ in range(600):
        if checkpoint.exists() or started.poll() is not None:
            break
        time.sleep(0.1)
    started.send_signal(signal.SIGINT)
    try:
        _, err = started.communicate(timeout=60)
    finally:
        started.kill()  # what does not end would go on for days
    assert started.returncode == 130
    assert err.strip() == "interrupted: what was written before is kept"
    assert torch.load(checkpoint, weights_only=True)["global_step"] > 0
    assert (run_dir / "config.yaml").is_file()
    assert (run_dir / "csv" / "metrics.csv").is_file()
    assert "interrupted" in (run_dir / "train.log").read_text(encoding="utf-8")
