"""The integer network in torch against the golden model, and what its gradients are good for."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from networks import affine, neuron, options

from spikewright.compiler import compile_network
from spikewright.compiler.graph import Input, Network, Node, Output
from spikewright.image import CoreImage
from spikewright.sim.golden import GoldenModel

torch = pytest.importorskip("torch")
qat = pytest.importorskip("spikewright.compiler.qat")

Bools = npt.NDArray[np.bool_]
TIMESTEPS = 40


def random_network(seed: int) -> tuple[Network, int]:
    """Two inputs and one to four populations, recurrent and skipping, and the number of axons."""
    rng = np.random.default_rng(seed)
    nodes: dict[str, Node] = {f"in{k}": Input((int(rng.integers(1, 9)),)) for k in range(2)}
    names = [f"p{k}" for k in range(int(rng.integers(1, 5)))]
    for name in names:
        n = int(rng.integers(1, 12))
        kind = str(rng.choice(["LIF", "CubaLIF", "IF"]))
        leak = rng.normal(0, 0.1) if kind != "IF" else 0.0
        nodes[name] = neuron(
            kind,
            n,
            v_threshold=leak + rng.uniform(0.6, 2, n),
            v_leak=leak,
            v_reset=leak + rng.uniform(-0.2, 0.2, n),
            **({"tau_mem": rng.uniform(1.5, 20, n)} if kind != "IF" else {}),
            **({"tau_syn": rng.uniform(1.0, 9, n)} if kind == "CubaLIF" else {}),
        )
    nodes["read"] = neuron("LI", 3)
    names.append("read")
    pairs = [("in0", names[0]), ("in1", names[-2]), *pairwise(names)]
    pairs += [(a, b) for a in names[:-1] for b in names if rng.random() < 0.5]
    edges = []
    for a, b in dict.fromkeys(pairs):
        weight = rng.normal(0.2, 0.8, (nodes[b].size_in, nodes[a].size_out))
        weight[rng.random(weight.shape) < 0.2] = 0
        weight[:, 0] = rng.uniform(1.0, 2.0)
        nodes[f"{a}{b}"] = affine(weight, rng.normal(0, 0.1, len(weight)))
        edges += [(a, f"{a}{b}"), (f"{a}{b}", b)]
    nodes["out"] = Output((3,))
    axons = nodes["in0"].size_out + nodes["in1"].size_out
    return Network(nodes, (*edges, ("read", "out"))), axons


def differences(module: Any, image: CoreImage, spikes: Bools) -> tuple[int, int]:
    """Entries of spikes and v that are not the golden model's, and how many spikes there were."""
    golden = GoldenModel(image, len(spikes)).run(spikes, record_v=True)
    assert golden.v is not None
    with torch.no_grad():
        run = module(torch.from_numpy(spikes))
    wrong = fired = 0
    for population in image.manifest.populations:
        at = (slice(None), slice(None), population.slice)
        ours, v = run.spikes[population.name].numpy(), run.v[population.name].numpy()
        assert ours.dtype == v.dtype == np.float64
        wrong += int((golden.spikes[at] != ours).sum() + (golden.v[at] != v).sum())
        fired += int(ours.sum())
    return wrong, fired


def perturbed(module: Any, seed: int) -> None:
    """Move every parameter as training might."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
            parameter *= 1 + 0.1 * noise


@pytest.mark.parametrize("weight_bits", range(2, 17))
@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("delayed", [False, True])
def test_forward_is_the_golden_model(weight_bits: int, reset: str, delayed: bool) -> None:
    seed = weight_bits * 4 + (reset == "zero") * 2 + delayed
    network, axons = random_network(seed)
    rng = np.random.default_rng(seed)
    formats = {
        "weight_bits": weight_bits,
        "state_bits": int(rng.integers(16, 25)),
        "fraction_bits": int(rng.integers(3, 6)),
        "percentile": float(rng.choice([70.0, 100.0])),
    }
    chosen = options(1.0, reset, delayed, **formats)
    module = qat.IntegerNetwork(network, chosen)
    spikes = rng.random((3, TIMESTEPS, axons)) < 0.3
    wrong, fired = differences(module, compile_network(network, chosen), spikes)
    print(f"seed {seed}: {wrong} differ, {fired} spikes, {formats}")
    assert fired > 0
    assert wrong == 0
    perturbed(module, seed)
    image = module.to_image()
    assert image.spec.weight_bits == weight_bits
    assert differences(module, image, spikes)[0] == 0
