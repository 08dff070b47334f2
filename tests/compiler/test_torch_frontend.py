"""What is read off a torch module, and what is refused; snnTorch's neurons, as it is at hand."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spikewright.compiler import CompileOptions, compile_network
from spikewright.compiler.frontend import from_nir
from spikewright.compiler.graph import Affine, Network, Neuron
from spikewright.errors import ModelError
from spikewright.sim.golden import GoldenModel

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")

from_torch: Callable[..., Network] = pytest.importorskip(
    "spikewright.compiler.torch_frontend"
).from_torch
Linear: Any = torch.nn.Linear
Sequential: Any = torch.nn.Sequential
Module: Any = torch.nn.Module
SAMPLE = torch.zeros(1, 6)


def cell(kind: str = "Leaky", **settings: Any) -> Any:
    full = {"beta": 0.9, "init_hidden": True} | settings
    if kind.endswith("Synaptic"):
        full.setdefault("alpha", 0.8)
    return getattr(snntorch, kind)(**full)


def neuron(network: Network, name: str) -> Neuron:
    node = network.nodes[name]
    assert isinstance(node, Neuron)
    return node


@pytest.mark.parametrize(
    ("kind", "reset", "delay", "ours"),
    [
        ("Leaky", "subtract", True, True),
        ("Leaky", "subtract", False, False),
        ("Leaky", "zero", True, False),
        ("Leaky", "zero", False, False),
        ("Synaptic", "zero", True, True),
        ("RLeaky", "zero", True, True),
        ("RLeaky", "subtract", False, False),
        ("RSynaptic", "subtract", True, True),
    ],
)
def test_resets_come_from_each_layer(kind: str, reset: str, delay: bool, ours: bool) -> None:
    recurrent = {"linear_features": 3} if kind.startswith("R") else {}
    net = Sequential(
        Linear(6, 3), cell(kind, reset_mechanism=reset, reset_delay=delay, **recurrent)
    )
    network = from_torch(net, SAMPLE)
    assert (neuron(network, "1").reset, neuron(network, "1").reset_delay) == (reset, ours)
    assert network.dt == 1e-4
    assert from_torch(net, SAMPLE, dt=1e-3).dt == 1e-3


def test_parameters_are_the_modules_own() -> None:
    beta = torch.tensor([0.5, 1.2, -0.1])
    layer = cell("Synaptic", beta=beta, alpha=0.75, threshold=torch.tensor([1.0, 2.0, 3.0]))
    node = neuron(from_torch(Sequential(Linear(6, 3), layer), SAMPLE), "1")
    assert node.tau_mem is not None
    assert node.tau_syn is not None
    assert node.v_threshold is not None
    np.testing.assert_allclose(1 - 1e-4 / node.tau_mem, [0.5, 1, 0], atol=1e-9)
    np.testing.assert_allclose(1 - 1e-4 / node.tau_syn, 0.75)
    np.testing.assert_allclose(1e-4 / node.tau_mem * node.r, 1)
    np.testing.assert_allclose(1e-4 / node.tau_syn * node.w_in, 1)
    np.testing.assert_array_equal(node.v_threshold, [1, 2, 3])


@pytest.mark.parametrize("kind", ["Leaky", "Synaptic", "RLeaky", "RSynaptic"])
def test_same_as_snntorchs_own_export(kind: str) -> None:
    """Where there is nothing that its export leaves out."""
    pytest.importorskip("nirtorch")
    recurrent = {"linear_features": 3} if kind.startswith("R") else {}
    settings = {"beta": torch.full((3,), 0.9), "threshold": torch.full((3,), 0.7)}
    if kind.endswith("Synaptic"):
        settings["alpha"] = torch.full((3,), 0.6)
    net = Sequential(Linear(6, 3), cell(kind, **settings, **recurrent))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export = pytest.importorskip("snntorch.export_nir").export_to_nir
        theirs = from_nir(export(net, torch.zeros(6)))
    expected = next(node for node in theirs.nodes.values() if isinstance(node, Neuron))
    ours = neuron(from_torch(net, SAMPLE), "1")
    assert ours.kind == expected.kind
    for name, value in expected.parameters.items():
        np.testing.assert_allclose(ours.parameters[name], value, rtol=1e-5)
    weights = [n.weight for n in theirs.nodes.values() if isinstance(n, Affine)]
    mine = [n.weight for n in from_torch(net, SAMPLE).nodes.values() if isinstance(n, Affine)]
    assert {w.tobytes() for w in weights} == {w.tobytes() for w in mine}


class Loop(Module):
    """A user's own module: a loop over timesteps, recurrence by hand, states handed on."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.back = Linear(6, 8), Linear(8, 4), Linear(8, 8)
        self.lif1 = snntorch.Synaptic(alpha=0.75, beta=0.875, reset_mechanism="zero")
        self.lif2 = snntorch.Leaky(beta=0.75)
        self.drop = torch.nn.Dropout(0.4)
        with torch.no_grad():
            for layer in (self.fc1, self.fc2):
                layer.weight.add_(0.25)

    def forward(self, x: Any) -> Any:
        syn1, mem1 = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        spk1 = torch.zeros(x.shape[1], 8)
        out = []
        for step in range(x.shape[0]):
            current = self.fc1(x[step].flatten(1)) + self.back(spk1)
            spk1, syn1, mem1 = self.lif1(current, syn1, mem1)
            spk2, mem2 = self.lif2(self.fc2(self.drop(spk1)), mem2)
            out.append(spk2)
        return torch.stack(out)


