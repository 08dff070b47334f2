"""The integer network in torch against the golden model, and what its gradients are good for."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from networks import affine, chain, neuron, options

from spikewright.compiler import compile_network
from spikewright.compiler.graph import Convolution, Delay, Input, Network, Node, Output
from spikewright.errors import ModelError
from spikewright.image import CoreImage
from spikewright.sim.golden import GoldenModel

torch = pytest.importorskip("torch")
qat = pytest.importorskip("spikewright.compiler.qat")

Bools = npt.NDArray[np.bool_]
TIMESTEPS = 40


def random_network(seed: int) -> tuple[Network, int]:
    """Two inputs and one to four populations with loops, skips and delays; number of axons."""
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
        edges += [(f"{a}{b}", b)]
        if rng.random() < 0.5:
            nodes[f"{a}to{b}"] = Delay(rng.integers(0, 6, nodes[a].size_out).astype(float))
            edges += [(a, f"{a}to{b}"), (f"{a}to{b}", f"{a}{b}")]
        else:
            edges += [(a, f"{a}{b}")]
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


@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_forward_saturates_as_the_golden_model(kind: str, reset: str) -> None:
    rng = np.random.default_rng(3)
    node = neuron(kind, 8, v_threshold=rng.uniform(0.5, 9, 8), tau_mem=rng.uniform(2, 90, 8))
    network = chain(affine(rng.normal(0, 1, (8, 30)) + rng.choice([-1, 1], (8, 1))), node)
    module = qat.IntegerNetwork(network, options(1.0, reset, weight_bits=6, state_bits=12))
    spikes = rng.random((4, TIMESTEPS, 30)) < 0.5
    image = module.to_image()
    run = GoldenModel(image, 4).run(spikes)
    print(f"{run.saturations.sum()} saturations, {run.spikes.sum()} spikes")
    assert run.saturations.sum() > 100
    assert run.spikes.any()
    assert differences(module, image, spikes)[0] == 0


def test_a_convolution_runs_as_in_the_golden_model() -> None:
    rng = np.random.default_rng(4)
    convolution = Convolution(
        weight=rng.normal(0.2, 0.5, (3, 2, 3, 3)),
        bias=rng.normal(0, 0.1, 3),
        shape_in=(2, 5, 5),
        stride=(2, 2),
        padding=((1, 1), (1, 1)),
        dilation=(1, 1),
    )
    network = chain(
        convolution, neuron("LIF", 27), affine(rng.normal(0.1, 0.4, (4, 27))), neuron(n=4)
    )
    module = qat.IntegerNetwork(network, options(weight_bits=3))
    perturbed(module, 4)
    spikes = rng.random((3, TIMESTEPS, 50)) < 0.3
    wrong, fired = differences(module, module.to_image(), spikes)
    assert fired > 100
    assert wrong == 0


def test_a_delay_longer_than_the_run_brings_nothing() -> None:
    late = Delay(np.array([3.0, 4.0]))
    network = chain(late, affine([[2.0, 2.0]]), neuron())
    module = qat.IntegerNetwork(network, options())
    for timesteps, expected in ((3, []), (4, [3]), (6, [3, 4, 5])):
        fired = module(torch.ones(1, timesteps, 2)).spikes["n2"][0, :, 0]
        assert fired.nonzero().flatten().tolist() == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same_integers() -> None:
    network, axons = random_network(1)
    module = qat.IntegerNetwork(network, options())
    spikes = torch.from_numpy(np.random.default_rng(1).random((3, TIMESTEPS, axons)) < 0.3)
    here, there = module(spikes), module.to("cuda")(spikes)
    for name, v in here.v.items():
        assert torch.equal(v, there.v[name].cpu())


# Gradients


def float_run(
    parameters: dict[str, Any], spikes: Any, reset: str, delayed: bool
) -> tuple[Any, Any]:
    """One CubaLIF population in floats, its spikes' derivative that of a fast sigmoid of slope 5.

    A delayed subtraction takes back what the membrane's decay, as it was rounded, makes of it.
    """
    p = parameters
    i = v = spikes.new_zeros(len(spikes), len(p["bias"]))
    fired, seen = [], []
    for x in spikes.unbind(dim=1):
        i = p["a_syn"] * i + x @ p["weights"].T + p["bias"]
        v = p["a_mem"] * v + i
        u = v - p["v_threshold"]
        soft = u / (1 + 5 * u.abs())
        spike = (u > 0).double() + soft - soft.detach()
        amount = p["v_threshold"] / (p["a_mem"].detach() if delayed else 1)
        v = torch.where(u > 0, v - amount if reset == "subtract" else torch.zeros_like(v), v)
        fired.append(spike)
        seen.append(v)
    return torch.stack(fired, 1), torch.stack(seen, 1)


@pytest.mark.parametrize(
    ("reset", "delayed"), [("subtract", False), ("subtract", True), ("zero", False)]
)
def test_gradients_are_those_of_floats(reset: str, delayed: bool) -> None:
    """With fine formats rounding changes nothing, and its derivative is that of an identity."""
    rng = np.random.default_rng(5)
    network = chain(
        affine(rng.normal(0.1, 0.4, (6, 9)), rng.normal(0, 0.1, 6)),
        neuron("CubaLIF", 6, tau_mem=rng.uniform(2, 9, 6), v_threshold=rng.uniform(0.6, 1.5, 6)),
    )
    fine = options(1.0, reset, delayed, weight_bits=16, state_bits=24, fraction_bits=4)
    module = qat.IntegerNetwork(network, fine, trainable=qat.PARAMETERS, slope=5.0)
    spikes = torch.from_numpy(rng.random((5, TIMESTEPS, 9)) < 0.3).double()
    target = torch.from_numpy(rng.random((5, 6)))
    floats = {name: getattr(module, name)[0].detach().clone() for name in qat.PARAMETERS}
    for name in ("a_mem", "a_syn"):
        floats[name] = (floats[name] * 4096).round() / 4096
    floats["weights"] = floats["weights"].reshape(6, 9)
    floats = {name: value.requires_grad_() for name, value in floats.items()}

    def loss(fired: Any, v: Any) -> Any:
        return ((fired.mean(1) - target) ** 2).sum() + 0.1 * (v[:, -1] ** 2).sum()

    run = module(spikes)
    loss(run.spikes["n1"], run.v["n1"] * run.unit["n1"]).backward()
    expected, v = float_run(floats, spikes, reset, delayed)
    loss(expected, v).backward()
    assert run.spikes["n1"].sum() > 100
    assert torch.equal(run.spikes["n1"], expected.detach().round())
    for name in qat.PARAMETERS:
        ours, theirs = getattr(module, name)[0].grad, floats[name].grad.reshape(-1)
        error = float((ours - theirs).norm() / theirs.norm())
        print(f"{name}: norm {float(theirs.norm()):.3g}, relative error {error:.2g}")
        assert error < 0.01, name


def test_training_learns_what_rounding_takes() -> None:
    """At 2 bits a student comes closer to its float teacher's spikes than rounding leaves it."""
    rng = np.random.default_rng(8)
    network = chain(affine(rng.normal(0.1, 0.4, (12, 20)), 0.05), neuron("LIF", 12))
    spikes = torch.from_numpy(rng.random((32, TIMESTEPS, 20)) < 0.3)
    with torch.no_grad():
        teacher = qat.IntegerNetwork(network, options(weight_bits=16))(spikes).spikes["n1"]
    student = qat.IntegerNetwork(network, options(weight_bits=2, percentile=80.0), slope=5.0)
    optimizer = torch.optim.Adam(student.parameters(), 0.02)
    losses = []
    for _ in range(40):
        loss = (student(spikes).spikes["n1"].mean(1) - teacher.mean(1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    print(f"loss {losses[0]:.5f} to {losses[-1]:.5f}")
    assert losses[-1] < losses[0] / 2
    assert differences(student, student.to_image(), spikes.numpy())[0] == 0


def test_corrected_biases_give_back_the_mean_input() -> None:
    """The mean current into each neuron is as before rounding, and rates are closer to floats."""
    rng = np.random.default_rng(2)
    first, second = rng.normal(0.1, 0.4, (30, 20)), rng.normal(0.05, 0.3, (10, 30))
    network = chain(affine(first, 0.05), neuron("LIF", 30), affine(second, 0.05), neuron("LIF", 10))
    spikes = torch.from_numpy(rng.random((16, TIMESTEPS, 20)) < 0.3)
    with torch.no_grad():
        wanted = qat.IntegerNetwork(network, options(weight_bits=16))(spikes).spikes
    module = qat.IntegerNetwork(network, options(weight_bits=2, percentile=80.0))

    def errors() -> list[float]:
        with torch.no_grad():
            found = module(spikes).spikes
        return [float((found[n] - wanted[n]).mean((0, 1)).norm()) for n in ("n1", "n3")]

    before = errors()
    module.correct_bias(spikes)
    after = errors()
    print(f"rates are off by {before}, then by {after}")
    assert all(b < a / 2 for a, b in zip(before, after, strict=True))
    image = module.to_image()
    scale = np.array(image.manifest.scales["n1"])
    raw = np.zeros((20, 30))
    for axon in range(20):
        where, count = image.first_word[axon], image.word_count[axon]
        start = image.first_group[axon] * image.spec.lanes
        row = image.weights[where : where + count].reshape(-1)
        raw[axon, start : start + row.size] = row[: 30 - start]
    rate = spikes.double().mean((0, 1)).numpy()
    bias = image.bias[image.population("n1").slice] / 2.0**image.spec.fraction_bits
    np.testing.assert_allclose(scale * (rate @ raw + bias), first @ rate + 0.05, atol=0.02)
    assert differences(module, image, spikes.numpy())[0] == 0


def test_only_what_is_trainable_moves_and_no_synapse_appears() -> None:
    weight = np.array([[1.0, 0.0, -0.5], [0.0, 0.7, 0.0]])
    network = chain(affine(weight, 0.1), neuron("CubaLIF", 2))
    module = qat.IntegerNetwork(network, options(), trainable=("weights", "v_threshold"), slope=1.0)
    before, spikes = module.circuit(), torch.ones(1, 9, 3)
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], 0.01)
    module(spikes).spikes["n1"].sum().backward()
    optimizer.step()
    after = module.circuit()
    (edge,) = before.weights
    moved = after.weights[edge].toarray() != before.weights[edge].toarray()
    np.testing.assert_array_equal(moved, weight != 0)
    old, new = before.populations["n1"], after.populations["n1"]
    assert (old.v_threshold != new.v_threshold).all()
    for name in ("bias", "a_mem", "a_syn", "reset"):
        np.testing.assert_array_equal(getattr(old, name), getattr(new, name))


