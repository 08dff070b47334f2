"""The timer of timesteps, cycle by cycle, against the byte-level device's."""

from collections.abc import Iterator

import numpy as np
import pytest

from spikewright.frames import LEAST_PERIOD, MOST_MISSED, LinkSpec
from spikewright.hdl.timer import TimestepTimer
from spikewright.sim.model import Model, build_model
from spikewright.sim.timeline import Timeline

LINK = LinkSpec(clock_hz=4_000_000)


class Driven:
    """A timer, the cycle that it is at, and the same timer of the model."""

    def __init__(self, model: Model) -> None:
        self.io = model.io
        self.tick = model.clock.tick
        self.timeline = Timeline()
        for name in ("period", "pace", "stop", "reset", "step", "o_missed__ready"):
            setattr(self.io, name, 0)
        self.io.rst = 1
        self.tick(2)
        self.io.rst = 0
        self.cycle = 0

    def go_on(self, cycles: int = 1) -> None:
        self.tick(cycles)
        self.cycle += cycles

    def pulse(self, name: str) -> None:
        setattr(self.io, name, 1)
        self.go_on()
        setattr(self.io, name, 0)

    def pace(self, period: int) -> bool:
        """Ask for a period; whether it was refused."""
        self.io.period = period
        self.go_on()
        refused = bool(self.io.refused)
        if not refused:
            self.pulse("pace")
            self.timeline.pace(period)
        return refused

    def begin(self, ready: int) -> tuple[int, int]:
        """Be ready for a timestep at a cycle: when it began, and the ticks that it missed."""
        self.go_on(ready - self.cycle)
        while not self.io.go:
            self.go_on()
        began = self.cycle
        self.pulse("step")
        assert self.io.o_missed__valid
        missed = int(self.io.o_missed__payload)
        self.pulse("o_missed__ready")
        return began, missed

    def check(self, ready: int) -> int:
        """The same, and that the model says so; the ticks."""
        found = self.begin(ready)
        self.timeline.time = ready
        missed = self.timeline.begin()
        assert found == (self.timeline.time, missed)
        return missed


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with build_model(TimestepTimer(LINK), trace=None) as model:
        yield model


def test_on_demand_a_timestep_begins_at_once(model: Model) -> None:
    driven = Driven(model)
    for ready in (1, 5, 6000, 6010):
        assert driven.begin(ready) == (ready, 0)
        assert not driven.io.running


@pytest.mark.parametrize("period", [LEAST_PERIOD, 33, 64, 400, (1 << LINK.period_bits) - 1])
def test_timesteps_begin_on_ticks(model: Model, period: int) -> None:
    driven = Driven(model)
    rng = np.random.default_rng(period)
    assert not driven.pace(period)
    assert driven.check(100) == 0
    first, overruns = driven.cycle - 2, 0
    for n in range(1, 60):
        late = int(rng.choice([4, period - 1, period, period + 1, 3 * period]))
        late += int(rng.integers(period)) if late > period + 1 else 0
        overruns += driven.check(max(driven.cycle, driven.timeline.time + late))
        assert driven.timeline.time == first + (n + overruns) * period
    assert overruns > 40


def test_a_timeline_ends(model: Model) -> None:
    """By a stop, by a period and without one; the period outlives only the first."""
    driven = Driven(model)
    driven.pace(50)
    driven.check(10)
    assert driven.io.running
    driven.pulse("stop")
    driven.timeline.restart()
    assert not driven.io.running
    assert driven.check(77) == 0
    driven.pace(60)
    assert driven.check(100) == 0
    assert driven.check(100 + 3 * 60 + 1) == 3
    driven.pulse("reset")
    assert driven.begin(400) == (400, 0)
    assert not driven.io.running


def test_a_timeline_outlives_so_many_missed_ticks(model: Model) -> None:
    driven = Driven(model)
    driven.pace(LEAST_PERIOD)
    driven.check(5)
    last = LEAST_PERIOD * MOST_MISSED
    assert driven.check(driven.timeline.time + last) == MOST_MISSED - 1
    assert driven.io.running
    assert driven.check(driven.timeline.time + last + 9) == MOST_MISSED
    assert driven.check(driven.timeline.time + 2 * last) == MOST_MISSED
    assert driven.check(driven.timeline.time + LEAST_PERIOD + 1) == 1


def test_periods_that_it_cannot_count(model: Model) -> None:
    driven = Driven(model)
    most = 1 << LINK.period_bits
    periods = (0, 1, LEAST_PERIOD - 1, LEAST_PERIOD, most - 1, most, most + 32, 1 << 31)
    refused = [driven.pace(period) for period in periods]
    assert refused == [False, True, True, False, False, True, True, True]
