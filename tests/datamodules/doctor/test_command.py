"""The doctor's command line: exit codes, mistakes, progress."""

import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from backbones.backbone import Backbone
from datamodules.doctor import command as doctor_module
from datamodules.doctor.command import main
from tests.datamodules.clotho_layout import Sound
from tests.datamodules.doctor.diagnoses import found

ROOT = Path(__file__).parents[3]


def test_exit_codes(whole: dict[str, list[Sound]], tmp_path: Path, capsys: pytest.CaptureFixture[str],
                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    def refuse(self: Backbone) -> None:
        raise AssertionError("the doctor needs no backbone")

    monkeypatch.setattr(Backbone, "network", property(refuse))
    monkeypatch.setattr(Backbone, "fingerprint", property(refuse))
    call = ["clotho", f"data_dir={tmp_path}"]
    assert main(call) == 0
    out, err = capsys.readouterr()
    assert out.endswith("clotho: complete, every file can be read\n")
    assert err == ""
    whole["evaluation"][1].path.unlink()
    assert main([*call, "datamodule.split=drawn", "--quick", "datamodule.strict=true"]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()[-3:]
    assert lines[0].startswith("wrong: evaluation: 4 of 5 audio files are there, 1 are missing")
    assert lines[1] == "clotho: 1 files are missing"
    assert lines[2].startswith("to get it: mkdir -p ")
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clothos"], "unknown datamodule 'clothos': did you mean 'clotho'?"),
        (["data_dir=here"], "unknown datamodule 'data_dir=here'"),
        (["clotho", "datamodule.splt=drawn"], "unknown key 'datamodule.splt': did you mean 'datamodule.split'"),
        (["clotho", "+sed=1"], "unknown key 'sed': did you mean 'seed'"),
        (["clotho", "datamodule.split=drwan"], "unknown datamodule.split 'drwan': did you mean 'drawn'?"),
        (["clotho", "datamodule.split_seed=x"], "datamodule.split_seed must be an integer, got 'x'"),
        (["clotho", "aligner=nope"], "unknown aligner 'nope'"),
        (["clotho", "data_dir"], "cannot read 'data_dir': write key=value"),
        (["clotho", "datamodule=clipart"], "datamodule is given twice, datamodule=clotho and datamodule=clipart"),
        (["[b]x[/b]"], "unknown datamodule '[b]x[/b]'"),
        (["clotho", "experiment=table1_flickr30k_clip"], "In 'experiment/table1_flickr30k_clip': Could not override"),
    ],
)
def test_mistakes_have_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_flags(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in ((["clotho", "--quik"], 2), ([], 2), (["--help"], 0)):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == code
    assert "usage: python -m datamodules.doctor" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["features", "synthetic"])
def test_nothing_to_check(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 0
    assert capsys.readouterr() == (f"{name}: nothing to check, it has no raw data\n", "")


def test_interrupts_and_errors_of_ours(
    whole: dict[str, list[Sound]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raising(error: BaseException) -> Any:
        def inspect(*_: object) -> None:
            raise error

        return inspect

    monkeypatch.setattr("datamodules.doctor.inspection.inspect", raising(KeyboardInterrupt()))
    assert main(["clotho", f"data_dir={tmp_path}"]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")
    monkeypatch.setattr("datamodules.doctor.inspection.inspect", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["clotho", f"data_dir={tmp_path}"])


def test_progress_on_a_terminal(whole: dict[str, list[Sound]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = StringIO()
    monkeypatch.setattr(doctor_module, "Console", lambda **_: Console(file=shown, force_terminal=True, width=80))
    found(tmp_path)
    assert "reading files" in shown.getvalue()
    assert "19/19" in shown.getvalue()
    shown.truncate(0)
    found(tmp_path, read=False)
    assert "reading files" not in shown.getvalue()


def test_the_command_line() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "datamodules.doctor", "clipart", "--quick"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("clipart: all that the annotations name is there; no file was read\n")
    assert "988" in ended.stdout


def test_strings_are_read_as_train_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for value in ("~/[data]", "'~/[data]'"):
        assert main(["clotho", f"data_dir={value}" if "'" in value else "data_dir=~/data"]) in (1, 2)
        out, err = capsys.readouterr()
        assert f"{tmp_path}/home/" in out + err
        assert "[data]" in out + err or "'" not in value
    assert main(["clotho", "data_dir=a", "data_dir=b"]) == 2
    assert "data_dir is given twice, data_dir=a and data_dir=b" in capsys.readouterr().err
