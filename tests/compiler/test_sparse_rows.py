"""Networks whose rows are sparse: chosen where it pays, and the same spikes as with dense rows."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from networks import affine, chain, neuron, options

from spikewright.compiler import compile_network
from spikewright.compiler.graph import Delay, Network
from spikewright.errors import ModelError
from spikewright.image import CoreImage
from spikewright.sim.compare import lockstep
from spikewright.sim.golden import GoldenModel
from spikewright.sim.verilator import CoreSimulator


def banded(n: int = 64, width: int = 3) -> Network:
    """Neurons that each hear a few inputs near theirs and far from theirs."""
    rng = np.random.default_rng(1)
    distance = (np.arange(n)[:, None] - np.arange(n)) % n
    near = (distance < width) | (abs(distance - n // 2) < width)
    return chain(affine(near * rng.uniform(0.2, 1.0, (n, n))), neuron("CubaLIF", n))


def spikes_for(image: CoreImage) -> npt.NDArray[np.bool_]:
    return np.random.default_rng(2).random((3, 30, image.spec.axons)) < 0.2


def test_sparse_rows_are_chosen_where_they_pay() -> None:
    image = compile_network(banded(), options())
    assert image.spec.sparse
    dense = compile_network(banded(), options(sparse=False))
    assert not dense.spec.sparse
    assert len(image.weights) < 0.75 * len(dense.weights)
    full = compile_network(chain(affine(np.ones((64, 64))), neuron("LIF", 64)), options())
    assert not full.spec.sparse


def test_same_spikes_as_with_dense_rows() -> None:
    sparse, dense = (compile_network(banded(), options(sparse=each)) for each in (True, False))
    spikes = spikes_for(sparse)
    expected = GoldenModel(dense, 3).run(spikes).spikes
    assert expected.any()
    np.testing.assert_array_equal(GoldenModel(sparse, 3).run(spikes).spikes, expected)


def test_given_specs_decide() -> None:
    image = compile_network(banded(), options())
    again = compile_network(banded(), options(), spec=image.spec)
    assert again.spec.sparse
    dense = compile_network(
        banded(), options(), spec=replace(image.spec, sparse=False, weight_words=512)
    )
    assert not dense.spec.sparse
    with pytest.raises(ModelError, match="sparse must be the spec's True, not False"):
        compile_network(banded(), options(sparse=False), spec=image.spec)


def two_delays() -> Network:
    """Each input reaches each neuron at once, and once more three timesteps later."""
    rng = np.random.default_rng(3)
    first, second = (affine(rng.uniform(-0.5, 1.0, (8, 6))) for _ in range(2))
    network = chain(first, neuron("LIF", 8))
    nodes = {**network.nodes, "late": Delay(np.full(6, 3.0)), "again": second}
    edges = (*network.edges, ("in", "late"), ("late", "again"), ("again", "n1"))
    return replace(network, nodes=nodes, edges=edges)


def test_several_delays_between_two_neurons_need_sparse_rows() -> None:
    with pytest.raises(ModelError, match=r"synapses from .* must all have one delay"):
        compile_network(two_delays(), options(sparse=False))
    image = compile_network(two_delays(), options())
    assert image.spec.sparse
    assert image.spec.delay_slots == 4
    spikes = spikes_for(image)
    with CoreSimulator(image.spec) as simulator:
        report = lockstep(image, spikes, simulator, stall_seed=1)
    assert report.mismatch is None
    assert report.spikes
