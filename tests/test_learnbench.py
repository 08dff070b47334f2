"""What learning costs on the compiled core, by the bench that measures it."""

from dataclasses import replace

import pytest

from spikewright.files import read_spec
from spikewright.learnbench import RATE, cost
from spikewright.presets import PRESETS
from spikewright.spec import CoreSpec

NEUROCOREX = PRESETS["neurocorex"]


@pytest.mark.parametrize("window", [2, 5, 127])
def test_neurocorex(window: int) -> None:
    found = cost(NEUROCOREX, window)
    print(found)
    assert RATE <= found.least_spiking <= found.most_spiking <= RATE + 0.01
    assert found.cycles_off < found.cycles <= 1000
    assert found.most_cycles <= 1000 or window > 100
    assert found.cycles_a_word <= 3.0
    assert found.synapses >= found.words > 5_000


def test_switched_off_it_costs_no_cycle() -> None:
    """An integration even takes fewer, as all lanes are read at once."""
    plastic = CoreSpec(plasticity="trace", reward=True, weight_words=8192)
    static = replace(plastic, plasticity="none", reward=False)
    for name in ("timestep_overhead", "integrate_overhead", "update_latency"):
        assert getattr(plastic, name) <= getattr(static, name)


def test_presets_are_read_by_name() -> None:
    assert read_spec("neurocorex") == NEUROCOREX
    sizes = NEUROCOREX.axons, NEUROCOREX.neurons, NEUROCOREX.weight_bits
    assert sizes == (96, 96, 8)
    assert NEUROCOREX.weight_words == 192 * NEUROCOREX.row_stride
