"""What a fit costs, validation left out: its seconds, and the energy of the machine where it tells."""

import time
from collections.abc import Mapping
from typing import Any

from ground.energy import Meter


class FitCost:
    """A clock and meters that go on and pause together.

    Attributes:
        seconds: of the fit so far.
        joules: of each meter so far, by its name; one that was not told all the time is left out.

    Example:
        >>> from ground.energy import Counter
        >>> readings = iter([1.0, 3.0, 10.0, 14.0])
        >>> cost = FitCost()
        >>> cost.begin({"cpu": Meter([Counter(lambda: next(readings), wraps_at=100.0)])})
        >>> cost.pause()  # validation
        >>> cost.go_on()
        >>> cost.pause()
        >>> cost.joules, cost.seconds > 0
        ({'cpu': 6.0}, True)
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.joules: dict[str, float] = {}
        self._meters: dict[str, Meter] = {}
        self._clock: float | None = None
        self._fits = False

    def begin(self, meters: Mapping[str, Meter]) -> None:
        """A fit begins, or goes on: then only what was told before it is told of the whole."""
        self.joules = {name: self.joules.get(name, 0.0) for name in meters if name in self.joules or not self.seconds}
        self._meters = {name: meters[name] for name in self.joules}
        self._fits = True
        self.go_on()

    def go_on(self) -> None:
        """After a pause of a fit; nothing outside of one."""
        if self._fits:
            for meter in self._meters.values():
                meter.start()
            self._clock = time.perf_counter()

    def pause(self) -> None:
        if self._clock is None:
            return
        self.seconds += time.perf_counter() - self._clock
        self._clock = None
        for name, meter in list(self._meters.items()):
            joules = meter.stop()
            if joules is None:
                del self._meters[name], self.joules[name]
            else:
                self.joules[name] += joules

    def end(self) -> None:
        self.pause()
        self._fits = False

    @property
    def metrics(self) -> dict[str, float]:
        """``time/fit_seconds``, and as ``energy/fit_cpu_joules`` what was told."""
        told = {f"energy/fit_{name}_joules": value for name, value in self.joules.items()}
        return {"time/fit_seconds": self.seconds, **told}

    def state_dict(self) -> dict[str, Any]:
        return {"fit_seconds": self.seconds, "fit_joules": dict(self.joules)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["fit_seconds"]
        self.joules = dict(state_dict.get("fit_joules", {}))
