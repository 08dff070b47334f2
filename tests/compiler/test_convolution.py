"""Convolutions and pools against a slow loop, and against torch where it is installed."""

from itertools import pairwise, product
from typing import Any

import nir
import numpy as np
import numpy.typing as npt
import pytest

from spikewright.compiler import frontend
from spikewright.compiler.convolution import convolution_matrix
from spikewright.compiler.graph import Convolution, Network, Neuron
from spikewright.errors import ModelError

Array = npt.NDArray[np.float64]


def slow(node: Convolution, x: Array) -> Array:
    """The sum in the docstring of Convolution, one term after the other."""
    per_group = len(node.weight) // node.groups
    y = np.zeros(node.shape_out)
    for o, *p in np.ndindex(node.shape_out):
        y[o, *p] = node.bias[o]
        for c, *k in np.ndindex(node.weight.shape[1:]):
            at = [
                p[d] * node.stride[d] + k[d] * node.dilation[d] - node.padding[d][0]
                for d in range(len(p))
            ]
            if all(0 <= i < size for i, size in zip(at, x.shape[1:], strict=True)):
                channel = o // per_group * node.weight.shape[1] + c
                y[o, *p] += node.weight[o, c, *k] * x[channel, *at]
    return y


def network(*nodes: Any, shape: tuple[int, ...]) -> Network:
    """What the front end makes of nodes in a row."""
    named = {"input": nir.Input(np.array(shape))}
    named |= {f"n{k}": node for k, node in enumerate(nodes)}
    named |= {"lif": nir.IF(*np.ones((3, 1))), "output": nir.Output(np.array([1]))}
    names = list(named)
    edges = list(pairwise(names))
    return frontend.from_nir(nir.NIRGraph(named, edges, type_check=False))


def convolution(node: Any, shape: tuple[int, ...]) -> Convolution:
    built = network(node, shape=shape).nodes["n0"]
    assert isinstance(built, Convolution)
    return built


CONV2D = [
    dict(zip(("shape", "kernel", "channels", "groups", "stride", "padding", "dilation"), case,
             strict=True))
    for case in (
        ((3, 7, 6), (3, 3), 4, 1, 1, 1, 1),
        ((2, 7, 9), (3, 2), 4, 2, (2, 1), (1, 0), (1, 2)),
        ((4, 6, 6), (3, 3), 4, 4, 1, "same", 1),
        ((1, 6, 5), (4, 2), 2, 1, 1, "same", (1, 3)),
        ((2, 5, 5), (5, 5), 3, 1, 3, "valid", 1),
        ((6, 5, 4), (1, 1), 9, 3, 2, 2, 1),
    )
]  # fmt: skip


