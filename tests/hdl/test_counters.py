"""Counters: every one counts its own events, whatever the memory held at power-up."""

import pytest

from spikewright.frames import COUNTERS
from spikewright.hdl.counters import Counters
from spikewright.sim.model import build_model
from spikewright.spec import CoreSpec

LANES = 2
LINES = ("step", "cycle", "axon", "spikes", "synapses", "saturated", "error")
ROUND = len(COUNTERS) + 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_values_are_absolute(seed: int) -> None:
    with build_model(
        Counters(CoreSpec(axons=4, neurons=4, lanes=LANES)), trace=None, seed=seed
    ) as model:
        for line in LINES:
            setattr(model.io, line, 0)
        model.io.rst = 1
        model.clock.tick(3)
        model.io.rst = 0
        model.clock.tick(4 * ROUND)
        for cycles, line in enumerate(LINES, 1):
            setattr(model.io, line, 1)
            model.clock.tick(cycles)
            setattr(model.io, line, 0)
        model.clock.tick(4 * ROUND)
        for index in range(len(COUNTERS)):
            model.io.port__index = index
            model.clock.tick(4 * ROUND)
            assert int(model.io.port__ready) == 1
            assert int(model.io.port__value) == index + 1, f"{COUNTERS[index]}, seed {seed}"
