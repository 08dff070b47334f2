import hashlib
import time
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from conformance_nir import BRAILLE, braille, norse_lif
from networks import affine, chain, neuron, options, simulate

from spikewright.compiler import compile_network
from spikewright.compiler.graph import Input, Network, Node, Output
from spikewright.image import CoreImage
from spikewright.sim.golden import GoldenModel

FINE = {"weight_bits": 16, "state_bits": 24, "fraction_bits": 4}


def test_norse_lif_has_exactly_its_four_spikes() -> None:
    recording = norse_lif()
    run = GoldenModel(recording.image).run(recording.axon_spikes[None])
    print("lif:", np.flatnonzero(run.spikes[0, :, 0]), recording.image.spec)
    assert recording.image.spec.weight_bits == 8
    assert recording.expected.sum() == 4
    assert recording.mismatches(run.spikes[0]) == 0


@pytest.mark.parametrize("name", BRAILLE)
def test_braille_hidden_layer_agrees_with_snntorch(name: str) -> None:
    recording = braille(name)
    run = GoldenModel(recording.image).run(recording.axon_spikes[None])
    wrong, entries = recording.mismatches(run.spikes[0]), recording.expected.size
    print(f"braille {name}: {entries - wrong} of {entries} agree, {1 - wrong / entries:.4%}")
    assert recording.expected.any()
    assert wrong == 0 if name == "bias_zero" else wrong <= 0.005 * entries


def levels_of(image: CoreImage) -> list[list[str]]:
    """Populations by level, from where the image has them."""
    ends = np.cumsum(image.level_groups) * image.spec.lanes
    levels: list[list[str]] = [[] for _ in ends]
    for population in image.manifest.populations:
        levels[int(np.searchsorted(ends, population.first, side="right"))].append(population.name)
    return levels


def random_network(seed: int) -> Network:
    """IF neurons with whole weights up to 127, all of which 8 bits hold exactly."""
    rng = np.random.default_rng(seed)
    nodes: dict[str, Node] = {f"in{k}": Input((int(rng.integers(1, 9)),)) for k in range(2)}
    names = [f"p{k}" for k in range(int(rng.integers(1, 6)))]
    nodes |= {
        name: neuron("IF", int(rng.integers(1, 20)), v_threshold=rng.integers(1, 300))
        for name in names
    }
    edges = []
    pairs = [("in0", names[0]), ("in1", names[-1])]
    pairs += [(a, b) for a in names for b in names if rng.random() < 0.3]
    pairs += list(pairwise(names))
    for a, b in dict.fromkeys(pairs):
        weight = rng.integers(-60, 61, (nodes[b].size_in, nodes[a].size_out))
        weight[:, 0] = 127
        weight[rng.random(weight.shape) < 0.3] = 0
        weight[:, -1] = 127
        nodes[f"{a}{b}"] = affine(weight, rng.integers(-5, 6))
        edges += [(a, f"{a}{b}"), (f"{a}{b}", b)]
    nodes["out"] = Output((nodes[names[-1]].size_out,))
    return Network(nodes, (*edges, (names[-1], "out")))


@pytest.mark.parametrize("seed", range(40))
def test_whole_weights_compile_exactly(seed: int) -> None:
    network = random_network(seed)
    lanes = 1 << seed % 5
    image = compile_network(network, options(state_bits=24, lanes=lanes))
    rng = np.random.default_rng(seed)
    spikes = {n: rng.random((50, network.nodes[n].size_out)) < 0.2 for n in ("in0", "in1")}
    expected, _ = simulate(network, levels_of(image), spikes)
    run = GoldenModel(image).run(np.concatenate(list(spikes.values()), axis=1)[None])
    assert any(fired.any() for fired in expected.values())
    for name, fired in expected.items():
        np.testing.assert_array_equal(run.spikes[0][:, image.population(name).slice], fired, name)


@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize("leak", [0.0, -0.5])
def test_fine_formats_follow_the_equations(
    kind: str, reset: str, delayed: bool, leak: float
) -> None:
    rng = np.random.default_rng(7)
    n = 64
    node = neuron(kind, n, v_leak=leak, v_reset=leak, tau_mem=rng.uniform(2, 20, n))
    network = chain(affine(rng.normal(0.05, 0.4, (n, 16)), 0.02), node)
    image = compile_network(network, options(1.0, reset, delayed, **FINE))
    spikes = rng.random((200, 16)) < 0.3
    expected, _ = simulate(network, [["n1"]], {"in": spikes}, reset=reset, reset_delay=delayed)
    run = GoldenModel(image).run(spikes[None])
    wrong = run.spikes[0][:, :n] != expected["n1"]
    print(f"{kind} {reset} delayed={delayed}: {wrong.sum()} of {wrong.size} differ")
    assert expected["n1"].mean() > 0.01
    assert wrong.mean() < 0.002


@pytest.mark.parametrize(
    ("seed", "lanes", "digest"),
    [(3, 4, "35685496aeb67c80"), (11, 8, "f45455e6df720e90")],
)
def test_images_are_what_dense_matrices_gave(seed: int, lanes: int, digest: str) -> None:
    """Recorded when the compiler still held every matrix as a whole."""
    image = compile_network(random_network(seed), options(state_bits=24, lanes=lanes))
    found = hashlib.sha256()
    for name, array in image.arrays.items():
        found.update(name.encode() + str(array.shape).encode() + array.tobytes())
    assert found.hexdigest()[:16] == digest


def test_compile_time_and_memory_are_linear_in_synapses() -> None:
    """A million synapses: under 2 s of one core, here with ten times that for slow machines."""
    rng = np.random.default_rng(0)
    network = chain(affine(rng.normal(size=(1000, 1000))), neuron(n=1000))
    started = time.process_time()
    tracemalloc.start()
    image = compile_network(network, options())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    took = time.process_time() - started
    print(f"1,000,000 synapses: {took:.2f} s, {peak / 1e6:.0f} MB")
    assert np.count_nonzero(image.weights) > 900_000
    assert took < 20
    assert peak < 107e6  # a tenth of the 1 GiB that ten million may take