def make_conv2d(case: dict[str, Any], known: bool) -> tuple[nir.Conv2d, Array]:
    rng = np.random.default_rng(5)
    channels, *space = case["shape"]
    weight = rng.normal(size=(case["channels"], channels // case["groups"], *case["kernel"]))
    node = nir.Conv2d(
        tuple(space) if known else None, weight, case["stride"], case["padding"], case["dilation"],
        case["groups"], rng.normal(size=case["channels"]),
    )  # fmt: skip
    return node, rng.normal(size=case["shape"])


def applied(node: Convolution, x: Array) -> Array:
    y: Array = convolution_matrix(node, "n0") @ x.ravel()
    return (y + np.repeat(node.bias, y.size // len(node.bias))).reshape(node.shape_out)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("case", CONV2D)
def test_conv2d(case: dict[str, Any], known: bool) -> None:
    raw, x = make_conv2d(case, known)
    node = convolution(raw, case["shape"])
    np.testing.assert_allclose(applied(node, x), slow(node, x), atol=1e-12)


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize("case", CONV2D)
def test_conv2d_is_torchs(case: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    raw, x = make_conv2d(case, known=True)
    tensors = [torch.from_numpy(array) for array in (x, raw.weight, raw.bias)]
    options = {key: case[key] for key in ("stride", "padding", "dilation", "groups")}
    expected = torch.nn.functional.conv2d(*tensors, **options).numpy()
    np.testing.assert_allclose(applied(convolution(raw, case["shape"]), x), expected, atol=1e-12)


CONV1D = [(1, 0, 1, 1), (2, 2, 1, 2), (1, "same", 3, 1), (3, "valid", 2, 2)]


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), CONV1D)
def test_conv1d(stride: int, padding: int | str, dilation: int, groups: int) -> None:
    rng = np.random.default_rng(6)
    weight, bias = rng.normal(size=(4, 2, 3)), rng.normal(size=4)
    x = rng.normal(size=(2 * groups, 11))
    raw = nir.Conv1d(11, weight, stride, padding, dilation, groups, bias)
    node = convolution(raw, x.shape)
    np.testing.assert_allclose(applied(node, x), slow(node, x), atol=1e-12)
    torch = pytest.importorskip("torch")
    expected = torch.nn.functional.conv1d(
        *map(torch.from_numpy, (x, weight, bias)), stride, padding, dilation, groups
    )
    np.testing.assert_allclose(applied(node, x), expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("kind", ["SumPool2d", "AvgPool2d"])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, 2, 0), ((3, 2), (2, 1), (1, 1)), (3, 1, 1)]
)
def test_pools(kind: str, kernel: Any, stride: Any, padding: Any) -> None:
    x = np.random.default_rng(7).normal(size=(3, 6, 7))
    raw = getattr(nir, kind)(*(np.array(size) for size in (kernel, stride, padding)))
    node = convolution(raw, x.shape)
    np.testing.assert_allclose(applied(node, x), slow(node, x), atol=1e-12)
    torch = pytest.importorskip("torch")
    expected = torch.nn.functional.avg_pool2d(torch.from_numpy(x), kernel, stride, padding)
    times = np.prod(np.broadcast_to(kernel, 2)) if kind == "SumPool2d" else 1
    np.testing.assert_allclose(applied(node, x), expected.numpy() * times, atol=1e-12)


def conv(**changes: Any) -> nir.Conv2d:
    values = {"input_shape": (5, 5), "weight": np.ones((2, 3, 3, 3)), "stride": 1, "padding": 0,
              "dilation": 1, "groups": 1, "bias": np.zeros(2)}  # fmt: skip
    node = nir.Conv2d(**values)
    for key, value in changes.items():
        setattr(node, key, value)
    return node


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (conv(stride=0), r"stride must be 2 whole numbers from 1 to 1048576, not \[0\]"),
        (conv(stride=[1, 1, 1]), r"stride must be 2 whole numbers"),
        (conv(stride=1.5), r"node 'n0': stride must be whole numbers, not 1\.5"),
        (conv(stride=np.inf), r"node 'n0': stride must be whole numbers, not inf"),
        (conv(padding=-1), r"padding must be 2 whole numbers from 0"),
        (conv(padding="full"), r"padding must be 'same', 'valid' or numbers, not 'full'"),
        (conv(padding="same", stride=2), r"stride must be 1 for padding 'same', not \(2, 2\)"),
        (conv(dilation=3), r"a kernel of \(3, 3\) with dilation \(3, 3\) must fit into the input"),
        (conv(groups=2), r"it must get shape \(6, 5, 5\), not \(3, 5, 5\)"),
        (conv(groups=4), r"weight and bias must have as many channels out, a multiple of groups"),
        (conv(bias=np.zeros(3)), r"weight and bias must have as many channels out"),
        (conv(weight=np.ones((2, 3, 3))), r"weight must have 4 dimensions, not shape \(2, 3, 3\)"),
        (conv(bias=np.zeros((2, 1))), r"bias must have 1 dimension, not shape \(2, 1\)"),
        (conv(input_shape=(4, 5)), r"it must get shape \(3, 4, 5\), not \(3, 5, 5\)"),
        (conv(padding=1 << 19), r"shape must have 1 to 1048576 elements, not \(2, 10485"),
        (nir.SumPool2d(9, 1, 0), r"a kernel of \(9, 9\) with dilation \(1, 1\) must fit"),
        (nir.SumPool2d(1 << 30, 1, 0), r"kernel_size must be 2 whole numbers from 1 to 1048576"),
    ],
)
def test_what_cannot_be_names_node_limit_and_remedy(node: Any, message: str) -> None:
    with pytest.raises(ModelError, match=rf"(?s)node 'n0': .*{message}|{message}") as caught:
        network(node, shape=(3, 5, 5))
    assert "'n0'" in str(caught.value)
    assert caught.value.hint


def test_a_pool_needs_channels_and_space() -> None:
    pool = nir.AvgPool2d(2, 2, 0)
    with pytest.raises(ModelError, match=r"'n0': it must get \(channels, height, width\), not"):
        network(pool, shape=(5, 5))
    inner = {"a": pool, "b": nir.IF(*np.ones((3, 1))), "output": nir.Output(np.array([1]))}
    graph = nir.NIRGraph(inner, [("a", "b"), ("b", "output")], type_check=False)
    with pytest.raises(ModelError, match="node 'a': nothing before it says its input's shape"):
        frontend.from_nir(graph)


def test_absurd_sizes_are_refused_before_they_take_memory() -> None:
    weight = np.broadcast_to(1.0, (512, 512, 1, 1))
    node = Convolution(weight, np.zeros(512), (512, 32, 32), (1, 1), ((0, 0),) * 2, (1, 1))
    with pytest.raises(ModelError, match=r"'big': a convolution must have at most 33554432 syn"):
        convolution_matrix(node, "big")


def test_zero_weights_are_no_synapses() -> None:
    weight = np.zeros((1, 1, 3, 3))
    weight[0, 0, 1, 1] = 2
    node = Convolution(weight, np.zeros(1), (1, 4, 4), (1, 1), ((1, 1),) * 2, (1, 1))
    matrix = convolution_matrix(node, "n")
    np.testing.assert_array_equal(matrix.toarray(), 2 * np.eye(16))
    assert matrix.nnz == 16


@pytest.mark.parametrize(
    ("start", "end", "shape"),
    list(
        zip(
            (0, 1, -2, 0, 1, 3),
            (-1, -1, 2, 1, 1, -1),
            ((24,), (2, 12), (2, 12), (6, 4), (2, 3, 4), (2, 3, 4)),
            strict=True,
        )
    ),
)
def test_flatten(start: int, end: int, shape: tuple[int, ...]) -> None:
    flat = nir.Flatten({"input": np.array([2, 3, 4])}, 0, -1)
    flat.start_dim, flat.end_dim = start, end
    neurons = network(flat, shape=(2, 3, 4)).nodes["lif"]
    assert isinstance(neurons, Neuron)
    assert neurons.shape == shape


def test_flatten_out_of_range() -> None:
    flat = nir.Flatten({"input": np.array([2, 3, 4])}, 0, -1)
    for start, end in product((0, 2), (1, 9, -9)):
        flat.start_dim, flat.end_dim = start, end
        if (start, end) != (0, 1):
            with pytest.raises(ModelError, match="start_dim and end_dim must be a range of the"):
                network(flat, shape=(2, 3, 4))
