"""Energy that the machine has taken, where it tells: counters of its processors (RAPL) and of NVIDIA's GPUs (NVML)."""

import ctypes
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

POWERCAP = Path("/sys/class/powercap")
NVML = "libnvidia-ml.so.1"
WATCHED = 60.0
"""Seconds between two readings at most: a processor's counter may wrap around in minutes, and once is all one sees."""


class Counter(NamedTuple):
    """Joules since some time, and where they begin again at 0; ``read`` raises OSError where it is told no more."""

    read: Callable[[], float]
    wraps_at: float


def of_processors(folder: Path = POWERCAP) -> list[Counter]:
    """The counters of all processors and of their memory that may be read here: none on most machines, but for root.

    Example:
        >>> of_processors(Path("nowhere"))
        []
    """
    found = []
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text(encoding="ascii").strip()
            wraps_at = int((zone / "max_energy_range_uj").read_text(encoding="ascii")) / 1e6
            counter = Counter(partial(_microjoules, zone / "energy_uj"), wraps_at)
            counter.read()
        except (OSError, ValueError):
            continue
        if name.startswith("package") or name == "dram":  # cores are of their package, and "psys" is all of it
            found.append(counter)
    return found


def _microjoules(file: Path) -> float:
    return int(file.read_text(encoding="ascii")) / 1e6


def of_gpus(uuids: Sequence[str], library: Any = None) -> list[Counter]:
    """The counters of NVIDIA's GPUs of these names, ``GPU-...``; none where the driver does not tell those of all.

    Example:
        >>> of_gpus([])
        []
    """
    if not uuids:
        return []
    try:
        nvml = ctypes.CDLL(NVML) if library is None else library
        if nvml.nvmlInit_v2():
            return []
        found = [Counter(_reader(nvml, uuid), float("inf")) for uuid in uuids]
        for each in found:
            each.read()
    except (OSError, AttributeError):  # no driver, or one of an older time
        return []
    return found


def _reader(nvml: Any, uuid: str) -> Callable[[], float]:
    device = ctypes.c_void_p()
    if nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(device)):
        raise OSError(f"no GPU {uuid}")

    def read() -> float:
        millijoules = ctypes.c_ulonglong()
        if nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules)):
            raise OSError(f"the GPU {uuid} does not tell its energy")
        return millijoules.value / 1e3

    return read


class Meter:
    """What counters tell between ``start`` and ``stop``, each as often as one likes: all of it, whoever caused it.

    Example:
        >>> readings = iter([90.0, 5.0])
        >>> meter = Meter([Counter(lambda: next(readings), wraps_at=100.0)])
        >>> meter.start()
        >>> meter.stop()  # 10 up to where it begins again, and 5
        15.0
    """

    def __init__(self, counters: Sequence[Counter]):
        self._counters = counters
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._last: list[float] | None = None
        self._joules = 0.0

    def start(self) -> None:
        self._joules, self._ended = 0.0, threading.Event()
        self._last = self._told()
        threading.Thread(target=self._watch, args=(self._ended,), daemon=True).start()

    def stop(self) -> float | None:
        """Joules since ``start``; None where a counter was told no more."""
        self._ended.set()
        self._add()
        return None if self._last is None else self._joules

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(WATCHED):
            self._add()

    def _add(self) -> None:
        with self._lock:
            now = self._told()
            if now is not None and self._last is not None:
                for counter, before, after in zip(self._counters, self._last, now, strict=True):
                    self._joules += after - before + (counter.wraps_at if after < before else 0.0)
                self._last = now
            else:
                self._last = None

    def _told(self) -> list[float] | None:
        try:
            return [each.read() for each in self._counters]
        except (OSError, ValueError):
            return None
