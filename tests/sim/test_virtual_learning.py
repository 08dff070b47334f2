"""A board whose RTL learns, behind its UART pins: what it learned is what the golden model did."""

import numpy as np
import pytest
from lessons import SPECS, a_lesson, an_image

from spikewright.frames import LinkSpec
from spikewright.runtime.device import Device
from spikewright.sim.golden import GoldenTarget
from spikewright.sim.virtual import VirtualBoard

LINK = LinkSpec(clock_hz=100_000_000, baud_hz=25_000_000, max_payload=128, window=4)


@pytest.mark.parametrize("kind", SPECS)
def test_a_board_learns(kind: str) -> None:
    image = an_image(kind)
    spikes, rewards = a_lesson(kind)
    golden = GoldenTarget()
    golden.load(image)
    wanted = golden.run(spikes, learn=True, rewards=rewards)
    learned = golden.learned_image()
    assert (learned.weights != image.weights).mean() > 0.2
    with VirtualBoard(SPECS[kind], LINK) as board, Device(board.path) as device:
        device.load(image)
        for k, stimulus in enumerate(spikes):
            given = None if rewards is None else rewards[k]
            run = device.run(stimulus, learn=True, rewards=given)
            np.testing.assert_array_equal(run.spikes, wanted.spikes[k])
            assert run.counters["cycles"] == wanted.total_cycles[k]
        assert device.learned_image().id == learned.id
        device.run(spikes[0])  # without learning nothing changes
        assert device.learned_image().id == learned.id
