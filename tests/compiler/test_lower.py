from typing import Any

import numpy as np
import pytest
from networks import affine, chain, lowered, neuron, options

from spikewright.compiler.graph import Input, Network, Node, Output, Relay, Scale
from spikewright.compiler.ir import Edge
from spikewright.errors import ModelError


def test_transforms_fold_into_one_matrix_and_bias() -> None:
    rng = np.random.default_rng(1)
    w1, b1 = rng.normal(size=(5, 3)), rng.normal(size=5)
    w2, b2 = rng.normal(size=(4, 5)), rng.normal(size=4)
    s = rng.normal(size=5)
    network = chain(affine(w1, b1), Scale(s), Relay((5,)), affine(w2, b2), neuron(n=4))
    circuit = lowered(network, options())
    # The neurons' own gain is 1.
    np.testing.assert_allclose(circuit.weights[Edge("in", "n4")].toarray(), w2 @ (s[:, None] * w1))
    np.testing.assert_allclose(circuit.populations["n4"].bias, w2 @ (s * b1) + b2)


def test_parallel_ways_add_up_and_their_common_bias_counts_once() -> None:
    nodes: dict[str, Node] = {
        "a": Input((2,)), "b": Input((2,)), "l": affine(np.eye(2) * 3), "r": affine(np.eye(2) * 5),
        "sum": affine([[1, 1]], 7), "n": neuron(), "out": Output((1,)),
    }  # fmt: skip
    edges = (
        ("a", "l"), ("a", "r"), ("b", "r"), ("l", "sum"), ("r", "sum"), ("sum", "n"), ("n", "out"),
    )  # fmt: skip
    circuit = lowered(Network(nodes, edges), options())
    np.testing.assert_array_equal(circuit.weights[Edge("a", "n")].toarray(), [[8, 8]])
    np.testing.assert_array_equal(circuit.weights[Edge("b", "n")].toarray(), [[5, 5]])
    np.testing.assert_array_equal(circuit.populations["n"].bias, [7])
    assert circuit.outputs == {"out": "n"}


@pytest.mark.parametrize(
    ("kind", "how", "a_mem", "a_syn", "gain"),
    [
        ("IF", "euler", 1.0, 0.0, 0.5 * 3),
        ("IF", "exact", 1.0, 0.0, 0.5 * 3),
        ("LIF", "euler", 1 - 0.5 / 4, 0.0, 0.5 / 4 * 3),
        ("LI", "exact", np.exp(-0.5 / 4), 0.0, (1 - np.exp(-0.5 / 4)) * 3),
        ("CubaLIF", "euler", 1 - 0.5 / 4, 1 - 0.5 / 2, 0.5 / 4 * 3 * 0.5 / 2 * 7),
        (
            "CubaLIF",
            "exact",
            np.exp(-0.5 / 4),
            np.exp(-0.5 / 2),
            (1 - np.exp(-0.5 / 4)) * 3 * (1 - np.exp(-0.5 / 2)) * 7,
        ),
    ],
)
def test_discretization(kind: str, how: str, a_mem: float, a_syn: float, gain: float) -> None:
    changes = {"r": 3, "w_in": 7} if kind == "CubaLIF" else {"r": 3}
    circuit = lowered(
        chain(affine([[2]], 5), neuron(kind, **changes)), options(0.5, discretization=how)
    )
    population = circuit.populations["n1"]
    np.testing.assert_allclose(population.a_mem, a_mem)
    np.testing.assert_allclose(population.a_syn, a_syn)
    np.testing.assert_allclose(circuit.weights[Edge("in", "n1")].toarray(), [[2 * gain]])
    np.testing.assert_allclose(population.bias, 5 * gain)
    assert population.spikes == (kind != "LI")


@pytest.mark.parametrize(
    ("reset", "delayed", "value", "to", "refractory"),
    [
        ("zero", False, 0.25 - 0.5, True, 0),
        ("zero", True, 0.25 - 0.5, True, 1),
        ("subtract", False, 2 - 0.25, False, 0),
        ("subtract", True, 2 - 0.25, False, 0),
    ],
)
def test_resets_move_with_the_leak(
    reset: str, delayed: bool, value: float, to: bool, refractory: int
) -> None:
    node = neuron(v_leak=0.5, v_reset=0.25, v_threshold=2)
    population = lowered(chain(affine([[1]]), node), options(1.0, reset, delayed)).populations["n1"]
    np.testing.assert_allclose(population.v_threshold, 1.5)
    np.testing.assert_allclose(population.reset, value)
    assert (population.reset_to, population.refractory) == (to, refractory)
    assert population.reset_decays == (reset == "subtract" and delayed)


@pytest.mark.parametrize(
    ("changes", "reset", "delayed", "message"),
    [
        ({"v_reset": 1.0}, "subtract", False, "v_threshold must be above v_reset"),
        ({"v_reset": 2.0}, "zero", True, "v_reset must not be above v_threshold"),
    ],
)
def test_resets_that_cannot_be(
    changes: dict[str, Any], reset: str, delayed: bool, message: str
) -> None:
    with pytest.raises(ModelError, match=f"Node 'n1', neuron 0: .*{message}") as caught:
        lowered(chain(affine([[1]]), neuron(**changes)), options(1.0, reset, delayed))
    assert caught.value.hint


def test_euler_steps_longer_than_a_time_constant() -> None:
    with pytest.raises(
        ModelError, match=r"tau_mem must be at least dt = 1 s .* not 0\.5 s"
    ) as caught:
        lowered(chain(affine(np.ones((2, 1))), neuron(n=2, tau_mem=[1.0, 0.5])), options())
    assert caught.value.what.startswith("Node 'n1', neuron 1: ")
    assert "discretization='exact'" in caught.value.hint


def test_an_output_shows_neurons_and_nothing_else() -> None:
    nodes: dict[str, Node] = {"in": Input((1,)), "a": neuron(), "b": neuron(), "out": Output((1,))}
    edges = (("in", "a"), ("in", "b"), ("a", "out"), ("b", "out"))
    with pytest.raises(ModelError, match="Output 'out' must show the neurons of one node"):
        lowered(Network(nodes, edges), options())
    with pytest.raises(ModelError, match="Output 'out' must show the neurons of one node"):
        lowered(Network(nodes, (("in", "a"), ("in", "b"), ("in", "out"))), options())
