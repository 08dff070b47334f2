"""Float against integers: where they part, and that they do not where nothing is rounded."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from networks import affine, chain, neuron, options

from spikewright.compiler import CompileOptions, compile_network, divergence
from spikewright.compiler.divergence import Comparison, Difference, compare_with_float
from spikewright.compiler.graph import Input, Network, Node, Output
from spikewright.compiler.pipeline import circuit_of
from spikewright.compiler.semantics import resolve

Bools = npt.NDArray[np.bool_]


def compared(network: Network, chosen: CompileOptions, spikes: Bools) -> Comparison:
    circuit = circuit_of(resolve(network, chosen), chosen.discretization)
    return compare_with_float(circuit, compile_network(network, chosen), spikes)


def two_layers(seed: int, whole: bool) -> Network:
    """IF neurons with recurrence; whole weights up to 127 are exact in 8 bits."""
    rng = np.random.default_rng(seed)

    def weight(n: int, m: int) -> npt.NDArray[np.float64]:
        values = rng.uniform(-127, 127, (n, m))
        values[:, 0] = 127
        return np.rint(values) if whole else values

    nodes: dict[str, Node] = {
        "in": Input((5,)), "w1": affine(weight(12, 5)), "a": neuron("IF", 12, v_threshold=200),
        "rec": affine(weight(12, 12)), "w2": affine(weight(4, 12)),
        "b": neuron("IF", 4, v_threshold=150), "out": Output((4,)),
    }  # fmt: skip
    path = ("in", "w1", "a", "rec", "a", "w2", "b", "out")
    return Network(nodes, tuple(pairwise(path)))


def random_spikes(samples: int = 7) -> Bools:
    return np.random.default_rng(8).random((samples, 30, 5)) < 0.3


def test_exact_numbers_never_differ() -> None:
    found = compared(two_layers(1, True), options(1.0, "subtract", state_bits=24), random_spikes())
    assert found.first is None
    assert found.agreement == 1
    assert found.equal_samples == found.samples == 7
    assert found.equal_decisions == {"b": 7}
    for layer in found.layers.values():
        assert layer.float_spikes == layer.integer_spikes > 0
        assert layer.v_error == 0
        assert layer.agreement == (1.0,) * 30


def lost_weight(kind: str = "IF", leak: float = 0.0) -> tuple[Network, Bools]:
    """Line 1's weight 0.4 rounds to 0 beside line 0's 1.0 in 2 bits; line 1 spikes from 1 on."""
    node = neuron(kind, v_threshold=0.9 + leak, v_leak=leak, v_reset=leak, tau_mem=1e9, r=1e9)
    spikes = np.zeros((3, 6, 2), np.bool_)
    spikes[2, 1:, 1] = True
    return chain(affine([[1.0, 0.4]]), node), spikes


@pytest.mark.parametrize(("kind", "leak"), [("IF", 0.0), ("LIF", -2.0)])
def test_the_first_difference(kind: str, leak: float) -> None:
    network, spikes = lost_weight(kind, leak)
    if kind == "IF":
        network = chain(affine([[1.0, 0.4]]), neuron("IF", v_threshold=0.9))
    found = compared(network, options(weight_bits=2), spikes)
    first = found.first
    assert isinstance(first, Difference)
    assert (first.layer, first.neuron, first.sample, first.timestep) == ("n1", 0, 2, 3)
    assert first.float_spiked
    assert first.float_v == pytest.approx(3 * 0.4 + leak)
    assert first.integer_v == pytest.approx(leak)
    assert first.float_threshold == pytest.approx(0.9 + leak)
    assert first.integer_threshold == pytest.approx(0.9 + leak, abs=1 / 64)
    assert first.integer_threshold <= first.float_threshold
    assert first.weight_unit == pytest.approx(1.0)
    layer = found.layers["n1"]
    assert layer.agreement == pytest.approx((1, 1, 1, 2 / 3, 1, 1))
    assert layer.mean_agreement == pytest.approx(17 / 18)
    assert (layer.float_spikes, layer.integer_spikes) == (1, 0)
    assert (layer.float_silent, layer.silenced, layer.woken) == (0, 1, 0)
    assert found.equal_samples == 2
    np.testing.assert_allclose(found.peaks["n1"], [1.2])
    assert layer.closest is not None
    assert layer.closest.v == pytest.approx(1.2 + leak)


def test_differences_are_named_where_they_start() -> None:
    found = compared(two_layers(2, False), options(1.0, "subtract", weight_bits=3), random_spikes())
    assert found.first is not None
    times = {name: layer.first.timestep for name, layer in found.layers.items() if layer.first}
    assert found.first.timestep == min(times.values())
    assert found.first == found.layers[found.first.layer].first
    assert 0 < found.agreement < 1


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = options(1.0, "subtract", weight_bits=3)
    whole = compared(two_layers(2, False), chosen, random_spikes())
    monkeypatch.setattr(divergence, "BATCH_SAMPLES", 2)
    parts = compared(two_layers(2, False), chosen, random_spikes())
    assert parts.equal_samples == whole.equal_samples
    assert parts.equal_decisions == whole.equal_decisions
    for name, layer in whole.layers.items():
        other = parts.layers[name]
        assert other.agreement == layer.agreement
        assert other.first is not None
        assert layer.first is not None
        places = [(d.timestep, d.sample, d.neuron) for d in (other.first, layer.first)]
        assert places[0] == places[1]
        assert (other.float_spikes, other.silenced) == (layer.float_spikes, layer.silenced)
        assert other.v_error == pytest.approx(layer.v_error)
        np.testing.assert_allclose(parts.peaks[name], whole.peaks[name])


def test_refractory_neurons_hold_v_in_both() -> None:
    """A delayed reset to zero holds v for a timestep: both must show what they hold."""
    chosen = options(1.0, "zero", True, state_bits=24)
    found = compared(two_layers(3, True), chosen, random_spikes())
    assert found.first is None
    assert all(layer.v_error == 0 for layer in found.layers.values())
