"""Networks compiled for a core with paired rows: every row at its place, and the same spikes."""

from dataclasses import replace

import numpy as np
from networks import affine, chain, neuron, options

from spikewright.compiler import compile_network
from spikewright.sim.golden import GoldenModel
from spikewright.spec import CoreSpec

SPEC = CoreSpec(axons=24, neurons=48, lanes=4, plasticity="window", weight_words=500)
PAIRED = replace(SPEC, paired_rows=True, weight_words=0)


def test_same_spikes_as_with_packed_rows() -> None:
    rng = np.random.default_rng(1)
    first, second = (
        affine(rng.uniform(-0.3, 1.0, shape) * (rng.random(shape) < 0.3))
        for shape in ((30, 20), (9, 30))
    )
    network = chain(first, neuron("LIF", 30), second, neuron("LIF", 9))
    packed, paired = (compile_network(network, options(), spec=spec) for spec in (SPEC, PAIRED))
    held = np.flatnonzero(paired.word_count)
    assert len(held) > 30
    np.testing.assert_array_equal(paired.first_word[held], 16 * held + paired.first_group[held])
    spikes = rng.random((3, 30, SPEC.axons)) < 0.3
    expected = GoldenModel(packed, 3).run(spikes)
    found = GoldenModel(paired, 3).run(spikes)
    assert expected.spikes.any()
    np.testing.assert_array_equal(found.spikes, expected.spikes)
    np.testing.assert_array_equal(found.cycles, expected.cycles)
