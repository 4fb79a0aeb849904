"""A finished run's config as it would be today."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ground.errors import UserError
from running.finished import FinishedRun


def run_of(folder: Path, config: str, metrics: str = "{}") -> FinishedRun:
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    (folder / "metrics.json").write_text(metrics, encoding="utf-8")
    return FinishedRun(str(folder))


def test_keys_that_moved_keep_their_values(tmp_path: Path) -> None:
    evaluation = "evaluation: {_target_: a.B, block_size: 7, keep: last, tsne_items: 3, probe: {raw: false}}"
    config = run_of(tmp_path, "aligner: {}\ndatamodule: {}\n" + evaluation).config
    assert (config.report.tsne_items, config.report.sheet_items) == (3, 16)
    assert "tsne_items" not in config.evaluation
    assert (config.evaluation.block_size, config.evaluation.keep, config.evaluation.select) == (
        7,
        "last",
        "mean_recall",
    )
    assert (config.evaluation.probe.raw, config.evaluation.probe.neighbours) == (False, 20)
    assert config.evaluation.probe._target_ == "evaluation.probes.Probe"


def test_a_unicon_before_spans_moves_in_all_directions(tmp_path: Path) -> None:
    config = run_of(
        tmp_path, "rank: 8\naligner: {rank: '${rank}', choice_items: 9}\ndatamodule: {}\nevaluation: {}\nreport: {}"
    ).config
    assert config.aligner == {"rank": 8, "subspace": "all", "contrast_items": "all", "contrast_redraw": False}


def test_a_config_of_today_is_as_it_was(tmp_path: Path) -> None:
    own = {"aligner": {}, "datamodule": {}, "report": {"a": 1}, "evaluation": {"block_size": 7}}
    assert run_of(tmp_path, OmegaConf.to_yaml(OmegaConf.create(own))).config == own


def test_metrics_of_the_fit_alone_are_carried(tmp_path: Path) -> None:
    metrics = (
        '{"fit/passes": 3, "time/fit_seconds": 1.5, "time/feature_seconds": 2, "test/mean_recall": 4, "fit/lam": null}'
    )
    assert run_of(tmp_path, "", metrics).fit_metrics == {"fit/passes": 3, "time/fit_seconds": 1.5, "fit/lam": None}


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, "a: [", '{"a":')
    with pytest.raises(UserError, match=r"cannot read .*config.yaml"):
        _ = run.config
    with pytest.raises(UserError, match=r"cannot read .*metrics.json"):
        _ = run.fit_metrics
    with pytest.raises(UserError, match="is no run directory"):
        FinishedRun(str(tmp_path / "checkpoints"))


@pytest.mark.parametrize(("line", "place"), [("", "outside"), (", noise_place: inside", "inside")])
def test_a_run_on_synthetic_data_keeps_the_place_of_its_noise(tmp_path: Path, line: str, place: str) -> None:
    data = "{_target_: datamodules.synthetic.SyntheticDataModule" + line + "}"
    groups = f"aligner: {{}}\ndatamodule: {data}\neval_datamodule: {data}\nevaluation: {{}}\nreport: {{}}\n"
    config = run_of(tmp_path, groups).config
    assert (config.datamodule.noise_place, config.eval_datamodule.noise_place) == (place, place)


@pytest.mark.parametrize(("line", "pairs"), [("", "views"), (", pairs: images", "images")])
def test_a_run_on_views_of_images_keeps_its_pairs(tmp_path: Path, line: str, pairs: str) -> None:
    data = "{_target_: datamodules.cifar10.CIFAR10DataModule, view_seed: 0" + line + "}"
    groups = f"aligner: {{}}\ndatamodule: {data}\neval_datamodule: null\nevaluation: {{}}\nreport: {{}}\n"
    config = run_of(tmp_path, groups).config.datamodule
    assert (config.pairs, config.policy) == (pairs, "simclr")


def test_a_run_before_domains_has_none(tmp_path: Path) -> None:
    folder = "{_target_: datamodules.image_folder.ImageFolderDataModule, view_seed: 0}"
    table = "{_target_: datamodules.table.TableDataModule, columns: {image: a}}"
    groups = f"aligner: {{}}\ndatamodule: {folder}\neval_datamodule: {table}\nevaluation: {{}}\nreport: {{}}\n"
    config = run_of(tmp_path, groups).config
    assert config.datamodule.domains is False
    assert config.eval_datamodule.columns == {"image": "a", "domain": None}


def test_a_run_on_other_data_gets_no_place_of_noise(tmp_path: Path) -> None:
    other = "aligner: {}\ndatamodule: {_target_: other}\neval_datamodule: null\nevaluation: {}\nreport: {}\n"
    assert list(run_of(tmp_path, other).config.datamodule) == ["_target_"]
