"""Clotho's captions, its names on disk and its commands."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.formats.clotho_files import commands, on_disk, read_captions
from ground.errors import UserError
from tests.datamodules.clotho_layout import clotho, write_captions, write_clotho

HEADER = b"file_name,caption_1,caption_2,caption_3,caption_4,caption_5\r\n"
BAD = {
    "another header": (b"file,text\r\na.wav,b\r\n", "must have the columns file_name,caption_1.*got file,text"),
    "empty": (b"", "must have the columns .* got none"),
    "no clip": (HEADER, "names no clip"),
    "no name": (HEADER + b" ,a,b,c,d,e\r\n", "line 2: a file name and five captions"),
    "no captions": (HEADER + b"a.wav\r\n", "line 2: a file name and five captions"),
    "too many": (HEADER + b"a.wav,a,b,c,d,e,f\r\n", "line 2: a file name and five captions"),
    "twice": (HEADER + b"a.wav,a,b,c,d,e\r\n\r\na.wav,a,b,c,d,e\r\n", "line 4: 'a.wav' is there for the second"),
    "open quote": (HEADER + b'a.wav,"a,b,c,d,e\r\nb.wav,a,b,c,d,e\r\n', "no CSV in UTF-8 .*get it again"),
    "latin-1": (HEADER + b"caf\xe9.wav,a,b,c,d,e\r\n", "no CSV in UTF-8 .*get it again"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_csv_that_cannot_be_used(root: Path, case: str) -> None:
    content, message = BAD[case]
    (root / "clotho_captions_evaluation.csv").write_bytes(content)
    with pytest.raises(UserError, match=f"clotho_captions_evaluation.csv.*{message}") as raised:
        clotho(root, root).prepare_data()
    assert "\n" not in str(raised.value)


FIELDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(deadline=None)
@given(st.dictionaries(FIELDS.filter(str.strip), st.lists(FIELDS, min_size=5, max_size=5), min_size=1, max_size=6))
def test_any_text_survives_the_csv(tmp_path_factory: pytest.TempPathFactory, rows: dict[str, list[str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    for encoding in ("utf-8", "utf-8-sig"):
        write_captions(path, [[name, *captions] for name, captions in rows.items()], encoding)
        assert read_captions(path) == {
            name: [" ".join(caption.split()) for caption in captions] for name, captions in rows.items()
        }


NAMES = st.sets(st.text("eé ́.w", min_size=1, max_size=5), max_size=8)


@settings(deadline=None)
@given(NAMES, NAMES)
def test_names_on_disk(named: set[str], there: set[str]) -> None:
    order = sorted(named)
    found = on_disk(order, there)
    for name, file in zip(order, found, strict=True):
        if name in there or file not in there:
            assert file == name
    used = [file for file in found if file in there]
    assert len(used) == len(set(used))
    assert on_disk(order, there | named) == order


def test_which_names_fit() -> None:
    nfc, nfd = (unicodedata.normalize(form, "é.wav") for form in ("NFC", "NFD"))
    assert on_disk([nfc], {nfd}) == [nfd]
    assert on_disk([nfd, "b.wav"], {nfc, "b.wav"}) == [nfc, "b.wav"]
    assert on_disk([nfc, nfd], {nfd}) == [nfc, nfd]  # the file has a name of its own
    assert on_disk(["Rain .wav", " Fire.wav "], {"Rain.wav", "Fire.wav"}) == ["Rain.wav", "Fire.wav"]
    assert on_disk(["Rain .wav", "Rain  .wav"], {"Rain.wav"}) == ["Rain .wav", "Rain  .wav"]  # either could be it
    assert on_disk(["Rain .wav"], {"Rain.wav", " Rain.wav"}) == ["Rain .wav"]
    assert on_disk(["Rain .wav", "Rain.wav"], {"Rain.wav"}) == ["Rain .wav", "Rain.wav"]


def test_golden_numbers_and_commands_are_of_the_version(tmp_path: Path) -> None:
    for version, golden, record in (
        (1, {"development": (2893, 14465), "evaluation": (1045, 5225)}, "3490684"),
        (2, {"development": (3839, 19195), "validation": (1045, 5225), "evaluation": (1045, 5225)}, "4783391"),
    ):
        root = tmp_path / f"my {version}"
        write_clotho(root, version)
        layout = clotho(root, tmp_path).layout
        assert layout.golden == [golden]
        assert [folder.name for folder in layout.folders] == list(golden)
        assert layout.obtain == commands(root, version)
        assert f"cd '{root}' && for part in {' '.join(golden)}; do wget -c https://zenodo.org/records/{record}/" in (
            layout.obtain
        )
