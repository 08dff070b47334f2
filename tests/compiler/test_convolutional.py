"""Convolutional networks from NIR to the golden model, and how full their words are."""

from typing import Any

import nir
import numpy as np
import numpy.typing as npt
import pytest
from networks import lowered, options

from spikewright.compiler import compile_network, frontend
from spikewright.compiler.convolution import convolution_matrix
from spikewright.compiler.graph import Affine, Convolution, Network, Neuron
from spikewright.compiler.ir import Placement
from spikewright.compiler.levels import assign_levels
from spikewright.compiler.place import place
from spikewright.compiler.quantize import quantize
from spikewright.errors import ModelError
from spikewright.image import CoreImage
from spikewright.sim.golden import GoldenModel
from spikewright.spec import CoreSpec

Bools = npt.NDArray[np.bool_]


def if_(*shape: int, threshold: float = 1.0) -> nir.IF:
    thresholds = np.linspace(0.8, 1.2, int(np.prod(shape))).reshape(shape) * threshold
    return nir.IF(np.ones(shape), thresholds, np.zeros(shape))


def conv(rng: np.random.Generator, out: int, channels: int, **changes: Any) -> nir.Conv2d:
    values = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1} | changes
    weight = rng.integers(-60, 61, (out, channels, 3, 3)).astype(float)
    weight[:, 0, 1, 1] = 127  # at every position: so that 8 bits hold each neuron's weights exactly
    return nir.Conv2d(None, weight, bias=np.zeros(out), **values)


def graph(*nodes: nir.NIRNode, shape: tuple[int, ...], out: int) -> nir.NIRGraph:
    named = {"input": nir.Input(np.array(shape))}
    named |= {f"n{k}": node for k, node in enumerate(nodes)}
    named["output"] = nir.Output(np.array([out]))
    names = list(named)
    edges = [(names[k], names[k + 1]) for k in range(len(names) - 1)]
    return nir.NIRGraph(named, edges, type_check=False)


def digits_net(rng: np.random.Generator) -> nir.NIRGraph:
    """Two convolutions, one of them strided, a pool between linear stages, one dense layer."""
    dense = rng.integers(-60, 61, (5, 12 * 4)).astype(float)
    dense[:, 0] = 127
    return graph(
        conv(rng, 8, 1), if_(8, 8, 8, threshold=150.0),
        conv(rng, 12, 8, stride=2), if_(12, 4, 4, threshold=300.0),
        nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        nir.Flatten({"input": np.array([12, 2, 2])}, 0, -1),
        nir.Linear(dense), if_(5, threshold=200.0), shape=(1, 8, 8), out=5,
    )  # fmt: skip


def simulate(net: Network, spikes: Bools) -> dict[str, Bools]:
    """IF neurons of reset to zero in a chain, layer by layer."""
    v: dict[str, Any] = {}
    fired: dict[str, list[Any]] = {}
    for line in spikes.astype(float):
        for name, node in list(net.nodes.items())[1:-1]:
            if isinstance(node, Convolution):
                line = convolution_matrix(node, name) @ line
            elif isinstance(node, Neuron):
                total = v.get(name, 0) + line
                spike = total > node.v_threshold
                v[name] = np.where(spike, 0, total)
                fired.setdefault(name, []).append(spike)
                line = spike.astype(float)
            elif isinstance(node, Affine):
                line = node.weight @ line
    return {name: np.array(rows) for name, rows in fired.items()}


def test_a_convolutional_network_runs_as_it_says() -> None:
    rng = np.random.default_rng(11)
    net = frontend.from_nir(digits_net(rng))
    image = compile_network(net, options(state_bits=24))
    spikes = rng.random((40, 64)) < 0.3
    run = GoldenModel(image).run(spikes[None])
    assert {p.name: p.shape for p in image.manifest.populations} == {
        "n1": (8, 8, 8), "n3": (12, 4, 4), "n7": (5,),
    }  # fmt: skip
    assert image.population("n1").axes == (1, 2, 0)
    for name, fired in simulate(net, spikes).items():
        assert fired.any(), name
        np.testing.assert_array_equal(run.spikes[0][:, image.population(name).index], fired, name)


def test_an_output_in_channel_last_order_reads_in_c_order(tmp_path: Any) -> None:
    rng = np.random.default_rng(12)
    net = frontend.from_nir(
        graph(conv(rng, 8, 2), if_(8, 4, 5, threshold=90), shape=(2, 4, 5), out=160)
    )
    compile_network(net, options(state_bits=24)).save(tmp_path / "net.core")
    image = CoreImage.load(tmp_path / "net.core")
    spikes = rng.random((30, 40)) < 0.4
    run = GoldenModel(image).run(spikes[None])
    ours = run.spikes[0][:, image.output_slices["n1"]]
    np.testing.assert_array_equal(ours, simulate(net, spikes)["n1"])
    assert (ours != run.spikes[0][:, image.population("n1").slice]).any()


