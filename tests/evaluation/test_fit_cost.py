"""The cost of a fit: what is paused does not count, and what goes on is told of the whole or not at all."""

from evaluation.fit_cost import FitCost
from ground.energy import Counter, Meter


class Gauge:
    """Meters of a machine that tells what a test says."""

    def __init__(self) -> None:
        self.joules: float | None = 0.0

    def meters(self) -> dict[str, Meter]:
        return {"cpu": Meter([Counter(self._read, wraps_at=1e9)])}

    def _read(self) -> float:
        if self.joules is None:
            raise OSError
        return self.joules


def test_validation_and_what_is_outside_of_a_fit_do_not_count() -> None:
    gauge, cost = Gauge(), FitCost()
    cost.go_on()  # a validation without a fit
    cost.begin(gauge.meters())
    for within in (True, False, True, False):
        assert gauge.joules is not None
        gauge.joules += 1.0 if within else 100.0
        if within:
            cost.pause()
        else:
            cost.go_on()
    gauge.joules += 1.0
    cost.end()
    seconds = cost.seconds
    gauge.joules += 100.0
    cost.go_on()
    cost.pause()
    assert cost.metrics == {"time/fit_seconds": seconds, "energy/fit_cpu_joules": 3.0}


def test_a_fit_that_goes_on() -> None:
    gauge, cost = Gauge(), FitCost()
    cost.begin(gauge.meters())
    gauge.joules = 5.0
    cost.end()
    again = FitCost()
    again.load_state_dict(cost.state_dict())
    again.begin(gauge.meters())
    gauge.joules = 7.0
    again.end()
    assert again.metrics["energy/fit_cpu_joules"] == 7.0
    untold = FitCost()  # the part before was on a machine that does not tell, or of a time when none was asked
    untold.load_state_dict({"fit_seconds": 3.0})
    untold.begin(gauge.meters())
    untold.end()
    assert list(untold.metrics) == ["time/fit_seconds"]


def test_what_is_told_no_more_is_not_told_of_the_fit() -> None:
    gauge, cost = Gauge(), FitCost()
    cost.begin(gauge.meters())
    gauge.joules = None
    cost.pause()
    cost.go_on()
    cost.end()
    assert list(cost.metrics) == ["time/fit_seconds"]
