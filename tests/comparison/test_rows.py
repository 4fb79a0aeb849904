"""Rows: what ``aligners=`` may be, and what is told about those that do not take part."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from comparison.data import combinations, config_of
from comparison.rows import rows_of
from comparison.tuning import left_open, open_keys
from ground.configs import CONFIGS
from ground.errors import UserError
from ground.values import check


def test_mandatory_rows_without_an_aligner_are_told() -> None:
    rows = rows_of("mandatory")
    labels = [row.label for row in rows.present]
    assert {"identity", "cca", "sgd_clip", "sgd_clip, mlp", "triplet", "unicon as printed", "unicon"} <= set(labels)
    assert {"csa", "ridge", "procrustes", "asif"} <= set(labels)
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


def opened(file: str) -> dict[str, set[str]]:
    """What is tuned in each row of a file that is of this project, whose config must be sound."""
    space: Any = OmegaConf.to_container(OmegaConf.load(CONFIGS / "compare.yaml").tuning)
    (data,) = combinations(["datamodule=clipart"])
    found = {}
    for row in rows_of(file).present:
        config = config_of(row, data)
        check(config)
        found[row.label] = set(open_keys(config, left_open(space, row.overrides)))
    return found


def test_parts_of_unicon_are_as_they_are_set() -> None:
    assert len(found := opened("parts")) == 14
    assert not any(found.values())  # lists are chosen from within the fit


def test_gradient_aligners_are_tuned_beside_unicon() -> None:
    found = opened("matched")
    assert len(found) == 16 + 12
    for label, keys in found.items():
        assert not keys or not label.startswith("unicon")
        assert {"aligner.optimizer.lr", "aligner.optimizer.weight_decay"} <= keys or "unicon" in label
        assert ("aligner.lam" in keys) == ("whitened" in label and "unicon" not in label)  # which others do not read
    assert found["sgd_clip kernel"] | {"aligner.lam"} == found["sgd_clip kernel_whitened"]


def test_closed_forms_are_tuned_by_their_own_keys_on_either_features() -> None:
    found = opened("kernels")
    own = {
        "pls": {"weight_power"}, "cca": {"lam", "weight_power"}, "csa": {"lam", "weight_power"}, "ridge": {"lam"},
        "procrustes": set(), "asif": {"power"},
    }  # fmt: skip
    expected = {name: {f"aligner.{key}" for key in keys} for name, keys in own.items()}
    assert found == expected | {f"{name} kernel": keys for name, keys in expected.items()}


def test_what_is_as_printed_is_not_tuned() -> None:
    found = opened("mandatory")
    assert found["unicon as printed"] == set()
    assert {"aligner.lam", "aligner.weight_power"} == found["cca"]
    assert "aligner.tau" in found["sgd_clip"]


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
