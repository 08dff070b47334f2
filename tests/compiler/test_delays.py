"""Delays, loops, skip connections and neurons without memory, against a simulator of their own."""

from typing import Any

import numpy as np
import pytest
from networks import (
    affine,
    if_spikes,
    lowered,
    network,
    neuron,
    options,
    random_spikes,
    whole_weights,
)  # fmt: skip

from spikewright.compiler import compile_network
from spikewright.compiler.graph import Delay, Input, Network, Neuron, Node, Output
from spikewright.compiler.ir import Edge
from spikewright.compiler.levels import assign_levels
from spikewright.compiler.place import place
from spikewright.compiler.quantize import quantize
from spikewright.errors import ModelError
from spikewright.sim.golden import GoldenModel
from spikewright.spec import CoreSpec


def compare(net: Network, seed: int, **formats: Any) -> None:
    image = compile_network(net, options(state_bits=24, **formats))
    spikes = random_spikes(seed, net.nodes["in"].size_out)
    run = GoldenModel(image).run(spikes[None])
    for name, fired in if_spikes(net, spikes).items():
        assert fired.any(), name
        np.testing.assert_array_equal(run.spikes[0][:, image.population(name).slice], fired, name)


@pytest.mark.parametrize("seed", range(8))
def test_delays_of_a_chain_a_skip_and_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 9
    net = network(
        {
            "in": Input((n,)),
            "late": Delay(rng.integers(0, 7, n).astype(float)),
            "w1": whole_weights(rng, n, n),
            "a": neuron("IF", n, v_threshold=rng.integers(50, 300)),
            "d1": Delay(rng.integers(0, 5, n).astype(float)),
            "w2": whole_weights(rng, n, n),
            "d2": Delay(rng.integers(0, 3, n).astype(float)),
            "b": neuron("IF", n, v_threshold=200),
            "out": Output((n,)),
        },
        "in>late>w1>a>d1>w2>d2>b>out",
    )  # fmt: skip
    compare(net, seed, lanes=4)


def loop(delay: float | None) -> Network:
    rng = np.random.default_rng(2)
    nodes: dict[str, Node] = {
        "in": Input((5,)),
        "w": whole_weights(rng, 5, 5),
        "a": neuron("IF", 5, v_threshold=150),
        "r": whole_weights(rng, 5, 5),
        "out": Output((5,)),
    }
    if delay is None:
        return network(nodes, "in>w>a>out", "a>r>a")
    before = {name: nodes[name] for name in ("in", "w")}
    return network(
        before | {"a": nodes["a"], "r": nodes["r"], "d": Delay(np.full(5, delay)),
                  "out": nodes["out"]},
        "in>w>a>out", "a>r>d>a",
    )  # fmt: skip


def test_a_loop_takes_the_delay_that_it_says_and_one_timestep_at_least() -> None:
    """``y(t) = x(t - delay)`` holds in a loop too; only where it says 0, or nothing, it is 1."""
    images = [compile_network(loop(delay), options()) for delay in (None, 0.0, 1.0, 2.0)]
    spikes = random_spikes(0, 5)[None]
    runs = [GoldenModel(image).run(spikes).spikes[0][:, :5] for image in images]
    assert runs[0].any()
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0], runs[2])
    assert (runs[0] != runs[3]).any()
    assert [image.spec.delay_slots for image in images] == [1, 1, 1, 2]
    assert [image.manifest.semantics["spike_order"][0] for image in images] == [
        ["a", "a", delay] for delay in (1, 1, 1, 2)
    ]


def fan() -> Network:
    """Two ways of different delays between the same ends."""
    return network(
        {
            "in": Input((3,)), "w": affine(np.eye(3) * 127), "d": Delay(np.full(3, 2.0)),
            "a": neuron("IF", 3, v_threshold=100), "out": Output((3,)),
        },
        "in>w>a>out", "w>d>a",
    )  # fmt: skip


def test_ways_of_different_delays_need_sparse_rows() -> None:
    circuit = assign_levels(lowered(fan(), options()))
    assert list(circuit.weights) == [Edge("in", "a", 0), Edge("in", "a", 2)]
    with pytest.raises(
        ModelError,
        match=r"Node 'a', neuron 0: synapses from 'in', neuron 0 must .* not 0 and 2 timesteps",
    ) as caught:
        compile_network(fan(), options(sparse=False))
    assert "sparse=True" in caught.value.hint


