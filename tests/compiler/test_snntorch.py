"""Against snnTorch's own neurons, where it is installed; in float64, so as not to compare noise."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from networks import affine, chain, neuron, options

from spikewright.compiler import compile_network
from spikewright.compiler.graph import Network
from spikewright.sim.golden import GoldenModel

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")

NEURONS, INPUTS, TIMESTEPS = 32, 16, 150
STATES = {"Leaky": 1, "RLeaky": 2, "Synaptic": 2, "RSynaptic": 3}
Array = npt.NDArray[Any]


def layer(kind: str, reset: str, delay: bool) -> Any:
    settings = {"beta": 0.875, "reset_mechanism": reset, "reset_delay": delay}
    if kind.endswith("Synaptic"):
        settings["alpha"] = 0.75
    if kind.startswith("R"):
        settings |= {"all_to_all": True, "linear_features": NEURONS}
    module = getattr(snntorch, kind)(**settings).double()
    if kind.startswith("R"):
        with torch.no_grad():
            module.recurrent.weight *= 0.3
            module.recurrent.bias *= 0.3
    return module


def record(module: Any, currents: Array) -> Array:
    """Spikes ``[timesteps, neurons]``."""
    kind = type(module).__name__
    state: Any = [torch.zeros(1, NEURONS, dtype=torch.float64)] * STATES[kind]
    fired = []
    for current in currents:
        result = [part.double() for part in module(torch.from_numpy(current)[None], *state)]
        state = result if kind.startswith("R") else result[1:]
        fired.append(result[0].detach().numpy()[0] > 0)
    return np.array(fired)


def same_network(module: Any, weight: Array) -> Network:
    kind = type(module).__name__
    time: dict[str, Any] = {"tau_mem": 8.0, "r": 8.0}
    if kind.endswith("Synaptic"):
        time |= {"tau_syn": 4.0, "w_in": 4.0}
    cells = neuron("CubaLIF" if kind.endswith("Synaptic") else "LIF", NEURONS, **time)
    network = chain(affine(weight), cells)
    if not kind.startswith("R"):
        return network
    recurrent = affine(
        *(getattr(module.recurrent, field).detach().numpy() for field in ("weight", "bias"))
    )
    edges = (*network.edges, ("n1", "rec"), ("rec", "n1"))
    return Network({**network.nodes, "rec": recurrent}, edges)


@pytest.mark.parametrize(
    ("kind", "reset", "delay", "ours"),
    [
        ("Leaky", "subtract", True, True),
        ("Leaky", "subtract", False, False),
        ("Leaky", "zero", False, False),
        # snnTorch 1.0's Leaky lets the input of the next timestep in: an immediate reset.
        ("Leaky", "zero", True, False),
        ("RLeaky", "subtract", True, True),
        ("RLeaky", "zero", True, True),
        ("Synaptic", "subtract", True, True),
        ("Synaptic", "zero", True, True),
        ("Synaptic", "zero", False, False),
        ("RSynaptic", "subtract", True, True),
        ("RSynaptic", "zero", True, True),
    ],
)
def test_spikes_agree(kind: str, reset: str, delay: bool, ours: bool) -> None:
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    module = layer(kind, reset, delay)
    weight = rng.normal(0.02, 0.08, (NEURONS, INPUTS)) / (3 if kind.endswith("Synaptic") else 1)
    spikes = rng.random((TIMESTEPS, INPUTS)) < 0.4
    expected = record(module, spikes @ weight.T)
    fine = options(1.0, reset, ours, weight_bits=16, state_bits=24, fraction_bits=4)
    image = compile_network(same_network(module, weight), fine)
    wrong = int((GoldenModel(image).run(spikes[None]).spikes[0, :, :NEURONS] != expected).sum())
    print(f"{kind} {reset} delay={delay}: {wrong} of {expected.size}, rate {expected.mean():.3f}")
    assert expected.mean() > 0.02
    assert wrong <= 0.002 * expected.size
