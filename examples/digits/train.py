"""Train the digits network with snnTorch and write it as a NIR graph: ``make train``."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import pairwise

import nir
import numpy as np
import numpy.typing as npt
import snntorch
import torch
from data import PIXELS, TIMESTEPS, Digits, encode, load
from model import GRAPH, SEMANTICS, FloatRun, classify, run_float
from rich.console import Console
from rich.progress import Progress
from snntorch import surrogate
from torch.nn import functional

from spikewright.files import write_whole

__all__ = [
    "DT",
    "Settings",
    "SpikingNetwork",
    "as_input",
    "evaluate",
    "fit",
    "leaky",
    "to_nir",
    "train",
]

DT = 1e-3
"""A timestep is a millisecond; snnTorch knows only beta, so any other would do as well."""
TARGET_ACCURACY = 0.97
TOLERANCE = 1e-5
"""Share of neuron-steps in which NumPy may disagree: float32 sums have no order of their own."""


@dataclass(frozen=True)
class Settings:
    """What was fixed by cross-validation inside the training images, never on the test images."""

    seed: int = 0
    epochs: int = 200
    batch: int = 64
    learning_rate: float = 0.01
    weight_decay: float = 1e-4
    hidden: int = 128
    beta: float = 0.875
    slope: float = 5.0


def leaky(settings: Settings, *, init_hidden: bool = False) -> snntorch.Leaky:
    """The neurons of a layer; with ``init_hidden`` they keep their state themselves."""
    return snntorch.Leaky(
        beta=settings.beta,
        threshold=1.0,
        reset_mechanism="zero",
        reset_delay=False,
        spike_grad=surrogate.fast_sigmoid(settings.slope),
        init_hidden=init_hidden,
    )


class SpikingNetwork(torch.nn.Module):
    """64-128-10, leaky integrate-and-fire, reset to zero in the timestep of the spike.

    The core does the very same in integers: compare, then reset at once, with the hidden layer's
    spikes reaching the output layer in the same timestep. `beta` is a multiple of 1/4096, so the
    decay is exact too, and only weights, biases and thresholds are ever rounded.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.fc1 = torch.nn.Linear(PIXELS, settings.hidden)
        self.hidden = leaky(settings)
        self.fc2 = torch.nn.Linear(settings.hidden, 10)
        self.output = leaky(settings)

    def forward(self, spikes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run ``float32[images, timesteps, 64]``; spikes of the hidden and of the output layer."""
        v_hidden = torch.zeros(len(spikes), self.fc1.out_features)
        v_output = torch.zeros(len(spikes), self.fc2.out_features)
        hidden, output = [], []
        for current in self.fc1(spikes).unbind(dim=1):
            fired, v_hidden = self.hidden(current, v_hidden)
            hidden.append(fired)
            fired, v_output = self.output(self.fc2(fired), v_output)
            output.append(fired)
        return torch.stack(hidden, dim=1), torch.stack(output, dim=1)


def distort(pixels: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Turn, scale and shift images a little, each in its own way; ``float32[images, 64]``."""

    def within(limit: float) -> torch.Tensor:
        return (torch.rand(len(pixels), generator=draw) * 2 - 1) * limit

    angle, scale = within(0.2), 1 + within(0.12)
    cos, sin = scale * torch.cos(angle), torch.sin(angle)
    rows = [torch.stack([cos, -sin, within(0.12)], 1), torch.stack([sin, cos, within(0.12)], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), [len(pixels), 1, 8, 8], False)
    images = functional.grid_sample(pixels.reshape(-1, 1, 8, 8), grid, align_corners=False)
    return images.reshape(-1, PIXELS)


def as_input(pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Spikes of images as the network takes them, ``float32[images, 16, 64]``."""
    return torch.from_numpy(encode(pixels).astype(np.float32))


def train(digits: Digits, settings: Settings, console: Console) -> SpikingNetwork:
    """Train a new network on all of these images."""
    torch.manual_seed(settings.seed)
    network = SpikingNetwork(settings)
    fit(network, lambda spikes: network(spikes)[1], digits, settings, console)
    return network


def fit(
    network: torch.nn.Module,
    output_of: Callable[[torch.Tensor], torch.Tensor],
    digits: Digits,
    settings: Settings,
    console: Console,
) -> None:
    """Minimise the cross entropy of the output's spike counts, a fixed number of epochs."""
    draw = torch.Generator().manual_seed(settings.seed)
    pixels = torch.from_numpy(digits.pixels.astype(np.float32))
    labels = torch.from_numpy(digits.labels)
    optimizer = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    steps = settings.epochs * -(-len(digits) // settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=steps
    )
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("Training", total=settings.epochs)
        for epoch in range(1, settings.epochs + 1):
            losses = []
            for chosen in torch.randperm(len(digits), generator=draw).split(settings.batch):
                distorted = distort(pixels[chosen], draw).round().clamp(0, 16)
                output = output_of(as_input(distorted.numpy().astype(np.uint8)))
                loss = functional.cross_entropy(output.sum(dim=1), labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
            progress.advance(task)
            if epoch % 20 == 0:
                console.print(f"epoch {epoch:3d} of {settings.epochs}: loss {np.mean(losses):.4f}")


def to_nir(network: SpikingNetwork) -> nir.NIRGraph:
    """Export by hand: ``snntorch.export_nir`` fixes dt at 1e-4 s and gives no neuron a shape.

    NIR's LIF is ``tau dv/dt = v_leak - v + r i``; a forward Euler step is snnTorch's
    ``v = beta v + i`` if ``tau = dt / (1 - beta)`` and ``r = tau / dt``.
    """

    def affine(layer: torch.nn.Linear) -> nir.Affine:
        return nir.Affine(layer.weight.detach().numpy(), layer.bias.detach().numpy())

    def lif(layer: snntorch.Leaky, count: int) -> nir.LIF:
        every = np.ones(count, np.float32)
        tau = DT / (1 - float(layer.beta))
        return nir.LIF(
            tau=every * np.float32(tau),
            r=every * np.float32(tau / DT),
            v_leak=every * 0,
            v_threshold=every * float(layer.threshold),
            v_reset=every * 0,
        )

    nodes = {
        "input": nir.Input(input_type=np.array([PIXELS])),
        "fc1": affine(network.fc1),
        "hidden": lif(network.hidden, network.fc1.out_features),
        "fc2": affine(network.fc2),
        "output": lif(network.output, 10),
        "digit": nir.Output(output_type=np.array([10])),
    }
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)))


