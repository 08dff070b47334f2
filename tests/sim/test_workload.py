from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from networks import affine, chain, neuron, options

from spikewright.compiler import compile_network
from spikewright.sim.cases import draw_case
from spikewright.sim.golden import GoldenModel
from spikewright.sim.workload import neurobench, reads

INPUTS, HIDDEN, OUTPUTS = 12, 20, 5


@pytest.mark.parametrize("seed", range(12))
def test_reads_are_the_golden_models_synaptic_operations_and_cycles(seed: int) -> None:
    case = draw_case(seed, timesteps=30, samples=3)
    image, spec = case.image, case.image.spec
    run = GoldenModel(image, 3).run(case.spikes)
    found = reads(image, case.spikes, run.spikes)
    assert (found.synaptic_operations == run.synaptic_operations.sum(axis=1)).all()
    assert (found.synaptic_operations <= found.words * spec.lanes).all()
    assert (found.words <= run.cycles.sum(axis=1)).all()


def layers() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Weights that 8 bits hold exactly, some of them pruned."""
    rng = np.random.default_rng(3)
    first = rng.integers(-40, 80, (HIDDEN, INPUTS)) * (rng.random((HIDDEN, INPUTS)) < 0.7)
    second = rng.integers(-40, 80, (OUTPUTS, HIDDEN)) * (rng.random((OUTPUTS, HIDDEN)) < 0.5)
    first[:, 0] = second[:, 0] = 127
    return first, second


def stimulus() -> npt.NDArray[np.bool_]:
    return np.random.default_rng(5).random((4, 25, INPUTS)) < 0.3


def test_neurobench_counts_by_hand() -> None:
    first, second = layers()
    network = chain(
        affine(first), neuron(n=HIDDEN, v_threshold=120), affine(second), neuron("LI", n=OUTPUTS)
    )
    image = compile_network(network, options(weight_bits=8, lanes=4))
    spikes = stimulus()
    fired = GoldenModel(image, 4).run(spikes).spikes
    hidden = fired[..., :HIDDEN]
    found = neurobench(image, spikes, fired)
    size = first.size + second.size
    reached = [np.count_nonzero(weight, axis=0) for weight in (first, second)]
    operations = (spikes @ reached[0] + hidden @ reached[1]).sum(axis=1)
    assert 0.02 < hidden.mean() < 0.9
    assert found.connection_sparsity == 1 - sum(map(np.count_nonzero, (first, second))) / size
    assert found.activation_sparsity == pytest.approx(1 - hidden.mean(), abs=1e-12)
    assert found.dense == 25 * size
    assert found.effective_acs == operations.mean()
    assert found.effective_macs == 0
    weights = len(image.weights) * 4 * 8
    slots = image.groups_used * 4
    assert found.footprint > (weights + slots * image.spec.state_bits * 4) / 8


def test_neurobench_agrees_with_its_own_package() -> None:
    """Two layers of snnTorch with integer weights, in which both compute the same spikes."""
    torch = pytest.importorskip("torch")
    snntorch = pytest.importorskip("snntorch")
    metrics = pytest.importorskip("neurobench.metrics.workload")
    static = pytest.importorskip("neurobench.metrics.static")
    models = pytest.importorskip("neurobench.models.snntorch_models")
    first, second = layers()

    def linear(weight: npt.NDArray[Any]) -> Any:
        module = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        module.weight.data = torch.from_numpy(weight).float()
        return module

    def cells() -> Any:
        return snntorch.Leaky(
            beta=0.0, threshold=120.5, reset_mechanism="zero", reset_delay=False, init_hidden=True
        )

    last = cells()
    last.output = True
    net = torch.nn.Sequential(linear(first), cells(), linear(second), last)
    spikes = stimulus()
    model = models.SNNTorchModel(net)
    model.register_hooks()
    data = torch.from_numpy(spikes).float()
    with torch.no_grad():
        output = model(data)
    labels = torch.zeros(len(spikes))
    operations = metrics.SynapticOperations()(model, output, (data, labels))
    activations = metrics.ActivationSparsity()(model, output, (data, labels))
    connections = static.ConnectionSparsity()(model)

    network = chain(
        affine(first),
        neuron(n=HIDDEN, tau_mem=1, r=1, v_threshold=120.5),
        affine(second),
        neuron(n=OUTPUTS, tau_mem=1, r=1, v_threshold=120.5),
    )
    image = compile_network(network, options(weight_bits=8, lanes=4))
    fired = GoldenModel(image, len(spikes)).run(spikes).spikes
    assert (fired[..., HIDDEN : HIDDEN + OUTPUTS] == output.numpy()).all()
    assert 0.02 < output.mean() < 0.9
    found = neurobench(image, spikes, fired)
    assert found.effective_acs == operations["Effective_ACs"]
    assert found.effective_macs == operations["Effective_MACs"] == 0
    assert found.dense == operations["Dense"]
    assert round(found.connection_sparsity, 4) == connections
    assert found.activation_sparsity == pytest.approx(activations, abs=1e-12)
