"""Each benchmark end to end on tiny data."""

from pathlib import Path

import pytest

from benchmarks import peers, scale, scale_fit
from benchmarks.features_file import features_file, read_splits
from benchmarks.speed_shapes import QUICK_MODEL, QUICK_SHAPE
from ground.errors import UserError
from tests.benchmarks.records import record_of


def test_peers_agree_with_each_other() -> None:
    splits = read_splits(features_file(QUICK_MODEL, QUICK_SHAPE))
    plain = peers.measure("scipy CCA", splits, 8, 1e-9)
    assert peers.measure("scikit-learn CCA", splits, 8, 0.0)["test"] == pytest.approx(plain["test"], abs=2)
    if peers.missing("cca-zoo CCA"):
        return
    assert peers.measure("cca-zoo CCA", splits, 8, 0.0)["test"] == pytest.approx(plain["test"], abs=2)
    ridged = peers.measure("scipy CCA", splits, 8, 0.3)
    assert peers.measure("cca-zoo RidgeCCA", splits, 8, 0.3)["test"] == pytest.approx(ridged["test"], abs=2)


def test_a_peer_is_stopped() -> None:
    assert peers.in_process("scipy CCA", Path("none"), 8, 0.1, limit=0.01) is None


def test_scale(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    closed_form = {"closed form": scale.CONTESTANTS["unicon linear, closed form"]}
    monkeypatch.setattr(scale, "CONTESTANTS", closed_form)
    monkeypatch.setattr(scale, "in_process", scale_fit.measure)
    monkeypatch.setattr(scale_fit, "SHARD", 300)
    monkeypatch.setattr(scale, "SHARD", 300)
    monkeypatch.setattr(scale, "HELD_OUT", 100)
    scale.main(["--quick", "--repeats", "2"])
    record = record_of("scale")
    of = record["summary"]["closed form"]
    assert list(of["sizes"]) == ["1000", "2000"]
    assert len(of["sizes"]["1000"]["fit_seconds"]["values"]) == 2
    assert len(of["exponents"]) == 1
    assert of["sizes"]["2000"]["recall"]["median"] > 3 * 100 * (1 + 5 + 10) / 3 / 100  # three times chance
    assert "1,000" in capsys.readouterr().out
    assert not list(Path("cache/benchmarks").glob("scale-*"))  # shards are gone


def test_the_pairs_of_shards_are_the_rows_that_were_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scale_fit, "SHARD", 300)
    monkeypatch.setattr(scale, "SHARD", 300)
    monkeypatch.setattr(scale, "HELD_OUT", 10)
    scale.write_shards(scale.QUICK_MODEL, [500], tmp_path)
    for n in (300, 450, 500):
        pairs = scale_fit.mapped_pairs(tmp_path, n)
        assert (pairs.n_x, pairs.n_y) == (n, n)
        batch = pairs[pairs.group[-2:]]
        block, row = (1, 298) if n == 300 else (2, n - 302)
        x, y = scale.QUICK_MODEL.rows(300 if block == 1 else 200, 1, block)
        assert batch.x.equal(x[row : row + 2].half().float())
        assert batch.y.equal(y[row : row + 2].half().float())


def test_a_fit_in_a_process_that_ends_with_an_error_says_why() -> None:
    with pytest.raises(UserError, match=r"the fit of cca on 10 pairs ended: .*nowhere/x-00000.safetensors"):
        scale_fit.in_process(Path("nowhere"), 10, "cca", [])