def test_a_subtracting_reset_moves_with_its_threshold_and_decays_stay_in_range() -> None:
    network = chain(affine([[1.0]]), neuron("LIF", v_reset=0.25))
    module = qat.IntegerNetwork(network, options(1.0, "subtract"), trainable=qat.PARAMETERS)
    with torch.no_grad():
        module.v_threshold[0] += 0.5
        module.a_mem[0] += 1.0
        module.a_syn[0] -= 1.0
    population = module.circuit().populations["n1"]
    assert (population.v_threshold, population.reset) == (1.5, 1.25)
    assert (population.a_mem, population.a_syn) == (1.0, 0.0)


# Errors


def test_wrong_input_is_refused() -> None:
    network = chain(affine([[1.0, 0.5]]), neuron())
    with pytest.raises(ModelError, match=r"must be some of weights, .* not 'gain'\."):
        qat.IntegerNetwork(network, options(), trainable=("gain",))
    module = qat.IntegerNetwork(network, options())
    with pytest.raises(ModelError, match=r"\[samples, timesteps, 2\], not \[1, 9, 3\]"):
        module(torch.zeros(1, 9, 3))
    with pytest.raises(ModelError, match="Spikes must be 0 or 1"):
        module(torch.full((1, 9, 2), 0.5))
    with pytest.raises(ModelError, match=r"'weights\.0' must be float64, not torch\.float32"):
        module.float()(torch.zeros(1, 9, 2))
    with torch.no_grad():
        module.double().weights[0].fill_(torch.nan)
    for diverged in (lambda: module(torch.zeros(1, 9, 2)), module.to_image):
        with pytest.raises(ModelError, match="out of range in discrete time") as error:
            diverged()
        assert "weights 'in' to 'n1' must be finite" in str(error.value)
