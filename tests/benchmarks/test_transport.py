"""The benchmark of transport objectives, on few cases."""

import pytest

from benchmarks import transport
from tests.benchmarks.records import record_of


def test_it_counts_and_times(capsys: pytest.CaptureFixture[str]) -> None:
    transport.main(["--cases", "40", "--batch", "8", "--dimensions", "4", "--repeats", "1"])
    record = record_of("transport")
    assert record["theorem_6"]["all"]["cases"] == 40
    assert 0 < record["theorem_6"]["all"]["against"] < 40
    by_lam = [of for name, of in record["theorem_6"].items() if name.startswith("lam")]
    assert sum(of["against"] for of in by_lam) == record["theorem_6"]["all"]["against"]
    assert record["steps"]["gca_ince"]["multiplications"] == 64 * (4 + 1 + 20)
    assert "GCA-RINCE above RINCE" in capsys.readouterr().out
