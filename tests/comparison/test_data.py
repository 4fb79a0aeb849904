"""Axes: what is varied has names that tell it apart."""

from pathlib import Path

import pytest

from comparison.data import combinations, config_of, with_study
from comparison.rows import Row
from ground.configs import CONFIGS
from ground.errors import UserError


@pytest.mark.parametrize(
    ("overrides", "labels"),
    [
        ([], [""]),
        (["datamodule=clipart"], [""]),
        (["datamodule=clipart,synthetic", "aligner.rank=8"], ["clipart", "synthetic"]),
        (["datamodule.train_items=1,2", "aligner.rank=8,9"],
         ["train_items=1, rank=8", "train_items=1, rank=9", "train_items=2, rank=8", "train_items=2, rank=9"]),
        (["datamodule.path=a/one.safetensors,b/two.safetensors"], ["one", "two"]),
        (["datamodule.path=a/features.safetensors,b/features.safetensors"], ["a", "b"]),
        (["datamodule.path=c/a/f.safetensors,d/a/f.safetensors"],
         ["datamodule.path=c/a/f.safetensors", "datamodule.path=d/a/f.safetensors"]),
        (["aligner.tau=[0.1,0.2]"], [""]),
    ],
)  # fmt: skip
def test_labels(overrides: list[str], labels: list[str]) -> None:
    found = combinations(overrides)
    assert [each.label for each in found] == labels
    assert len({each.overrides for each in found}) == len(found)


@pytest.mark.parametrize("overrides", [["aligner.rank=8"], ["experiment=mscoco_sample"]])
def test_the_rank_of_all_others_is_none_of_the_identity(overrides: list[str]) -> None:
    (data,) = combinations(overrides)
    ranks = {name: config_of(Row(name, (f"aligner={name}",)), data).aligner.get("rank") for name in ("identity", "cca")}
    assert ranks["identity"] is None
    assert ranks["cca"] in (8, 32)


@pytest.mark.parametrize("own", ["seed=1", "aligner=cca,pls", "resume=auto", "test=RUN"])
def test_keys_that_a_contest_sets(own: str) -> None:
    with pytest.raises(UserError, match=f"{own.partition('=')[0]} of its runs"):
        combinations([own])


def test_a_study_gives_axes_that_are_not_set(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "own.yaml").write_text("- datamodule.train_items=10,null\n- aligner.rank=4,8\n")
    own = ["aligner.rank=2", "datamodule.train_items=10,null"]
    assert with_study(["aligner.rank=2"], "own", [tmp_path]) == own
    assert [data.label for data in combinations(own)] == ["train_items=10", "train_items=null"]
    assert with_study(own, None) == own
    with pytest.raises(UserError, match="unknown study 'noisy_pair': did you mean 'noisy_pairs'"):
        with_study([], "noisy_pair")
    (tmp_path / "studies" / "own.yaml").write_text("datamodule.train_items: [10, null]\n")
    with pytest.raises(UserError, match=r"own\.yaml must be a list of overrides"):
        with_study([], "own", [tmp_path])


@pytest.mark.parametrize("path", sorted((CONFIGS / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_run_of_a_study_composes(path: Path) -> None:
    found = combinations(with_study(["datamodule=synthetic"], path.stem))
    assert len(found) > 2
    names = {config_of(Row("cca", ("aligner=cca",)), each).datamodule._target_ for each in found}
    assert names == {"datamodules.synthetic.SyntheticDataModule"}
