"""The doctor: every defect is told, sound data is not, and the exit codes say so."""

import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from backbones.backbone import Backbone
from datamodules import clotho as clotho_module
from datamodules.base.extracted import ExtractedDataModule, Layout
from datamodules.doctor import command as doctor_module
from datamodules.doctor.command import doctor, main
from datamodules.doctor.diagnosis import Diagnosis
from datamodules.doctor.inspection import Counts, deviations
from datamodules.items.items import ImageFiles, Texts
from datamodules.items.raw_pairs import RawPairs
from ground.errors import UserError
from tests.datamodules.clotho_layout import SIZES, Sound, clotho, read_rows, write_captions, write_clotho, write_sound
from tests.datamodules.fakes import CharacterCounts, MeanColour, common

ROOT = Path(__file__).parents[3]
REAL = ROOT.parent / "shared" / "data" / "clotho"


def expect(monkeypatch: pytest.MonkeyPatch, **sizes: int) -> None:
    """Make the sizes of the fixture those of the whole Clotho, but for ``sizes``."""
    version_1 = {folder: SIZES[folder] for folder in ("development", "evaluation")}
    monkeypatch.setattr(clotho_module, "CLIPS", {1: version_1, 2: SIZES | sizes})


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Sound]]:
    """A sound Clotho of both versions' sizes, in ``tmp_path``."""
    expect(monkeypatch)
    return write_clotho(tmp_path)


def found(root: Path, read: bool = True) -> Diagnosis:
    return doctor(clotho(root, root / "cache"), read)


def table_of(diagnosis: Diagnosis) -> dict[str, list[str]]:
    """The cells of each row of the table."""
    assert diagnosis.table is not None
    columns = [list(column.cells) for column in diagnosis.table.columns]
    return {str(what): [str(cell) for cell in cells] for what, *cells in zip(*columns, strict=True)}


@pytest.mark.parametrize("read", [True, False])
def test_sound_and_complete(whole: dict[str, list[Sound]], tmp_path: Path, read: bool) -> None:
    diagnosis = found(tmp_path, read)
    assert diagnosis.problems == []
    assert diagnosis.obtain == ""
    assert diagnosis.verdict == ("complete, every file can be read" if read else "complete; no file was read")
    # clips of the fixture are short and of a low rate, which is odd and not wrong
    assert len(diagnosis.notes) == (3 if read else 0)
    if read:
        assert diagnosis.notes[0].startswith("development: of the audio items, 11 ")
    none = ["0", "0", "0"]
    assert table_of(diagnosis) == {
        "audio items named": ["11", "3", "5"], "audio items in the whole data": ["11", "3", "5"],
        "audio files there": ["11", "3", "5"], "audio files missing": none,
        **({"audio files damaged": none} if read else {}),
        "text items named": ["55", "15", "25"], "text items in the whole data": ["55", "15", "25"],
        "empty text": none, "audio without text": none, "text without its audio file": none,
        "text equal to that of another audio": none,
    }  # fmt: skip