def test_loop_with_recurrence_by_hand_runs_the_same() -> None:
    torch.manual_seed(2)
    net = Loop().eval()
    spikes = np.random.default_rng(2).random((3, 60, 6)) < 0.3
    fine = CompileOptions(weight_bits=16, state_bits=24, fraction_bits=4)
    image = compile_network(net, fine, sample=torch.zeros(2, 1, 2, 3))
    steps = torch.from_numpy(np.moveaxis(spikes, 1, 0).astype(np.float32)).reshape(60, 3, 2, 3)
    with torch.no_grad():
        expected = np.moveaxis(net(steps).numpy() > 0, 0, 1)
    got = GoldenModel(image, 3).run(spikes).spikes[..., image.population("lif2").slice]
    print(f"{(got != expected).mean():.4%} differ, rate {expected.mean():.3f}")
    assert expected.mean() > 0.05
    assert (got != expected).mean() < 0.005


@pytest.mark.parametrize("kind", ["RLeaky", "RSynaptic"])
@pytest.mark.parametrize("to_all", [False, True])
@pytest.mark.parametrize("delay", [False, True])
def test_recurrent_layers_run_the_same(kind: str, to_all: bool, delay: bool) -> None:
    """RSynaptic never resets at once, and without ``init_hidden`` alone takes that flag at all."""
    torch.manual_seed(3)
    how = {"linear_features": 8} if to_all else {"V": torch.linspace(-0.5, 0.2, 8)}
    layer = cell(kind, all_to_all=to_all, reset_delay=delay, init_hidden=False, **how)
    linear = Linear(6, 8)
    with torch.no_grad():
        linear.weight.copy_(torch.rand(8, 6) * (0.1 if kind == "RSynaptic" else 0.3))
    spikes = np.random.default_rng(3).random((1, 80, 6)) < 0.3
    state = [torch.zeros(1, 8)] * (3 if kind == "RSynaptic" else 2)
    expected = []
    with torch.no_grad():
        for x in spikes[0].astype(np.float32):
            state = list(layer(linear(torch.from_numpy(x)[None]), *state))
            expected.append(state[0][0].numpy() > 0)

    class Step(Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.layer = linear, layer

        def forward(self, x: Any) -> Any:
            zero = torch.zeros(1, 8)
            return self.layer(self.linear(x), zero, *[zero] * (len(state) - 1))

    fine = CompileOptions(weight_bits=16, state_bits=24, fraction_bits=4)
    image = compile_network(Step(), fine, sample=SAMPLE)
    got = GoldenModel(image).run(spikes).spikes[0][:, image.population("layer").slice]
    print(f"{(got != expected).mean():.4%} differ, rate {np.mean(expected):.3f}")
    assert np.mean(expected) > 0.05
    assert (got != np.array(expected)).mean() < 0.01


@pytest.mark.parametrize("bias", [False, True])
def test_batch_norm_folds(bias: bool) -> None:
    torch.manual_seed(4)
    linear, norm = Linear(6, 5, bias=bias), torch.nn.BatchNorm1d(5)
    for _ in range(20):
        norm(torch.randn(32, 5) * 3 + 1)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    net = Sequential(linear, norm, cell()).eval()
    network = from_torch(net, SAMPLE)
    folded = network.nodes["0"]
    assert isinstance(folded, Affine)
    assert "1" not in network.nodes
    x = torch.randn(7, 6)
    expected = norm(linear(x)).detach().numpy()
    np.testing.assert_allclose(x.numpy() @ folded.weight.T + folded.bias, expected, atol=1e-5)


def test_module_is_left_as_it_was() -> None:
    net = Sequential(Linear(6, 3), cell())
    net(torch.ones(2, 6))
    before = net[1].mem.clone()
    from_torch(net, SAMPLE)
    assert torch.equal(net[1].mem, before)
    assert not net[1]._forward_hooks
    assert not net[0]._forward_pre_hooks


def test_membrane_of_a_last_layer_without_reset_is_read() -> None:
    net = Sequential(Linear(6, 3), cell(), Linear(3, 2), cell(reset_mechanism="none"))
    network = from_torch(net, SAMPLE)
    assert neuron(network, "3").kind == "LI"
    assert neuron(network, "1").kind == "LIF"


def test_branches_are_summed_and_several_outputs_named() -> None:
    class Skip(Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Sequential(Linear(6, 4), cell()), Linear(6, 2)
            self.c, self.out = Linear(4, 2), cell()
            self.side = Sequential(Linear(4, 3), cell())

        def forward(self, x: Any) -> Any:
            hidden = self.a(x)
            return self.out(self.b(x) + self.c(hidden)), self.side(hidden)

    network = from_torch(Skip(), SAMPLE)
    assert set(network.predecessors("out")) == {"b", "c"}
    assert {b for a, b in network.edges if a in ("out", "side.1")} == {
        "output_out",
        "output_side.1",
    }
    assert set(network.predecessors("b")) == {"input"}


def with_forward(forward: Callable[[Any, Any], Any], **parts: Any) -> Any:
    class Custom(Module):
        def __init__(self) -> None:
            super().__init__()
            for name, part in parts.items():
                setattr(self, name, part)

        def forward(self, x: Any) -> Any:
            return forward(self, x)

    return Custom()


def changed(layer: Any) -> Any:
    layer.reset_mechanism = "zero"
    return layer


def unstable() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cell(inhibition=True)


def late(m: Any, x: Any) -> Any:
    """The second layer gets the first one's spikes of the timestep before."""
    before = torch.zeros(x.shape[1], 6)
    for step in x:
        m.l2(m.f2(before))
        before = m.l1(m.f1(step))


WRONG: list[tuple[str, Callable[[], Any], str]] = [
    ("inhibition", lambda: Sequential(Linear(6, 3), unstable()), "Node '1' (Leaky): inhibition"),
    (
        "state_quant",
        lambda: Sequential(Linear(6, 3), cell(state_quant=lambda x: x)),
        "Node '1' (Leaky): state_quant",
    ),
    (
        "graded",
        lambda: Sequential(Linear(6, 3), cell(graded_spikes_factor=0.5)),
        "Node '1' (Leaky): graded_spikes_factor must be 1",
    ),
    (
        "threshold",
        lambda: Sequential(Linear(6, 3), cell(threshold=-0.5)),
        "Node '1' (Leaky): threshold must be above 0, not -0.5",
    ),
    (
        "changed",
        lambda: Sequential(Linear(6, 3), changed(cell())),
        "made with reset_mechanism='subtract' and is now set to 'zero'",
    ),
    (
        "none inside",
        lambda: Sequential(Linear(6, 3), cell(reset_mechanism="none"), Linear(3, 2), cell()),
        "Node '1' (Leaky): it never resets, and its spikes go to node '2'",
    ),
    (
        "dropout in training",
        lambda: Sequential(Linear(6, 3), torch.nn.Dropout(0.2), cell()).train(),
        "node '1' (Dropout) is in training mode",
    ),
    (
        "norm in training",
        lambda: Sequential(Linear(6, 3), torch.nn.BatchNorm1d(3), cell()).train(),
        "node '1' (BatchNorm1d) is in training mode",
    ),
    (
        "norm alone",
        lambda: Sequential(Linear(6, 3), cell(), torch.nn.BatchNorm1d(3), cell()).eval(),
        "Node '2' (BatchNorm1d): it gets '1', and folds only into",
    ),
    (
        "norm without statistics",
        lambda: Sequential(Linear(6, 3), torch.nn.BatchNorm1d(3, track_running_stats=False)).eval(),
        "node '1' (BatchNorm1d) normalizes each batch by itself",
    ),
    (
        "unknown layers",
        lambda: Sequential(Linear(6, 3), torch.nn.ReLU(), cell(), torch.nn.Softmax(1)),
        "node '1' is of unsupported type ReLU",
    ),
    (
        "unknown neuron",
        lambda: Sequential(Linear(6, 3), snntorch.Lapicque(beta=0.9, init_hidden=True)),
        "node '1' is of unsupported type Lapicque",
    ),
    (
        "operation between",
        lambda: with_forward(lambda m, x: m.l(torch.relu(m.f(x))), f=Linear(6, 3), l=cell()),
        "node 'l' gets what 'relu' makes, not spikes of another node",
    ),
    (
        "twice the same",
        lambda: with_forward(lambda m, x: m.l(m.f(x + x)), f=Linear(6, 3), l=cell()),
        "node 'f' gets what 'add' makes",
    ),
    (
        "transposed",
        lambda: with_forward(lambda m, x: m.l(m.f(x.view(2, 3).T)), f=Linear(2, 3), l=cell()),
        "node 'f' gets what '__get__' makes",
    ),
    (
        "membrane fed on",
        lambda: with_forward(
            lambda m, x: m.f2(m.l(m.f(x))[1]), f=Linear(6, 3), l=cell(output=True), f2=Linear(3, 2)
        ),
        "node 'f2' gets the state of node 'l', not spikes of another node",
    ),
    (
        "shared",
        lambda: with_forward(
            lambda m, x: m.l(m.f(m.k(m.f(x)))), f=Linear(6, 6), k=cell(), l=cell()
        ),
        "node 'f' gets other nodes' results in other calls: it is shared",
    ),
    (
        "constant",
        lambda: with_forward(lambda m, x: m.l(m.f(torch.ones(1, 6))), f=Linear(6, 3), l=cell()),
        "node 'f' gets a tensor that does not come from the sample",
    ),
    (
        "initial state",
        lambda: with_forward(
            lambda m, x: m.l(m.f(x), torch.ones(1, 3)), f=Linear(6, 3), l=cell(init_hidden=False)
        ),
        "node 'l' starts from a state that is not 0",
    ),
    (
        "wrong sample",
        lambda: Sequential(Linear(7, 3), cell()),
        "Torch module fails on the sample: RuntimeError",
    ),
]


@pytest.mark.parametrize(("make", "message"), [row[1:] for row in WRONG], ids=[r[0] for r in WRONG])
def test_what_no_core_does_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        from_torch(make(), SAMPLE)
    assert message in str(caught.value)
    assert caught.value.hint


def test_zeros_to_begin_with_are_no_operation() -> None:
    def forward(m: Any, x: Any) -> Any:
        spk = m.drop(torch.zeros_like(x[0][:, :3]))
        for step in x:
            spk = m.l(m.f(step) + m.rec(spk))

    net = with_forward(forward, f=Linear(6, 3), rec=Linear(3, 3), l=cell(), drop=torch.nn.Dropout())
    network = from_torch(net.eval(), torch.zeros(3, 1, 6))
    assert {("l", "rec"), ("rec", "l"), ("f", "l")} <= set(network.edges)
    with pytest.raises(ModelError, match="node 'rec' gets nothing: does the sample have but one"):
        from_torch(net.eval(), torch.zeros(1, 1, 6))


def test_assignment_to_a_part_is_refused() -> None:
    def forward(m: Any, x: Any) -> Any:
        spk = m.l(m.f(x))
        spk[:, 0] = 0
        return m.l2(m.f2(spk))

    net = with_forward(forward, f=Linear(6, 3), l=cell(), f2=Linear(3, 2), l2=cell())
    with pytest.raises(ModelError, match="node 'f2' gets what '__setitem__' makes"):
        from_torch(net, SAMPLE)


def convolutional() -> Any:
    torch.manual_seed(6)
    net = Sequential(
        torch.nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False),
        torch.nn.BatchNorm2d(4),
        cell(beta=0.75),
        torch.nn.AvgPool2d(2),
        torch.nn.Flatten(),
        Linear(16, 5),
        cell(beta=0.75),
    )
    with torch.no_grad():
        net[0].weight.add_(0.1)
        net[5].weight.add_(0.3)
        net[1].running_var.uniform_(0.5, 2)
        net[1].running_mean.uniform_(-0.2, 0.2)
    return net.eval()


def test_layers_in_nirs_terms() -> None:
    layers = pytest.importorskip("spikewright.compiler.torch_layers")
    net = convolutional()
    conv = layers.to_layer(net[0], "0", (1, 1, 8, 6))
    assert (tuple(conv.input_shape), tuple(conv.stride), tuple(conv.padding)) == (
        (8, 6),
        (2, 2),
        (1, 1),
    )
    folded = layers.fold_batch_norm(conv, net[1])
    x = torch.rand(2, 1, 8, 6)
    again = torch.nn.functional.conv2d(
        x.double(), torch.from_numpy(folded.weight), torch.from_numpy(folded.bias), 2, 1
    )
    with torch.no_grad():
        assert torch.allclose(again.float(), net[1](net[0](x)), atol=1e-6)
    pool = layers.to_layer(net[3], "3", (1, 4, 4, 3))
    assert [tuple(pool.kernel_size), tuple(pool.stride), tuple(pool.padding)] == [
        (2, 2),
        (2, 2),
        (0, 0),
    ]
    flat = layers.to_layer(torch.nn.Flatten(2, -1), "4", (1, 4, 2, 2))
    assert flat.output_type["output"].tolist() == [4, 4]
    conv1d = layers.to_layer(torch.nn.Conv1d(2, 3, 5, padding="same"), "0", (1, 2, 9))
    assert (conv1d.input_shape, conv1d.weight.shape, conv1d.padding) == (9, (3, 2, 5), "same")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), "padding_mode must"),
        (lambda: torch.nn.AvgPool2d(2, ceil_mode=True), "ceil_mode must"),
        (lambda: torch.nn.AvgPool2d(3, padding=1, count_include_pad=False), "count_include_pad m"),
        (lambda: torch.nn.Flatten(0), "start_dim 0 merges samples"),
    ],
)
def test_options_that_nir_has_not_are_refused(make: Callable[[], Any], message: str) -> None:
    layers = pytest.importorskip("spikewright.compiler.torch_layers")
    with pytest.raises(ModelError, match=message):
        layers.to_layer(make(), "0", (1, 1, 8, 8))