def test_blocks_of_channels_run_as_they_say(tmp_path: Any) -> None:
    rng = np.random.default_rng(13)
    net = frontend.from_nir(
        graph(conv(rng, 11, 2), if_(11, 5, 5, threshold=90), shape=(2, 5, 5), out=275)
    )
    compile_network(net, options(state_bits=24, sparse=True)).save(tmp_path / "net.core")
    image = CoreImage.load(tmp_path / "net.core")
    where = image.population("n1")
    assert where.tile == (8, 2, 1)
    blocks = [
        (c, y, x)
        for first in (range(8), range(8, 11))
        for rows in ((0, 1), (2, 3), (4,))
        for x in range(5)
        for y in rows
        for c in first
    ]
    c, y, x = np.transpose(blocks)
    np.testing.assert_array_equal(where.positions[c * 25 + y * 5 + x], np.arange(275))
    spikes = rng.random((30, 50)) < 0.4
    run = GoldenModel(image).run(spikes[None])
    ours = run.spikes[0][:, image.output_slices["n1"]]
    assert ours.any()
    np.testing.assert_array_equal(ours, simulate(net, spikes)["n1"])


def fill(placement: Placement) -> float:
    """Share of the lanes that hold a synapse, in the words there are."""
    return float(np.count_nonzero(placement.rows["weights"]) / placement.rows["weights"].size)


def placed(
    node: nir.NIRNode, neurons: nir.IF, shape: tuple[int, ...], lanes: int = 8
) -> tuple[Placement, Placement]:
    """With sparse rows, and without."""
    net = frontend.from_nir(graph(node, neurons, shape=shape, out=neurons.r.size))
    circuit = assign_levels(lowered(net, options()))
    quantized = quantize(circuit, CoreSpec())
    return place(circuit, quantized, lanes, sparse=True), place(circuit, quantized, lanes)


@pytest.mark.parametrize("out", range(8, 33))
def test_words_of_a_convolution_are_full(out: int) -> None:
    rng = np.random.default_rng(out)
    node = conv(rng, out, 4)
    node.weight[node.weight == 0] = 1
    sparse, dense = placed(node, if_(out, 9, 9), (4, 9, 9))
    print(f"{out} channels: {fill(sparse):.1%}; in rows without gaps {fill(dense):.1%}")
    assert fill(sparse) >= 0.83
    assert fill(sparse) == 1 or out % 8
    assert sparse.populations["n1"].first % 8 == 0


def test_depthwise_layers_keep_the_order_that_is_better_for_them() -> None:
    rng = np.random.default_rng(3)
    node = nir.Conv2d(None, rng.normal(size=(16, 1, 3, 3)), 1, 1, 1, 16, np.zeros(16))
    sparse, _ = placed(node, if_(16, 8, 8), (16, 8, 8))
    assert sparse.populations["n1"].axes == ()


def test_a_pool_folds_into_what_follows_it_exactly() -> None:
    rng = np.random.default_rng(4)
    net = frontend.from_nir(digits_net(rng))
    circuit = assign_levels(lowered(net, options()))
    pool, dense = net.nodes["n4"], net.nodes["n6"]
    assert isinstance(pool, Convolution)
    assert isinstance(dense, Affine)
    expected = dense.weight @ convolution_matrix(pool, "n4").toarray()
    found = next(m for edge, m in circuit.weights.items() if edge.target == "n7")
    np.testing.assert_array_equal(found.toarray(), expected)


def test_a_pool_at_the_end_is_refused() -> None:
    rng = np.random.default_rng(5)
    pool = nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    net = graph(conv(rng, 2, 1), if_(2, 4, 4), pool, shape=(1, 4, 4), out=8)
    with pytest.raises(ModelError, match=r"Output 'output' must show the neurons of one node as"):
        compile_network(net, options())


def test_one_value_a_channel_stands_for_the_channel() -> None:
    rng = np.random.default_rng(6)
    threshold = np.array([1.0, 2.0]).reshape(2, 1, 1)
    neurons = nir.IF(np.ones((2, 1, 1)), threshold, np.zeros((2, 1, 1)))
    node = frontend.from_nir(graph(conv(rng, 2, 1), neurons, shape=(1, 4, 4), out=32)).nodes["n1"]
    assert isinstance(node, Neuron)
    assert node.shape == (2, 4, 4)
    np.testing.assert_array_equal(node.v_threshold, np.repeat([1.0, 2.0], 16))
