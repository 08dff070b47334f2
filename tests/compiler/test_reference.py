"""The float reference against the differential equations, sample by sample and in batches."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conformance_nir import BRAILLE, braille, braille_file
from networks import affine, lowered, neuron, options, simulate

from spikewright.compiler import CompileOptions
from spikewright.compiler.frontend import read_nir
from spikewright.compiler.graph import Input, Network, Node, Output
from spikewright.compiler.levels import assign_levels
from spikewright.compiler.pipeline import circuit_of
from spikewright.compiler.reference import Reference
from spikewright.compiler.semantics import resolve
from spikewright.errors import ModelError


def recurrent(kind: str) -> Network:
    """Two inputs and three populations with recurrence, feedback and a way around."""
    rng = np.random.default_rng(3)
    nodes: dict[str, Node] = {"in0": Input((3,)), "in1": Input((2,)), "out": Output((5,))}
    nodes |= {
        name: neuron(kind, n, tau_mem=rng.uniform(2, 8, n), v_leak=-0.25, v_reset=-0.5)
        for name, n in (("a", 6), ("b", 4), ("c", 5))
    }
    edges = [("c", "out")]
    for pair in ("in0 a", "in1 b", "a a", "a b", "b c", "a c", "c a", "b b"):
        a, b = pair.split()
        weight = rng.normal(0.4, 1.0, (nodes[b].size_in, nodes[a].size_out))
        nodes[pair] = affine(weight, 0.05)
        edges += pairwise((a, pair, b))
    return Network(nodes, tuple(edges))


def random_spikes(samples: int) -> npt.NDArray[np.bool_]:
    return np.random.default_rng(4).random((samples, 60, 5)) < 0.4


@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("delayed", [False, True])
def test_follows_the_differential_equations(kind: str, reset: Any, delayed: bool) -> None:
    network = recurrent(kind)
    circuit = assign_levels(lowered(network, options(1.0, reset, delayed)))
    assert len(circuit.levels) == 3
    spikes = random_spikes(3)
    run = Reference(circuit, 3).run(spikes)
    for sample, lines in enumerate(spikes):
        inputs = {"in0": lines[:, :3], "in1": lines[:, 3:]}
        fired, v = simulate(network, circuit.levels, inputs, reset=reset, reset_delay=delayed)
        for name, population in circuit.populations.items():
            assert fired[name].any()
            np.testing.assert_array_equal(run.spikes[name][sample], fired[name], name)
            # At a spike an immediate reset hides the v that it comes from.
            seen = ~fired[name] | delayed
            shown = run.v[name][sample] + population.v_leak
            np.testing.assert_allclose(shown[seen], v[name][seen], rtol=0, atol=1e-9)
            assert (shown > np.array(1.0))[fired[name]].all()


def test_matrices_may_be_sparse() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    circuit = assign_levels(lowered(recurrent("LIF"), options()))
    weights: Any = {edge: sparse.csr_array(w) for edge, w in circuit.weights.items()}
    spikes = random_spikes(2)
    dense = Reference(circuit, 2).run(spikes)
    same = Reference(replace(circuit, weights=weights), 2).run(spikes)
    for name in circuit.populations:
        np.testing.assert_allclose(same.v[name], dense.v[name], rtol=0, atol=1e-12)


def test_refractory_neurons_hold_v_while_the_current_goes_on() -> None:
    node = neuron("CubaLIF", tau_mem=2.0, tau_syn=4.0, w_in=8.0, r=2.0)
    network = Network(
        {"in": Input((1,)), "w": affine([[1.0]]), "n": node, "out": Output((1,))},
        (("in", "w"), ("w", "n"), ("n", "out")),
    )
    circuit = assign_levels(lowered(network, options()))
    three = replace(circuit.populations["n"], refractory=3)
    spikes = np.zeros((1, 7, 1), np.bool_)
    spikes[0, 0] = True
    run = Reference(replace(circuit, populations={"n": three})).run(spikes)
    assert run.spikes["n"][0, :, 0].tolist() == [True, False, False, False, False, False, False]
    current = 2 * 0.75 ** np.arange(7)
    expected = [2.0, 0.0, 0.0, 0.0, current[4], current[4] / 2 + current[5]]
    np.testing.assert_allclose(run.v["n"][0, :6, 0], expected)


@pytest.mark.parametrize("shape", [(1, 5), (2, 4), (10,)])
def test_spikes_of_a_wrong_shape(shape: tuple[int, ...]) -> None:
    circuit = assign_levels(lowered(recurrent("LIF"), options()))
    with pytest.raises(ModelError, match=r"must be \[2 samples, 5 lines\], not") as caught:
        Reference(circuit, 2).step(np.zeros(shape, np.bool_))
    assert caught.value.hint


@pytest.mark.parametrize("name", BRAILLE)
def test_braille_hidden_layer_agrees_with_snntorch(name: str) -> None:
    recording = braille(name)
    reset: Any = BRAILLE[name]
    chosen = CompileOptions(dt=1e-4, reset=reset, reset_delay=False)
    network = resolve(read_nir(braille_file(name)), chosen)
    run = Reference(circuit_of(network, "euler")).run(recording.axon_spikes[None])
    wrong = int((run.spikes["lif1.lif"][0] != recording.expected).sum())
    print(f"braille {name}: {wrong} of {recording.expected.size} differ")
    assert wrong == 0 if name == "bias_zero" else wrong <= 0.005 * recording.expected.size
