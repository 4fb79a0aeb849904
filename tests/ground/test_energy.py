"""Energy, from a folder and a driver as machines have them that tell it."""

import ctypes
from pathlib import Path
from typing import Any

import pytest

from ground import energy
from ground.energy import Counter, Meter, of_gpus, of_processors


def zone(folder: Path, number: str, name: str, microjoules: int, wraps_at: int = 1_000_000_000) -> Path:
    place = folder / f"intel-rapl:{number}"
    place.mkdir(parents=True)
    for file, text in (("name", name), ("max_energy_range_uj", wraps_at), ("energy_uj", microjoules)):
        (place / file).write_text(f"{text}\n")
    return place / "energy_uj"


def test_packages_and_memory_count_once(tmp_path: Path) -> None:
    files = [
        zone(tmp_path, "0", "package-0", 5_000_000),
        zone(tmp_path, "1", "package-1", 0),
        zone(tmp_path, "0:1", "dram", 7_000_000),
        zone(tmp_path, "0:0", "core", 1_000_000),  # of its package
        zone(tmp_path, "2", "psys", 9_000_000),  # all of the machine
    ]
    meter = Meter(of_processors(tmp_path))
    meter.start()
    for file in files:
        file.write_text(str(int(file.read_text()) + 2_000_000))
    assert meter.stop() == pytest.approx(6.0)
    meter.start()
    assert meter.stop() == 0.0


def test_a_counter_that_begins_again(tmp_path: Path) -> None:
    file = zone(tmp_path, "0", "package-0", 9_000_000, wraps_at=10_000_000)
    meter = Meter(of_processors(tmp_path))
    meter.start()
    file.write_text("3000000")
    assert meter.stop() == pytest.approx(4.0)


def test_a_counter_that_begins_again_many_times_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "WATCHED", 0.001)
    told = 0.0

    def read() -> float:
        nonlocal told
        told = told + 60.0
        return told % 100.0  # one reading knows nothing of what came before the last

    meter = Meter([Counter(read, wraps_at=100.0)])
    meter.start()
    while told < 1000.0:
        pass
    joules = meter.stop()
    assert joules is not None
    assert joules >= 900.0


def test_what_cannot_be_read_is_not_told(tmp_path: Path) -> None:
    (zone(tmp_path, "0", "package-0", 1).parent / "energy_uj").unlink()  # as for all but root
    zone(tmp_path, "1", "package-1", 1).write_text("?")
    assert of_processors(tmp_path) == []
    assert of_processors(tmp_path / "no") == []
    file = zone(tmp_path, "2", "package-2", 1)
    meter = Meter(of_processors(tmp_path))
    meter.start()
    file.unlink()
    assert meter.stop() is None


class Driver:
    """NVIDIA's library with one GPU that tells, and one that does not."""

    millijoules = 1000

    def nvmlInit_v2(self) -> int:  # noqa: N802
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, device: Any) -> int:  # noqa: N802
        device._obj.value = {b"GPU-a": 1, b"GPU-old": 2}.get(uuid)
        return 0 if device._obj.value else 6

    def nvmlDeviceGetTotalEnergyConsumption(self, device: ctypes.c_void_p, found: Any) -> int:  # noqa: N802
        found._obj.value = self.millijoules
        return 0 if device.value == 1 else 3


def test_gpus_tell_all_or_nothing() -> None:
    driver = Driver()
    meter = Meter(of_gpus(["GPU-a"], driver))
    meter.start()
    driver.millijoules += 2500
    assert meter.stop() == pytest.approx(2.5)
    assert of_gpus(["GPU-a", "GPU-old"], driver) == []
    assert of_gpus(["GPU-b"], driver) == []
    assert of_gpus(["GPU-a"], object()) == []  # a driver that has no such call
