"""Counters: every one counts its own events, whatever the memory held at power-up."""

import numpy as np
import pytest

from spikewright.frames import COUNTERS, MOST_MISSED
from spikewright.hdl.counters import Counters
from spikewright.sim.model import Model, build_model
from spikewright.spec import CoreSpec

LANES = 2
LINES = ("step", "cycle", "axon", "spikes", "synapses", "saturated", "error")
MISSED = (MOST_MISSED, 0, 7, 1)
ROUND = 2 * (len(COUNTERS) + 1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_values_are_absolute(seed: int) -> None:
    with build_model(
        Counters(CoreSpec(axons=4, neurons=4, lanes=LANES)), trace=None, seed=seed
    ) as model:
        _reset(model)
        for cycles, line in enumerate(LINES, 1):
            setattr(model.io, line, 1)
            model.clock.tick(cycles)
            setattr(model.io, line, 0)
        for missed in MISSED:
            model.io.i_missed__payload = missed
            model.io.i_missed__valid = 1
            while not model.io.i_missed__ready:
                model.clock.tick()
            model.clock.tick()
            model.io.i_missed__valid = 0
            model.clock.tick(2)
        model.clock.tick(4 * ROUND)
        wanted = [*range(1, len(LINES) + 1), sum(MISSED)]
        assert _read(model) == wanted, f"seed {seed}"


def test_carry_and_what_happens_while_being_read() -> None:
    """Every event counts once, past 16 bits too, and no reading mixes two values."""
    rng = np.random.default_rng(4)
    with build_model(Counters(CoreSpec(axons=4, neurons=4, lanes=LANES)), trace=None) as model:
        _reset(model)
        errors = synapses = 0
        for cycles in (65_500, *rng.integers(1, 40, 60).tolist()):
            model.io.error = 1
            model.io.synapses = (1 << LANES) - 1
            model.clock.tick(cycles)
            model.io.synapses = 0
            model.io.error = 0
            model.clock.tick(int(rng.integers(ROUND)))
            errors += cycles
            synapses += LANES * cycles
            values = _read(model, errors_meanwhile=3)
            assert values[LINES.index("synapses")] == synapses
            assert values[LINES.index("error")] == errors
            errors += 3
            model.clock.tick(2 * ROUND)
        assert errors > 1 << 16


def test_missed_ticks_wait_while_being_read() -> None:
    with build_model(Counters(CoreSpec(axons=4, neurons=4, lanes=LANES)), trace=None) as model:
        _reset(model)
        model.io.port__read = 1
        model.clock.tick(2 * ROUND)
        model.io.i_missed__payload = 5
        model.io.i_missed__valid = 1
        for _ in range(2 * ROUND):
            assert not model.io.i_missed__ready
            model.clock.tick()
        model.io.port__read = 0
        while not model.io.i_missed__ready:
            model.clock.tick()
        model.clock.tick()
        model.io.i_missed__valid = 0
        assert _read(model) == [0] * len(LINES) + [5]


def _reset(model: Model) -> None:
    for line in (*LINES, "i_missed__valid", "port__read", "port__position"):
        setattr(model.io, line, 0)
    model.io.rst = 1
    model.clock.tick(3)
    model.io.rst = 0
    model.clock.tick(2 * ROUND)


def _read(model: Model, errors_meanwhile: int = 0) -> list[int]:
    """All counters, with errors between the bytes of the last."""
    model.io.port__read = 1
    for _ in range(2 * ROUND):
        model.clock.tick()
    assert int(model.io.port__ready) == 1
    content = bytearray()
    for position in range(4 * len(COUNTERS)):
        model.io.port__position = position
        model.io.error = position >= 4 * len(COUNTERS) - errors_meanwhile
        model.clock.tick()
        content.append(int(model.io.port__value))
    model.io.error = 0
    model.io.port__read = 0
    values: list[int] = np.frombuffer(content, "<u4").tolist()
    return values