def test_missing_files(whole: dict[str, list[Sound]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sound in whole["evaluation"][:4]:
        sound.path.unlink()
    diagnosis = found(tmp_path)
    (problem,) = diagnosis.problems
    assert problem.startswith(
        "evaluation: 1 of 5 audio files are there, 4 are missing, and with them 20 text items: "
        f"'{tmp_path}/evaluation/same name.wav', '{tmp_path}/evaluation/-rf.wav', "
    )
    assert problem.endswith(", ...")
    assert diagnosis.verdict == "4 files are missing"
    assert diagnosis.obtain.startswith("mkdir -p ")
    assert table_of(diagnosis)["text without its audio file"] == ["0", "0", "20"]
    # with files missing, other numbers are shown and asserted by nothing
    expect(monkeypatch, evaluation=1045)
    other = found(tmp_path)
    assert other.problems == diagnosis.problems
    assert table_of(other)["audio items in the whole data"] == ["11", "3", "1,045"]
    assert table_of(other)["text items in the whole data"] == ["55", "15", "5,225"]


def test_wrong_numbers_of_whole_data(
    whole: dict[str, list[Sound]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(monkeypatch, validation=1045)
    diagnosis = found(tmp_path, read=False)
    assert diagnosis.problems == [
        "validation: 3 audio and 15 text items are named, the whole data has 1,045 audio and 5,225 text items"
    ]
    assert diagnosis.verdict == "every file that is named is there, but not the whole data"
    assert diagnosis.obtain.startswith("mkdir -p ")


def test_damaged_files_show_only_when_they_are_read(whole: dict[str, list[Sound]], tmp_path: Path) -> None:
    broken = whole["development"][6].path
    broken.write_bytes(broken.read_bytes()[:30])
    diagnosis = found(tmp_path)
    (problem,) = diagnosis.problems
    assert problem.startswith(f"development: 1 audio items cannot be read: {broken}: ")
    assert diagnosis.verdict == "1 files are damaged"
    assert diagnosis.obtain
    assert table_of(diagnosis)["audio files damaged"] == ["1", "0", "0"]
    assert found(tmp_path, read=False).problems == []


def test_captions_that_are_empty_or_equal(whole: dict[str, list[Sound]], tmp_path: Path) -> None:
    path = tmp_path / "clotho_captions_development.csv"
    rows = read_rows(path)
    rows[0][1] = rows[1][2] = " "
    rows[2][1] = rows[2][2] = rows[3][3]
    rows[4][1] = rows[4][2]  # twice of one clip is no ambiguity
    write_captions(path, rows)
    diagnosis = found(tmp_path)
    assert diagnosis.problems == ["development: 2 text items are empty"]
    assert diagnosis.verdict == "every file is there, but something else is wrong"
    table = table_of(diagnosis)
    assert table["empty text"] == ["2", "0", "0"]
    # the two empty ones are equal as well
    assert table["text equal to that of another audio"] == ["5", "0", "0"]


def test_files_that_nothing_names_and_copies_are_notes(whole: dict[str, list[Sound]], tmp_path: Path) -> None:
    write_sound(tmp_path / "validation" / "stray [x].wav", 70)
    (tmp_path / "development" / ".hidden").touch()
    (tmp_path / "development" / "folder").mkdir()
    copy, original = whole["evaluation"][2].path, whole["development"][5].path
    copy.write_bytes(original.read_bytes())
    diagnosis = found(tmp_path)
    assert diagnosis.problems == []
    assert diagnosis.notes[3:] == [
        f"1 files are in several splits under several names: '{original}' = '{copy}'",
        f"no annotation names 1 files: '{tmp_path}/validation/stray [x].wav'",
    ]


def test_what_is_odd_about_files_is_a_note(whole: dict[str, list[Sound]], tmp_path: Path) -> None:
    soundfile.write(whole["evaluation"][4].path, np.zeros((44100, 2)), 44100)
    note = next(note for note in found(tmp_path).notes if note.startswith("evaluation"))
    assert "1 silent" in note
    assert "1 stereo" in note


def test_annotations_that_are_missing_or_broken(tmp_path: Path) -> None:
    diagnosis = found(tmp_path)
    assert diagnosis.table is None
    (problem,) = diagnosis.problems
    assert "clotho_captions_development.csv" in problem
    assert "4783391" in problem  # the commands are in the line, and not told twice
    assert diagnosis.obtain == ""
    write_clotho(tmp_path)
    (tmp_path / "clotho_captions_evaluation.csv").write_text("a,b\n")
    diagnosis = found(tmp_path)
    assert "must have the columns" in diagnosis.problems[0]
    assert diagnosis.verdict == "cannot be read"
    assert "4783391" in diagnosis.obtain


class Pictures(ExtractedDataModule):
    """Splits of image files with texts, as they are given."""

    modalities = ("image", "text")

    def __init__(self, folder: Path, raw: dict[str, RawPairs] | UserError, layout: Layout | None = None):
        super().__init__(MeanColour(), CharacterCounts(), **common(folder))
        self.given, self.whole = raw, layout

    def read(self) -> dict[str, RawPairs]:
        if isinstance(self.given, UserError):
            raise self.given
        return self.given

    @property
    def layout(self) -> Layout | None:
        return self.whole


def pictures(folder: Path, **splits: list[int]) -> dict[str, RawPairs]:
    """Splits of the pictures of these numbers, each with a text of its own."""
    raw = {}
    for split, own in splits.items():
        paths = [folder / f"{i}.png" for i in own]
        for i, path in zip(own, paths, strict=True):
            Image.new("RGB", (4, 4), (i, 0, 0)).save(path)
        owner = torch.arange(len(own))
        raw[split] = RawPairs(ImageFiles(paths, split), Texts([f"text {i}" for i in own], split), owner, owner)
    return raw


def test_data_of_its_own_has_no_golden_numbers(tmp_path: Path) -> None:
    raw = pictures(tmp_path, train=[1, 2, 3], val=[4], test=[5])
    diagnosis = doctor(Pictures(tmp_path, raw), read=True)
    assert diagnosis.problems == diagnosis.notes == []
    assert diagnosis.verdict == "all that the annotations name is there, every file can be read"
    assert not any("whole" in row for row in table_of(diagnosis))
    (tmp_path / "4.png").unlink()
    diagnosis = doctor(Pictures(tmp_path, raw), read=True)
    assert diagnosis.verdict == "1 files are missing"
    assert diagnosis.obtain == ""
    with pytest.raises(UserError, match="no table"):
        doctor(Pictures(tmp_path, UserError("no table")), read=True)


def test_a_file_under_two_splits_is_a_leak(tmp_path: Path) -> None:
    raw = pictures(tmp_path, train=[1, 2, 3], val=[3, 4], test=[1, 3])
    (problem,) = doctor(Pictures(tmp_path, raw), read=False).problems
    assert problem == f"2 files are in more than one split: '{tmp_path}/1.png', '{tmp_path}/3.png'"


def test_items_without_texts(tmp_path: Path) -> None:
    raw = pictures(tmp_path, train=[1, 2, 3], val=[4], test=[5])
    raw["train"] = raw["train"].take_y(torch.tensor([1]))
    diagnosis = doctor(Pictures(tmp_path, raw), read=False)
    assert diagnosis.problems == ["train: 2 image items have no text"]
    assert table_of(diagnosis)["image without text"] == ["2", "0", "0"]


def test_files_on_both_sides(tmp_path: Path) -> None:
    raw = pictures(tmp_path, train=[1, 2], val=[3], test=[4])
    train = raw["train"]
    paths = [tmp_path / "lost.png", tmp_path / "broken.png"]
    paths[1].write_bytes(b"no picture")
    raw["train"] = RawPairs(train.x, ImageFiles(paths, "y"), train.x_of_y, train.group)
    missing, damaged = doctor(Pictures(tmp_path, raw), read=True).problems
    assert missing == f"train: 1 of 2 text files are there, 1 are missing: '{tmp_path}/lost.png'"
    assert damaged.startswith(f"train: 1 text items cannot be read: {tmp_path}/broken.png: cannot be decoded")


def test_any_edition_is_complete(tmp_path: Path) -> None:
    raw = pictures(tmp_path, train=[1, 2, 3], val=[4], test=[5])
    editions = [{"train": (9, 9), "val": (1, 1), "test": (1, 1)}, {"train": (3, 3), "val": (1, 1), "test": (1, 1)}]
    diagnosis = doctor(Pictures(tmp_path, raw, Layout("ask", [tmp_path], editions)), read=False)
    assert diagnosis.problems == diagnosis.notes == []
    assert table_of(diagnosis)["image items in the whole data"] == ["9 or 3", "1", "1"]
    assert "empty text" in table_of(diagnosis)


COUNTS = st.dictionaries(st.sampled_from("abcd"), st.tuples(st.integers(0, 3), st.integers(0, 3)))


@settings(deadline=None)
@given(COUNTS, st.lists(COUNTS, max_size=3))
def test_deviations(counts: Counts, golden: list[Counts]) -> None:
    told = deviations(counts, golden)
    assert (told == {}) == (not golden or counts in golden)
    # put right, the counts are those of an edition, but for splits that no edition has
    if golden:
        assert {split: n for split, n in (counts | told).items() if n != (0, 0)} in [
            {split: n for split, n in edition.items() if n != (0, 0)} for edition in golden
        ]


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

    monkeypatch.setattr(doctor_module, "inspect", raising(KeyboardInterrupt()))
    assert main(["clotho", f"data_dir={tmp_path}"]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")
    monkeypatch.setattr(doctor_module, "inspect", raising(ZeroDivisionError()))
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


@pytest.mark.skipif(not REAL.is_dir(), reason="the sample of Clotho is not beside the project")
def test_the_real_sample(tmp_path: Path) -> None:
    diagnosis = doctor(clotho(REAL, tmp_path), read=True)
    table = table_of(diagnosis)
    assert table["audio items named"] == table["audio items in the whole data"] == ["2,893", "1,045"]
    assert table["text items named"] == table["text items in the whole data"] == ["14,465", "5,225"]
    assert table["audio files there"] == ["0", "7"]
    assert table["audio files damaged"] == ["0", "0"]
    assert [problem.split(", and")[0] for problem in diagnosis.problems] == [
        "development: 0 of 2,893 audio files are there, 2,893 are missing",
        "evaluation: 7 of 1,045 audio files are there, 1,038 are missing",
    ]
    assert diagnosis.verdict == "3,931 files are missing"
    assert "for part in development evaluation; do wget -c https://zenodo.org/records/3490684/" in diagnosis.obtain
