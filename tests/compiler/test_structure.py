"""Graphs of every form: subgraphs, skips, several inputs and outputs, membranes read out."""

from typing import Any

import nir
import numpy as np
import pytest
from networks import (
    affine,
    if_spikes,
    network,
    neuron,
    options,
    random_spikes,
    simulate,
    whole_weights,
)  # fmt: skip

from spikewright.compiler import compile_network
from spikewright.compiler.graph import Affine, Input, Network, Neuron, Node, Output
from spikewright.compiler.verify import check_network
from spikewright.errors import ModelError
from spikewright.image import CoreImage
from spikewright.sim.golden import GoldenModel


def v_of(image: CoreImage, v: Any, name: str) -> Any:
    """Membrane potentials of a population in real units."""
    unit = np.array(image.manifest.scales[name]) / 2**image.spec.fraction_bits
    return v[..., image.population(name).index] * unit


def conv_and_if(channels: int, out: int) -> nir.NIRGraph:
    rng = np.random.default_rng(out)
    nodes = {
        "input": nir.Input(np.array([channels, 5, 5])),
        "conv": nir.Conv2d(
            (5, 5), rng.normal(size=(out, channels, 3, 3)), 1, "same", 1, 1, np.zeros(out)
        ),
        "if": nir.IF(np.ones((out, 5, 5)), np.ones((out, 5, 5))),
        "output": nir.Output(np.array([out, 5, 5])),
    }
    edges = [("input", "conv"), ("conv", "if"), ("if", "output")]
    return nir.NIRGraph(nodes, edges, type_check=False)


def outer(edges: list[tuple[str, str]], **nodes: Any) -> nir.NIRGraph:
    ends = {"input": nir.Input(np.array([1, 5, 5])), "output": nir.Output(np.array([4, 5, 5]))}
    return nir.NIRGraph(ends | nodes, edges, type_check=False)


def test_subgraphs_in_subgraphs_equal_the_same_nodes_in_one(tmp_path: Any) -> None:
    first, second = conv_and_if(1, 3), conv_and_if(3, 4)
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([1, 5, 5])), "one": first, "two": second,
         "output": nir.Output(np.array([4, 5, 5]))},
        [("input", "one"), ("one", "two"), ("two", "output")],
        type_check=False,
    )  # fmt: skip
    nested = outer([("input", "deep"), ("deep", "output")], deep=inner)
    flat = outer(
        [("input", "c1"), ("c1", "i1"), ("i1", "c2"), ("c2", "i2"), ("i2", "output")],
        c1=first.nodes["conv"], i1=first.nodes["if"],
        c2=second.nodes["conv"], i2=second.nodes["if"],
    )  # fmt: skip
    nir.write(tmp_path / "nested.nir", nested)
    images = [compile_network(g, options()) for g in (flat, nested, tmp_path / "nested.nir")]
    assert images[1].manifest.outputs == ("deep.two.if",)
    assert images[0].population("i2").shape == images[2].population("deep.two.if").shape
    for name, array in images[0].arrays.items():
        for image in images[1:]:
            np.testing.assert_array_equal(array, image.arrays[name], name)


def test_every_attribute_survives_a_file(tmp_path: Any) -> None:
    """Of each primitive with attributes: read back, it gives the network that memory gave."""
    rng = np.random.default_rng(1)
    nodes = {
        "input": nir.Input(np.array([2, 8, 9])),
        "conv": nir.Conv2d((8, 9), rng.normal(size=(4, 1, 3, 2)), (2, 1), (1, 0), (1, 2), 2,
                           rng.normal(size=4)),
        "if": nir.IF(np.ones((4, 4, 7)), np.ones((4, 4, 7))),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 1])),
        "same": nir.Conv2d((2, 4), rng.normal(size=(3, 4, 3, 3)), 1, "same", 1, 1, np.zeros(3)),
        "flat": nir.Flatten({"input": np.array([3, 2, 4])}, 1, 2),
        "line": nir.Conv1d(8, rng.normal(size=(2, 3, 3)), 2, 1, 1, 1, np.zeros(2)),
        "delay": nir.Delay(np.full((2, 4), 2.0)),
        "threshold": nir.Threshold(np.full((2, 4), 0.1)),
        "i": nir.I(np.ones((2, 4))),
        "output": nir.Output(np.array([2, 4])),
    }  # fmt: skip
    names = list(nodes)
    edges = [(names[k], names[k + 1]) for k in range(len(names) - 1)]
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    nir.write(tmp_path / "net.nir", graph)
    images = [compile_network(source, options()) for source in (graph, tmp_path / "net.nir")]
    assert {p.name: p.shape for p in images[0].manifest.populations} == {
        "if": (4, 4, 7), "threshold": (2, 4), "i": (2, 4),
    }  # fmt: skip
    assert images[0].spec.delay_slots == 2  # one timestep passes between equals of a level anyway
    for name, array in images[0].arrays.items():
        np.testing.assert_array_equal(array, images[1].arrays[name], name)


