"""Spikes of whole torch modules against those of the integer model compiled from them.

``python test_torch_agreement.py 100`` measures as many snnTorch networks.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spikewright.compiler import CompileOptions, compile_network
from spikewright.sim.golden import GoldenModel

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")

SAMPLES, TIMESTEPS = 4, 100
RATE = 0.2
SEEDS = (2, 5, 10, 19, 23, 45)
FINE = CompileOptions(weight_bits=16, state_bits=24, fraction_bits=4)
Bools = npt.NDArray[np.bool_]


def values(rng: np.random.Generator, low: float, high: float, n: int) -> Any:
    """One for all neurons, or one each."""
    drawn = rng.uniform(low, high, n if rng.random() < 0.5 else None)
    return torch.as_tensor(drawn, dtype=torch.float32)


def random_net(seed: int) -> Any:
    """One to three layers, in float32, whose weights bring the membranes to about the threshold."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(8, 65, int(rng.integers(2, 5)))
    layers: list[Any] = []
    for fan_in, n in pairwise(sizes):
        linear = torch.nn.Linear(int(fan_in), int(n), bias=bool(rng.random() < 0.7))
        settings = {
            "beta": values(rng, 0.3, 0.98, n),
            "threshold": values(rng, 0.5, 1.5, n),
            "reset_mechanism": str(rng.choice(["subtract", "zero"])),
            "reset_delay": bool(rng.random() < 0.5),
            "init_hidden": True,
        }
        kept = settings["beta"].mean().item()
        leak_syn = 1.0
        if synaptic := rng.random() < 0.5:
            settings["alpha"] = values(rng, 0.2, 0.9, n)
            leak_syn -= settings["alpha"].mean().item()
        active = RATE * fan_in
        mean = rng.uniform(0.3, 0.9) * leak_syn * (1 - kept) / active
        spread = rng.uniform(0.3, 0.6) * leak_syn * (1 - kept**2) ** 0.5 / active**0.5
        with torch.no_grad():
            drawn = torch.from_numpy(rng.normal(mean, spread, (n, fan_in)))
            linear.weight.copy_(drawn * settings["threshold"].reshape(-1, 1))
            if linear.bias is not None:
                linear.bias.copy_(torch.from_numpy(rng.normal(0, mean, n)))
        layers += [linear, (snntorch.Synaptic if synaptic else snntorch.Leaky)(**settings)]
    return torch.nn.Sequential(*layers)


def record(net: Any, spikes: Bools, is_cell: Callable[[Any], bool]) -> dict[str, Bools]:
    """Spikes of each layer of neurons, ``[samples, timesteps, neurons]``."""
    fired: dict[str, list[Bools]] = {}
    for name, part in net.named_modules():
        if is_cell(part):

            def keep(_: Any, __: Any, out: Any, name: str = name) -> None:
                first = out[0] if isinstance(out, tuple) else out
                fired.setdefault(name, []).append(first.numpy() > 0)

            part.register_forward_hook(keep)
    with torch.no_grad():
        for x in np.moveaxis(spikes, 1, 0).astype(np.float32):
            net(torch.from_numpy(x))
    return {name: np.moveaxis(np.array(steps), 0, 1) for name, steps in fired.items()}


@dataclass(frozen=True)
class Comparison:
    """Entries that differ, of how many; those if one side were a timestep late; and spikes."""

    wrong: int
    entries: int
    shifted: int
    spikes: int

    @property
    def equal(self) -> float:
        return 1 - self.wrong / self.entries


def compare(seed: int) -> Comparison:
    """Compile a random network and run both on random spikes; all its layers count."""
    net = random_net(seed)
    inputs = net[0].in_features
    image = compile_network(net, FINE, sample=torch.zeros(1, inputs))
    spikes = np.random.default_rng([seed, 1]).random((SAMPLES, TIMESTEPS, inputs)) < RATE
    ours = GoldenModel(image, SAMPLES).run(spikes).spikes
    theirs = record(net, spikes, lambda part: isinstance(part, snntorch.SpikingNeuron))
    counts = np.zeros(4, int)
    for name, expected in theirs.items():
        got = ours[..., image.population(name).slice]
        late, early = got[:, 1:] != expected[:, :-1], got[:, :-1] != expected[:, 1:]
        shifted = min(late.sum(), early.sum())
        counts += [(got != expected).sum(), expected.size, shifted, expected.sum()]
    return Comparison(*counts.tolist())


def cells_of(seed: int) -> list[Any]:
    return [part for part in random_net(seed) if isinstance(part, snntorch.SpikingNeuron)]


def stays_above(seed: int) -> bool:
    """Whether a layer resets at once by subtraction.

    Where v is above the threshold even after such a reset, snnTorch takes it back if v does not
    reach twice the threshold in the next timestep; no core has that.
    """
    return any(
        cell.reset_mechanism == "subtract" and not cell.reset_delay for cell in cells_of(seed)
    )


def test_seeds_cover_every_neuron_and_reset() -> None:
    kinds = {
        (type(cell).__name__, cell.reset_mechanism, cell.reset_delay)
        for seed in SEEDS
        for cell in cells_of(seed)
    }
    assert len(kinds) == 8


@pytest.mark.parametrize("seed", SEEDS)
def test_snntorch_spikes_agree_without_a_shift(seed: int) -> None:
    result = compare(seed)
    rate = result.spikes / result.entries
    print(f"seed {seed}: {result.equal:.4%} of {result.entries} equal, rate {rate:.3f}")
    assert rate > 0.002
    assert result.equal >= (0.96 if stays_above(seed) else 0.995)
    assert result.wrong < result.shifted / 10


def measure(networks: int) -> None:
    """Print how many entries are equal in so many networks."""
    results = {seed: compare(seed) for seed in range(networks)}
    others = [result for seed, result in results.items() if not stays_above(seed)]
    for title, some in (
        ("all", list(results.values())),
        ("without an immediate subtracting reset", others),
    ):
        entries = sum(result.entries for result in some)
        equal = 1 - sum(result.wrong for result in some) / entries
        worst = min(result.equal for result in some)
        exact = sum(not result.wrong for result in some)
        print(f"{title}: {len(some)} networks, {equal:.4%} of {entries} entries equal;", end=" ")
        print(f"worst network {worst:.4%}, {exact} equal in all")


if __name__ == "__main__":
    measure(int(sys.argv[1]))
