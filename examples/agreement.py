"""Spikes of snnTorch in float against those of the integers compiled from it: ``make accuracy``.

Random feed-forward networks of one to three layers, with every neuron and reset that snnTorch's
``Leaky`` and ``Synaptic`` have, at 16-bit weights and a 24-bit state.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import snntorch
import torch

from spikewright.compiler import CompileOptions, compile_network
from spikewright.files import merge_json
from spikewright.sim.golden import GoldenModel

__all__ = [
    "BAR",
    "FINE",
    "Comparison",
    "cells_of",
    "compare",
    "random_net",
    "record",
    "stays_above",
    "summary",
]

BAR = 0.995
"""Least share of equal entries over all networks."""
SAMPLES, TIMESTEPS = 4, 100
RATE = 0.2
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
        """Share of equal entries."""
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
    """The neurons of a random network, layer by layer."""
    return [part for part in random_net(seed) if isinstance(part, snntorch.SpikingNeuron)]


def stays_above(seed: int) -> bool:
    """Whether a layer resets at once by subtraction.

    Where v is above the threshold even after such a reset, snnTorch takes it back if v does not
    reach twice the threshold in the next timestep; no core has that.
    """
    return any(
        cell.reset_mechanism == "subtract" and not cell.reset_delay for cell in cells_of(seed)
    )


def summary(results: Iterable[Comparison]) -> dict[str, Any]:
    """Shares of all networks' entries that are equal: as they are, and if a side were shifted."""
    networks = list(results)
    entries = sum(each.entries for each in networks)
    equal = 1 - sum(each.wrong for each in networks) / entries
    shifted = 1 - sum(each.shifted for each in networks) / entries
    return {
        "networks": len(networks),
        "entries": entries,
        "spikes": sum(each.spikes for each in networks),
        "equal": equal,
        "equal_if_shifted": shifted,
        "worst_network": min(each.equal for each in networks),
        "equal_in_all": sum(not each.wrong for each in networks),
        "bar": BAR,
        "met": equal >= BAR and equal > shifted,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the networks; 1 if too few entries are equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=100, help="how many, by seed from 0 on")
    parser.add_argument("--out", type=Path, default=Path("build/accuracy.json"))
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results = {seed: compare(seed) for seed in range(chosen.networks)}
    row = summary(results.values())
    others = [result for seed, result in results.items() if not stays_above(seed)]
    if others:
        row["without_immediate_subtraction"] = summary(others)
    merge_json(chosen.out, {"snntorch": row})
    print(
        f"snnTorch: {row['equal']:.2%} of {row['entries']:,} spikes equal over {row['networks']} "
        f"networks, {row['equal_if_shifted']:.2%} if one side were a timestep late; "
        f"bar {BAR:.1%}: {'met' if row['met'] else 'MISSED'}"
    )
    print(f"wrote {chosen.out}")
    return 0 if row["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
