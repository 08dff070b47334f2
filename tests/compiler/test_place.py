import numpy as np
import pytest
from networks import affine, chain, neuron

from spikewright.compiler import CompileOptions, compile_network
from spikewright.compiler.graph import Input, Network, Node, Output
from spikewright.sim.golden import GoldenModel
from spikewright.spec import CoreSpec

OPTIONS = CompileOptions(dt=1.0, reset="zero", reset_delay=False, lanes=4)


def test_rows_hold_only_the_groups_from_first_to_last_synapse() -> None:
    weight = np.zeros((20, 5))
    weight[0, 0] = weight[7, 1] = weight[5, 2] = weight[13, 2] = weight[19, 3] = 1
    image = compile_network(chain(affine(weight), neuron(n=20)), OPTIONS)
    np.testing.assert_array_equal(image.word_count[:5], [1, 1, 3, 1, 0])
    np.testing.assert_array_equal(image.first_group[:5], [0, 1, 1, 4, 0])
    np.testing.assert_array_equal(image.first_word[:5], [0, 1, 2, 5, 0])
    assert image.weights.shape == (6, 4)
    assert image.spec.weight_words == 8


def test_a_layered_network_costs_its_own_synapses() -> None:
    rng = np.random.default_rng(0)
    layers = affine(rng.normal(size=(128, 64))), neuron(n=128), affine(rng.normal(size=(10, 128)))
    network = chain(*layers, neuron("LI", 10))
    image = compile_network(network, CompileOptions(1.0, "zero", False))
    assert len(image.weights) == 64 * 128 // 8 + 128 * 2
    np.testing.assert_array_equal(image.level_groups, [16, 2])


def wide() -> Network:
    """Two inputs and two outputs; ``a`` and ``b`` share a level, ``c`` has one of its own."""
    nodes: dict[str, Node] = {
        "x": Input((3,)), "y": Input((2, 2)), "a": neuron(n=3), "b": neuron(n=4),
        "wx": affine(np.ones((3, 3))), "wa": affine(np.ones((2, 3))), "wb": affine(np.ones((2, 4))),
        "c": neuron("LI", 2), "spikes": Output((4,)), "readout": Output((2,)),
    }  # fmt: skip
    edges = (
        ("x", "wx"), ("wx", "a"), ("y", "b"), ("a", "wa"), ("wa", "c"), ("b", "wb"), ("wb", "c"),
        ("b", "spikes"), ("c", "readout"),
    )  # fmt: skip
    return Network(nodes, edges)


def test_several_inputs_and_outputs() -> None:
    image = compile_network(wide(), OPTIONS)
    inputs = {p.name: (p.slice, p.shape) for p in image.manifest.inputs}
    assert inputs == {"x": (slice(0, 3), (3,)), "y": (slice(3, 7), (2, 2))}
    assert {p.name: p.slice for p in image.manifest.populations} == {
        "a": slice(0, 3), "b": slice(3, 7), "c": slice(8, 10),
    }  # fmt: skip
    assert image.manifest.outputs == ("b", "c")
    assert image.manifest.semantics["outputs"] == {"spikes": "b", "readout": "c"}
    np.testing.assert_array_equal(image.level_groups, [2, 1])


@pytest.mark.parametrize("lanes", [1, 2, 32])
def test_a_bigger_core_moves_descriptors_and_silences_the_rest(lanes: int) -> None:
    spec = CoreSpec(axons=40, neurons=96, lanes=lanes, refractory_bits=2)
    image = compile_network(wide(), CompileOptions(1.0, "zero", True), spec=spec)
    small = compile_network(wide(), CompileOptions(1.0, "zero", True))
    assert image.spec == spec
    used = np.zeros(spec.neurons, bool)
    for population in image.manifest.populations:
        used[population.slice] = True
    assert (image.v_threshold[~used] == (1 << 19) - 1).all()
    assert (image.refractory[image.population("a").slice] == 1).all()
    spikes = np.random.default_rng(lanes).random((1, 50, 7)) < 0.5
    runs = [GoldenModel(i).run(spikes, record_v=True) for i in (image, small)]
    assert runs[0].spikes.sum() > 20
    assert runs[0].v is not None
    assert runs[0].v[..., image.population("c").slice].any()
    for name in ("a", "b", "c"):
        where = [i.population(name).slice for i in (image, small)]
        for field in ("spikes", "v"):
            ours, theirs = (getattr(r, field)[..., w] for r, w in zip(runs, where, strict=True))
            np.testing.assert_array_equal(ours, theirs)