def test_convolutional_network_runs_the_same() -> None:
    net = convolutional()
    spikes = np.random.default_rng(6).random((3, 60, 64)) < 0.3
    fine = CompileOptions(weight_bits=16, state_bits=24, fraction_bits=4)
    image = compile_network(net, fine, sample=torch.zeros(1, 1, 8, 8))
    with torch.no_grad():
        steps = torch.from_numpy(np.moveaxis(spikes, 1, 0).astype(np.float32))
        out = np.array([net(x.reshape(3, 1, 8, 8)).numpy() for x in steps]) > 0
    expected = np.moveaxis(out, 0, 1)
    got = GoldenModel(image, 3).run(spikes).spikes[..., image.population("6").index]
    print(f"{(got != expected).mean():.4%} differ, rate {expected.mean():.3f}")
    assert 0.05 < expected.mean() < 0.9
    assert (got != expected).mean() < 0.005


def test_parts_of_the_sample_are_refused() -> None:
    net = with_forward(lambda m, x: m.l(m.f(x[0])), f=Linear(6, 3), l=cell())
    with pytest.raises(ModelError, match="node 'f' gets parts of the sample"):
        from_torch(net, torch.zeros(2, 1, 6))


def test_spikes_of_the_timestep_before_are_refused() -> None:
    net = with_forward(late, f1=Linear(6, 6), l1=cell(), f2=Linear(6, 3), l2=cell())
    with pytest.raises(ModelError, match="'f2' gets the spikes of node 'l1' a timestep late"):
        from_torch(net, torch.zeros(3, 1, 6))


def test_sample_without_batch_is_refused() -> None:
    with pytest.raises(ModelError, match="1 axes before the neurons', not shape"):
        from_torch(Sequential(Linear(6, 3), cell()), torch.zeros(6))


def test_compile_needs_a_sample_and_euler() -> None:
    net = Sequential(Linear(6, 3), cell())
    with pytest.raises(ModelError, match="compiled with a sample"):
        compile_network(net)
    with pytest.raises(ModelError, match="in discrete time already"):
        compile_network(net, CompileOptions(discretization="exact"), sample=SAMPLE)
    with pytest.raises(ModelError, match="reset is 'subtract' in the model and 'zero' in the opt"):
        compile_network(net, CompileOptions(reset="zero"), sample=SAMPLE)
    assert compile_network(net, CompileOptions(dt=2e-3), sample=SAMPLE).spec.neurons >= 3
