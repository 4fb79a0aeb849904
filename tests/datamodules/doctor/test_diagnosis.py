"""The doctor on Clotho: every defect is told, sound data is not."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from datamodules.doctor.command import doctor
from tests.datamodules.clotho_layout import Sound, clotho, read_rows, write_captions, write_clotho, write_sound
from tests.datamodules.doctor.diagnoses import expect, found, table_of

REAL = Path(__file__).parents[4] / "shared" / "data" / "clotho"


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
