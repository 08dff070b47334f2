import numpy as np
import pytest

from spikewright.frames import LinkSpec
from spikewright.linkbench import PERIODS_S, bits_a_spike, main, shortest_period, speed
from spikewright.sim.bench import busy_network, layered_network
from spikewright.spec import CoreSpec

IMAGE = layered_network((64, 128, 10))


@pytest.mark.parametrize("latency_s", [0.001, 0.016])
def test_a_fast_line_is_well_used(latency_s: float) -> None:
    image = busy_network(CoreSpec(axons=256, neurons=256, lanes=32), 0.02)
    spikes = np.random.default_rng(1).random((6000, 256)) < 0.05
    found = speed(image, spikes, 4_000_000, latency_s, LinkSpec())
    assert found["retransmissions"] == 0
    for name in ("load", "read back", "spikes"):
        assert 0.85 < found[name] < 1, name


def test_a_window_too_small_for_the_line_is_slow() -> None:
    spikes = np.zeros((8, 64), np.bool_)
    small, default = (
        speed(IMAGE, spikes, 12_000_000, 0.016, LinkSpec(window=window))["load"]
        for window in (2, 8)
    )
    assert small < default / 2


def test_spikes_take_few_bits() -> None:
    spikes = np.random.default_rng(1).random((4, 16, 64)) < 0.3
    assert 8 < bits_a_spike(IMAGE, spikes) < 12
    assert bits_a_spike(IMAGE, spikes & False | (np.arange(64) == 5)) < 17


def test_limits_that_no_device_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--window", "3"]) == 1
    assert "window must be a power of two" in capsys.readouterr().err


def test_periods_that_lines_keep() -> None:
    """The faster line keeps the shorter one."""
    spikes = np.random.default_rng(1).random((60, 64)) < 0.3
    slow, fast = (
        shortest_period(IMAGE, spikes, baud_hz, 0.016, LinkSpec())
        for baud_hz in (1_000_000, 12_000_000)
    )
    assert slow is not None
    assert fast is not None
    assert PERIODS_S[0] <= fast < slow <= PERIODS_S[-1]
