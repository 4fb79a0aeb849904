"""A fitted aligner on other data than its own."""

from pathlib import Path

import pytest

from tests.cli import SMALL, metrics_of, small


def test_a_fitted_aligner_is_tested_on_other_data_too(tmp_path: Path) -> None:
    same = ("eval_datamodule=synthetic", *(f"eval_{each}" for each in SMALL if each.startswith("datamodule.")))
    assert small(*same, f"run_dir={tmp_path / 'same'}") == 0
    metrics = metrics_of(tmp_path / "same")
    own = {key.removeprefix("test/"): value for key, value in metrics.items() if key.startswith("test/")}
    transfer = {key.removeprefix("transfer/"): value for key, value in metrics.items() if key.startswith("transfer/")}
    protocol = {key.removeprefix("protocol/") for key in transfer if key.startswith("protocol/")}
    assert {key: value for key, value in transfer.items() if not key.startswith("protocol/")} == own
    assert protocol == {key.removeprefix("protocol/") for key in metrics if key.startswith("protocol/")}
    assert small(*same, "eval_datamodule.data_seed=5", f"run_dir={tmp_path / 'other'}") == 0
    other = metrics_of(tmp_path / "other")
    assert other["test/mean_recall"] == metrics["test/mean_recall"]
    assert other["transfer/mean_recall"] < 50 < other["test/mean_recall"]  # other bases: nothing to transfer


def test_a_transfer_between_different_features_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert small("eval_datamodule=synthetic", "eval_datamodule.d_x=50", f"run_dir={tmp_path / 'a'}") == 2
    assert "eval_datamodule has features of dimensions (50, 30), datamodule (40, 30)" in capsys.readouterr().err
    assert small("eval_datamodule=clipart", f"run_dir={tmp_path / 'b'}") == 2
    assert "eval_datamodule has image and text, datamodule x and y" in capsys.readouterr().err