@pytest.mark.parametrize("ways", [["in>wc"], ["c>back>a"], ["c>back>b", "b>back"]])
def test_skips_and_feedback(ways: list[str]) -> None:
    rng = np.random.default_rng(len(ways))
    n = 7
    nodes: dict[str, Node] = {"in": Input((n,))}
    for name in ("a", "b", "c"):
        nodes |= {f"w{name}": whole_weights(rng, n, n), name: neuron("IF", n, v_threshold=250)}
    if "back" in "".join(ways):
        nodes["back"] = whole_weights(rng, n, n)
    nodes["out"] = Output((n,))
    net = network(nodes, "in>wa>a>wb>b>wc>c>out", "a>wc", *ways)
    image = compile_network(net, options(state_bits=24))
    spikes = random_spikes(3, n)
    run = GoldenModel(image).run(spikes[None])
    for name, fired in if_spikes(net, spikes).items():
        assert fired.any(), name
        np.testing.assert_array_equal(run.spikes[0][:, image.population(name).slice], fired, name)


@pytest.mark.parametrize("kind", ["LI", "CubaLI", "I"])
def test_outputs_show_spikes_and_membranes(kind: str) -> None:
    rng = np.random.default_rng(4)
    plain = neuron("IF", 3)
    membrane = neuron(kind, 3) if kind != "I" else Neuron(
        "I", (3,), plain.r, None, None, plain.w_in, plain.v_leak, None, plain.v_reset
    )  # fmt: skip
    nodes: dict[str, Node] = {
        "x": Input((4,)), "y": Input((2, 3)), "wx": affine(rng.normal(size=(3, 4))),
        "wy": affine(rng.normal(size=(3, 6))), "a": neuron("LIF", 3), "m": membrane,
        "spikes": Output((3,)), "also": Output((3,)), "potential": Output((3,)),
    }  # fmt: skip
    net = network(nodes, "x>wx>a>spikes", "y>wy>a>m>potential", "wx>m", "a>also")
    image = compile_network(net, options(weight_bits=16, state_bits=24, fraction_bits=4))
    assert image.manifest.outputs == ("a", "m")
    assert image.manifest.semantics["outputs"] == {"spikes": "a", "also": "a", "potential": "m"}
    spikes = {"x": rng.random((30, 4)) < 0.3, "y": rng.random((30, 6)) < 0.3}
    expected, seen = simulate(net, [["a"], ["m"]], spikes)
    run = GoldenModel(image).run(np.concatenate(list(spikes.values()), 1)[None], record_v=True)
    np.testing.assert_array_equal(run.spikes[0][:, image.output_slices["a"]], expected["a"])
    assert run.v is not None
    assert np.ptp(seen["m"]) > 1
    np.testing.assert_allclose(v_of(image, run.v[0], "m"), seen["m"], atol=0.01)


def from_parts(reads: bool) -> Network:
    """An IF of subtracting reset, built of I, Threshold and a weight back to the membrane."""
    rng = np.random.default_rng(5)
    ones, zeros = np.ones(4), np.zeros(4)
    nodes: dict[str, Node] = {
        "in": Input((4,)), "w": whole_weights(rng, 4, 4),
        "i": Neuron("I", (4,), ones, None, None, ones, zeros, None, zeros),
        "z": Neuron("Threshold", (4,), ones, None, None, ones, zeros, ones * 120, zeros),
        "down": affine(-120 * np.eye(4)), "out": Output((4,)), "v": Output((4,)),
    }  # fmt: skip
    if not reads:
        del nodes["v"]
    return network(nodes, "in>w>i>z>out", "z>down>i", *(["i>v"] if reads else []))


@pytest.mark.parametrize("reads", [False, True])
def test_a_membrane_and_its_threshold_are_one_population(reads: bool) -> None:
    """What the loop takes off the membrane arrives one timestep later: a delayed reset."""
    net = from_parts(reads)
    check_network(net)
    image = compile_network(net, options(state_bits=24, fraction_bits=0))
    assert image.manifest.outputs == ("z",)
    assert image.manifest.semantics["kinds"] == {"z": "I and Threshold"}
    spikes = random_spikes(1, 4)
    run = GoldenModel(image).run(spikes[None], record_v=True)
    layer = net.nodes["w"]
    assert isinstance(layer, Affine)
    v, fired = np.zeros(4), np.zeros(4)
    for t, line in enumerate(spikes):
        v = v + layer.weight @ line - 120 * fired
        fired = v > 120
        np.testing.assert_array_equal(run.spikes[0, t][image.population("z").slice], fired)
        if reads and run.v is not None:
            np.testing.assert_array_equal(run.v[0, t][image.output_slices["z"]], v)
    assert run.spikes.any()


def test_a_threshold_of_a_sum_with_a_membrane_is_refused() -> None:
    net = from_parts(False)
    both = Network(net.nodes, (*net.edges, ("w", "z")))
    with pytest.raises(ModelError, match=r"Node 'i' \(I\) never spikes, so .* node 'z'"):
        compile_network(both, options())