def evaluate(network: SpikingNetwork, digits: Digits) -> FloatRun:
    """Run images through snnTorch."""
    with torch.no_grad():
        hidden, output = network(as_input(digits.pixels))
    return FloatRun(hidden.numpy() > 0, output.numpy() > 0)


def main() -> int:
    """Train, export, and check the file: NumPy must see in it what snnTorch saw."""
    console = Console(highlight=False)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    settings = Settings()
    training, test = load()
    network = train(training, settings, console).eval()
    theirs = evaluate(network, test)
    accuracy = float((classify(theirs.output) == test.labels).mean())
    candidate = GRAPH.with_stem("candidate")
    nir.write(candidate, to_nir(network))
    ours = run_float(encode(test.pixels), nir.read(candidate), DT)
    wrong = (ours.hidden != theirs.hidden).sum() + (ours.output != theirs.output).sum()
    steps = theirs.hidden.size + theirs.output.size
    console.print(f"test accuracy {accuracy:.2%} on {len(test)} images")
    console.print(f"NumPy and snnTorch differ in {wrong} spikes of {steps:,} neuron-steps")
    if wrong > TOLERANCE * steps or accuracy < TARGET_ACCURACY:
        console.print(f"Not good enough: see {candidate.name}, {GRAPH.name} is as it was.")
        return 1
    candidate.replace(GRAPH)
    described = {
        "dt": DT,
        "reset": "zero",
        "reset_delay": False,
        "discretization": "euler",
        "timesteps": TIMESTEPS,
        "readout": "most output spikes, the lowest digit of a tie",
        "float_accuracy": accuracy,
        "training": asdict(settings)
        | {name: version(name) for name in ("torch", "snntorch", "scikit-learn", "numpy")},
    }
    write_whole(SEMANTICS, (json.dumps(described, indent=2) + "\n").encode())
    console.print(f"wrote {GRAPH.name} and {SEMANTICS.name} in {GRAPH.parent}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
