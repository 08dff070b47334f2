"""Norse, Sinabs and SpikingJelly modules against the integer model, where they are installed.

On Python 3.11 with torch 2.13 all three install: Norse 1.1.0, SpikingJelly 2.0.0, and of Sinabs
2.0.3, as its 3.x wants nir 1.0.4 or older (3.1.3 passes too where pip is overruled).
"""

import importlib
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spikewright.compiler import CompileOptions, compile_network
from spikewright.compiler.graph import Neuron
from spikewright.errors import ModelError
from spikewright.sim.golden import GoldenModel

torch = pytest.importorskip("torch")

SAMPLES, TIMESTEPS, INPUTS, HIDDEN, OUTPUTS = 3, 80, 20, 32, 12
FINE = CompileOptions(weight_bits=16, state_bits=24, fraction_bits=4)
RNG = np.random.default_rng(5)
SPIKES = RNG.random((SAMPLES, TIMESTEPS, INPUTS)) < 0.3
Array = npt.NDArray[Any]


def load(name: str) -> Any:
    """A framework, whose own warnings at import are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError:
            pytest.skip(f"{name} is not installed")


def linear(fan_in: int, fan_out: int, gain: float) -> Any:
    rng = np.random.default_rng(fan_out)
    layer = torch.nn.Linear(fan_in, fan_out)
    with torch.no_grad():
        drawn = rng.normal(0.3, 1.0, (fan_out, fan_in)) * gain / fan_in**0.5
        layer.weight.copy_(torch.from_numpy(drawn))
        layer.bias.copy_(torch.from_numpy(rng.normal(0, 0.05 * gain, fan_out)))
    return layer


def check(net: Any, sample: Any, last: str, expected: Array) -> None:
    """Compare the last layer, which all others feed; what differs comes from rounded decays."""
    image = compile_network(net, FINE, sample=sample)
    got = GoldenModel(image, SAMPLES).run(SPIKES).spikes[..., image.population(last).slice]
    wrong = float((got != expected).mean())
    late = float((got[:, 1:] != expected[:, :-1]).mean())
    print(f"{wrong:.4%} differ, {late:.2%} if a timestep late, rate {expected.mean():.3f}")
    assert 0.02 < expected.mean() < 0.8
    assert wrong <= 0.01
    assert wrong < late / 10


@pytest.mark.parametrize("kind", ["LIFCell", "LIFBoxCell", "subtract", "IAFCell"])
def test_norse_cells(kind: str) -> None:
    norse = load("norse.torch")
    box = load("norse.torch.functional.lif_box")
    reset = load("norse.torch.functional.reset")
    gain = 1.0
    if kind == "LIFCell":
        p = norse.LIFParameters(tau_mem_inv=torch.tensor(120.0), v_th=torch.tensor(0.6))
        cells = [norse.LIFCell(p=p) for _ in range(2)]
    elif kind == "IAFCell":
        cells = [norse.IAFCell() for _ in range(2)]
        gain = 0.3
    else:
        p = box.LIFBoxParameters(
            tau_mem_inv=torch.tensor(250.0),
            v_leak=torch.tensor(0.1),
            v_th=torch.tensor(0.5),
            v_reset=torch.tensor(-0.2),
            reset_method=reset.reset_subtract if kind == "subtract" else reset.reset_value,
        )
        cells = [norse.LIFBoxCell(p=p, dt=0.002) for _ in range(2)]
    net = norse.SequentialState(
        linear(INPUTS, HIDDEN, gain), cells[0], linear(HIDDEN, OUTPUTS, 2 * gain), cells[1]
    )
    state, fired = None, []
    with torch.no_grad():
        for x in np.moveaxis(SPIKES, 1, 0).astype(np.float32):
            out, state = net(torch.from_numpy(x), state)
            fired.append(out.numpy() > 0)
    check(net, torch.zeros(1, INPUTS), "3", np.moveaxis(np.array(fired), 0, 1))


def test_norse_runs_with_its_own_dt_and_over_time() -> None:
    norse = load("norse.torch")
    net = norse.SequentialState(linear(INPUTS, OUTPUTS, 1.0), norse.LIF(dt=0.002))
    sample = torch.from_numpy(np.moveaxis(SPIKES, 1, 0).astype(np.float32))
    with torch.no_grad():
        expected = np.moveaxis(net(sample)[0].numpy() > 0, 0, 1)
    check(net, sample, "1", expected)
    frontend = importlib.import_module("spikewright.compiler.torch_frontend")
    assert frontend.from_torch(net, sample).dt == 0.002
    with pytest.raises(ModelError, match=r"dt is 0\.002 in the model and 0\.001 in the options"):
        compile_network(net, CompileOptions(dt=0.001), sample=sample)


@pytest.mark.parametrize("kind", ["LIF", "IAF"])
@pytest.mark.parametrize("reset", ["MembraneSubtract", "MembraneReset"])
@pytest.mark.parametrize("squeeze", [False, True])
@pytest.mark.parametrize("normed", [False, True])
def test_sinabs(kind: str, reset: str, squeeze: bool, normed: bool) -> None:
    layers, act = load("sinabs.layers"), load("sinabs.activation")
    settings: dict[str, Any] = {"spike_fn": act.SingleSpike, "reset_fn": getattr(act, reset)()}
    settings |= {"min_v_mem": None, "spike_threshold": torch.tensor(0.7)}
    gain = 0.4
    if kind == "LIF":
        settings |= {"tau_mem": torch.tensor(9.0), "norm_input": normed}
        settings["tau_syn"] = torch.tensor(4.0) if squeeze else None
        gain = 3.0 if normed else 0.3
        gain /= 3.0 if squeeze else 1.0
    elif normed:
        pytest.skip("IAF has no norm_input")
    if squeeze:
        settings["batch_size"] = SAMPLES
    cell = getattr(layers, kind + "Squeeze" * squeeze)
    net = torch.nn.Sequential(
        linear(INPUTS, HIDDEN, gain),
        cell(**settings),
        linear(HIDDEN, OUTPUTS, 2 * gain),
        cell(**settings),
    )
    sample = torch.from_numpy(SPIKES.astype(np.float32))
    sample = sample.flatten(0, 1) if squeeze else sample
    with torch.no_grad():
        expected = net(sample).numpy().reshape(SAMPLES, TIMESTEPS, -1) > 0
    check(net, sample, "3", expected)


@pytest.mark.parametrize("kind", ["IFNode", "LIFNode", "ParametricLIFNode", "CUBALIFNode"])
@pytest.mark.parametrize("v_reset", [None, 0.0, -0.25])
@pytest.mark.parametrize("mode", ["s", "m"])
def test_spikingjelly(kind: str, v_reset: float | None, mode: str) -> None:
    neuron = load("spikingjelly.activation_based.neuron")
    functional = load("spikingjelly.activation_based.functional")
    settings: dict[str, Any] = {"v_threshold": 0.7, "v_reset": v_reset}
    gain = {"IFNode": 0.5, "CUBALIFNode": 0.2}.get(kind, 0.6)
    if kind in ("LIFNode", "ParametricLIFNode"):
        settings["decay_input"] = mode == "s"
        gain = 2.0 if mode == "s" else gain
    net = torch.nn.Sequential(
        linear(INPUTS, HIDDEN, gain),
        getattr(neuron, kind)(**settings),
        linear(HIDDEN, OUTPUTS, 2 * gain),
        getattr(neuron, kind)(**settings),
    )
    functional.set_step_mode(net, mode)
    sample = torch.from_numpy(np.moveaxis(SPIKES, 1, 0).astype(np.float32))
    if v_reset and kind in ("IFNode", "CUBALIFNode"):
        with pytest.raises(ModelError, match="v_reset must be 0 or None"):
            compile_network(net, FINE, sample=sample)
        return
    with torch.no_grad():
        out = net(sample) if mode == "m" else torch.stack([net(x) for x in sample])
    functional.reset_net(net)
    check(net, sample if mode == "m" else sample[0], "3", np.moveaxis(out.numpy() > 0, 0, 1))


def check_membrane(net: Any, sample: Any, last: str, expected: Array) -> None:
    """Compare potentials but for their unit."""
    image = compile_network(net, FINE, sample=sample)
    potentials = GoldenModel(image, SAMPLES).run(SPIKES, record_v=True).v
    assert potentials is not None
    got = potentials[..., image.population(last).slice]
    for n in range(expected.shape[-1]):
        assert np.corrcoef(got[..., n].ravel(), expected[..., n].ravel())[0, 1] > 0.999


def test_norse_integrator_is_read() -> None:
    norse = load("norse.torch")
    box = load("norse.torch.module.leaky_integrator_box")
    net = norse.SequentialState(
        linear(INPUTS, HIDDEN, 1.0), norse.LIFBoxCell(), linear(HIDDEN, 3, 1.0), box.LIBoxCell()
    )
    state, expected = None, []
    with torch.no_grad():
        for x in np.moveaxis(SPIKES, 1, 0).astype(np.float32):
            out, state = net(torch.from_numpy(x), state)
            expected.append(out.numpy())
    check_membrane(net, torch.zeros(1, INPUTS), "3", np.moveaxis(np.array(expected), 0, 1))


def test_sinabs_integrator_is_read() -> None:
    layers = load("sinabs.layers")
    net = torch.nn.Sequential(linear(INPUTS, 4, 1.0), layers.ExpLeak(tau_mem=7.0))
    sample = torch.from_numpy(SPIKES.astype(np.float32))
    with torch.no_grad():
        expected = net(sample).numpy()
    check_membrane(net, sample, "1", expected)


def test_sinabs_of_several_spikes_a_timestep_is_refused() -> None:
    layers = load("sinabs.layers")
    net = torch.nn.Sequential(linear(INPUTS, OUTPUTS, 1.0), layers.LIF(tau_mem=9.0))
    with pytest.raises(ModelError, match=r"Node '1' \(LIF\): spike_fn must be SingleSpike"):
        compile_network(net, FINE, sample=torch.zeros(1, 2, INPUTS))


def test_spike_at_the_threshold_is_kept() -> None:
    """SpikingJelly spikes at ``v == v_threshold``; whole numbers meet it exactly."""
    neuron = load("spikingjelly.activation_based.neuron")
    layer = torch.nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0], [127.0]]))
    net = torch.nn.Sequential(layer, neuron.IFNode(v_threshold=4.0, v_reset=None))
    image = compile_network(net, CompileOptions(weight_bits=8), sample=torch.zeros(1, 1))
    spikes = GoldenModel(image).run(np.ones((1, 6, 1), bool)).spikes[0]
    assert spikes[:, 0].tolist() == [False, True] * 3
    node = (
        importlib
        .import_module("spikewright.compiler.torch_frontend")
        .from_torch(net, torch.zeros(1, 1))
        .nodes["1"]
    )
    assert isinstance(node, Neuron)
    assert node.strict is False
    np.testing.assert_array_equal(node.v_threshold, 4.0)
    assert image.manifest.semantics["threshold"] == "non-strict"