def test_sparse_rows_repeat_a_group_for_several_delays() -> None:
    circuit = assign_levels(lowered(fan(), options()))
    rows = place(circuit, quantize(circuit, CoreSpec()), 2, sparse=True).rows
    np.testing.assert_array_equal(rows["word_count"][:3], [2, 2, 2])
    np.testing.assert_array_equal(rows["word_group"], [0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(rows["weights"][:, 0], [127, 127, 0, 0, 127, 127])
    np.testing.assert_array_equal(rows["delays"][:, 1], [0, 0, 0, 2, 0, 0])


def test_sparse_rows_leave_out_words_without_weights() -> None:
    weight = np.zeros((20, 2))
    weight[[0, 1, 19], 0] = 1
    net = network(
        {"in": Input((2,)), "w": affine(weight), "a": neuron("IF", 20), "out": Output((20,))},
        "in>w>a>out",
    )
    circuit = assign_levels(lowered(net, options()))
    rows = place(circuit, quantize(circuit, CoreSpec()), 4, sparse=True).rows
    np.testing.assert_array_equal(rows["word_group"], [0, 4])
    np.testing.assert_array_equal(rows["word_count"][:2], [2, 0])
    dense = place(circuit, quantize(circuit, CoreSpec()), 4).rows
    np.testing.assert_array_equal(dense["word_group"], np.arange(5))


@pytest.mark.parametrize(
    ("delay", "dt", "message"),
    [
        (2.5e-3, 1e-3, r"Node 'd', value 1: delay must be a whole number of timesteps of dt = 0.001"
         r" s, not 0\.0025 s\.\nMake it 0\.002 or 0\.003 s"),
        (0.5, 1e-3, r"value 1: delay, with those before it, must be at most 63 timesteps, not 500"),
        (-1e-3, 1e-3, r"node 'd': delay must be 0 s or more, not -0\.001"),
        (np.nan, 1e-3, r"node 'd': delay must be finite, not nan"),
        (1e-3, None, r"node 'd' \(Delay\) needs dt"),
    ],
)  # fmt: skip
def test_delays_that_cannot_be(delay: float, dt: float | None, message: str) -> None:
    net = network(
        {"in": Input((2,)), "d": Delay(np.array([0.0, delay])), "a": neuron("IF", 2),
         "out": Output((2,))},
        "in>d>a>out",
    )  # fmt: skip
    with pytest.raises(ModelError, match=message):
        compile_network(net, options(dt))


def test_delays_add_up_to_a_limit() -> None:
    nodes: dict[str, Node] = {"in": Input((1,)), "d": Delay(np.array([60.0]))}
    nodes |= {"e": Delay(np.array([4.0])), "a": neuron("IF"), "out": Output((1,))}
    with pytest.raises(ModelError, match=r"Node 'e', value 0: .* at most 63 timesteps, not 64"):
        compile_network(network(nodes, "in>d>e>a>out"), options())
    nodes["e"] = Delay(np.array([3.0 + 1e-7]))
    assert compile_network(network(nodes, "in>d>e>a>out"), options()).spec.delay_slots == 64


def test_a_core_without_a_ring_is_too_small() -> None:
    with pytest.raises(ModelError, match="delay_slots must be at most 1, not 2") as caught:
        compile_network(loop(2.0), options(), spec=CoreSpec())
    assert "delay_slots=2 would do" in caught.value.hint


@pytest.mark.parametrize("seed", range(4))
def test_a_threshold_has_no_memory(seed: int) -> None:
    rng = np.random.default_rng(seed)
    threshold = Neuron(
        kind="Threshold", shape=(6,), r=np.ones(6), tau_mem=None, tau_syn=None, w_in=np.ones(6),
        v_leak=np.zeros(6), v_threshold=rng.integers(20, 120, 6).astype(float),
        v_reset=np.zeros(6),
    )  # fmt: skip
    net = network(
        {
            "in": Input((6,)), "w1": whole_weights(rng, 6, 6), "t": threshold,
            "w2": whole_weights(rng, 6, 6), "a": neuron("IF", 6, v_threshold=300),
            "out": Output((6,)),
        },
        "in>w1>t>w2>a>out",
    )  # fmt: skip
    compare(net, seed)


def test_what_never_spikes_has_nothing_to_pass_on() -> None:
    net = network(
        {"in": Input((1,)), "li": neuron("LI"), "w": affine([[1.0]]), "a": neuron(),
         "out": Output((1,))},
        "in>li>w>a>out",
    )  # fmt: skip
    with pytest.raises(
        ModelError, match=r"Node 'li' \(LI\) never spikes, so .* node 'a'"
    ) as caught:
        compile_network(net, options())
    assert "LIF" in caught.value.hint


def test_ways_without_a_synapse() -> None:
    nodes: dict[str, Node] = {"in": Input((2,)), "w": affine(np.zeros((2, 2)), 2.0)}
    nodes |= {"d": Delay(np.array([1.0, 2.0])), "a": neuron("IF", 2), "out": Output((2,))}
    image = compile_network(network(nodes, "in>w>d>a>out"), options())
    assert len(image.weights) == 0
    assert GoldenModel(image).run(np.zeros((1, 3, 2), bool)).spikes[0, :, :2].all()
