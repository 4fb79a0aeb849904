"""Rows: what ``aligners=`` may be, and what is told about those that do not take part."""

from pathlib import Path

import pytest

from comparison.rows import rows_of
from ground.configs import CONFIGS
from ground.errors import UserError


def test_mandatory_rows_without_an_aligner_are_told() -> None:
    rows = rows_of("mandatory")
    labels = [row.label for row in rows.present]
    assert {"identity", "cca", "sgd_clip", "sgd_clip, mlp", "triplet", "unicon as printed", "unicon"} <= set(labels)
    for label, reason in rows.absent.items():
        assert label not in labels
        assert reason == "there is no such aligner here"


def test_a_shorter_list_is_obeyed_and_what_is_absent_is_told() -> None:
    rows = rows_of(["unicon", "unicon_batches"])
    assert [row.overrides for row in rows.present] == [("aligner=unicon",), ("aligner=unicon_batches",)]
    assert rows.absent["cca"] == "not asked for"
    assert "unicon" not in rows.absent
    assert [row.label for row in rows_of("cca").present] == ["cca"]


def test_all_are_the_files_of_the_configs_and_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "aligner").mkdir()
    (tmp_path / "aligner" / "mine.yaml").write_text("_target_: mine.Mine\n")
    names = {row.aligner for row in rows_of("all", [tmp_path]).present}
    assert names == {"mine", *(path.stem for path in (CONFIGS / "aligner").glob("*.yaml"))}
    assert rows_of(["mine"], [tmp_path]).present[0].label == "mine"


@pytest.mark.parametrize("name", ["parts", "matched"])
def test_ablations_are_rows_too(name: str) -> None:
    rows = rows_of(name)
    assert len(rows.present) > 10
    assert all(row.overrides[0] in ("aligner=unicon", "aligner=sgd_clip", "aligner=sgd_siglip", "aligner=triplet")
               for row in rows.present)  # fmt: skip


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (["unicorn"], "unknown row 'unicorn' .*did you mean 'unicon'"),
        ("mandatry", "unknown row 'mandatry' .*did you mean 'mandatory'"),
        (["cca", "pls", "cca"], "has 'cca' twice"),
        ([], "has no row"),
    ],
)
def test_mistakes(chosen: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        rows_of(chosen)


def test_nobody_is_there(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "own.yaml").write_text("first: [aligner=not_written_yet, aligner.rank=8]\n")
    with pytest.raises(UserError, match="aligners=own: there is no such aligner here: not_written_yet"):
        rows_of("own", [tmp_path])


def test_a_file_of_rows_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "own.yaml").write_text("first: aligner=cca\n")
    with pytest.raises(UserError, match="must be a list that begins with aligner=NAME, got aligner=cca"):
        rows_of("own", [tmp_path])
