"""A recurrent network that learns a delay for each synapse, in torch, and its way to NIR.

Source: coincidence of delayed spikes as a sense of direction: L. A. Jeffress, A place theory of
sound localization, J. Comp. Physiol. Psychol. 41, 1948. Delays learned together with the weights:
I. Hammouamri et al., arXiv:2306.17670, who move one narrowing Gaussian a synapse; here each synapse
chooses among all delays, by a softmax that hardens, as in arXiv:1611.01144 without its noise.
"""

from dataclasses import dataclass
from typing import Literal

import nir
import numpy as np
import numpy.typing as npt
import torch
from ears import AXONS, LAGS, draw
from snntorch import surrogate
from torch import Tensor
from torch.nn import functional

__all__ = ["DT", "DelayedLinear", "Delays", "Network", "Settings", "classify", "to_nir", "train"]

DT = 1e-3
"""A timestep is a millisecond; the network counts in timesteps, so any other would do as well."""

Delays = Literal["learned", "random", "none"]


@dataclass(frozen=True)
class Settings:
    """The same for all kinds of delays, but for ``delays`` itself.

    Attributes
    ----------
    delays : {"learned", "random", "none"}
        Learned with the weights; as they were drawn at first; or one timestep in the recurrence
        and none elsewhere.
    slots : int
        Delays that a synapse can have, one timestep apart.
    temperature : float
        Of the softmax over delays when training ends to choose them. It starts at 1 and falls by
        the same factor in each epoch of the first 70 %; after that each synapse has one delay.
    """

    seed: int = 0
    delays: Delays = "learned"
    epochs: int = 40
    sounds: int = 2048
    batch: int = 128
    learning_rate: float = 0.05
    delay_rate: float = 0.5
    temperature: float = 0.1
    hidden: int = 32
    slots: int = 13
    beta: float = 0.5
    beta_out: float = 0.875
    slope: float = 5.0

    def temperature_at(self, epoch: int) -> float:
        """Temperature in an epoch; 0 for delays that are chosen."""
        done = epoch / (0.7 * self.epochs)
        return self.temperature**done if self.delays == "learned" and done < 1 else 0.0


class DelayedLinear(torch.nn.Module):
    """Synapses with a weight and a delay each.

    Parameters
    ----------
    size_in, size_out, slots : int
    spread : float
        Weights are drawn from ``-spread`` to ``spread``.
    learned : bool
        Whether the delays are.

    Attributes
    ----------
    weight : float32[out, in]
    preference : float32[out, in, slots]
        The delay of a synapse is the one with the largest.
    """

    def __init__(
        self, size_in: int, size_out: int, slots: int, spread: float, learned: bool
    ) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(size_out, size_in).uniform_(-spread, spread))
        preference = torch.randn(size_out, size_in, slots)
        self.preference = torch.nn.Parameter(preference, requires_grad=learned)

    @property
    def slots(self) -> int:
        """Delays to choose from."""
        return int(self.preference.shape[2])

    @property
    def delay(self) -> Tensor:
        """Delays [timesteps], ``int64[out, in]``."""
        return self.preference.argmax(dim=2)

    def taps(self, temperature: float) -> Tensor:
        """Matrix from the last ``slots`` timesteps, latest first, ``float32[slots * in, out]``."""
        if temperature:
            share = torch.softmax(self.preference / temperature, dim=2)
        else:
            share = functional.one_hot(self.delay, self.slots).float()
        return (self.weight[..., None] * share).permute(2, 1, 0).flatten(0, 1)


class Network(torch.nn.Module):
    """16 axons, a recurrent hidden layer and an output neuron a class, all LIF, reset to zero.

    Timestep by timestep what a core does: ``v = beta v + i``, a spike if ``v > 1``, and then
    ``v = 0`` at once. A spike of the hidden layer comes back to it one timestep later, and by its
    synapse's delay besides. Both betas are multiples of 1/4096, so only weights and biases are ever
    rounded.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        hidden, learned = settings.hidden, settings.delays == "learned"
        slots = 1 if settings.delays == "none" else settings.slots
        self.settings = settings
        self.ears = DelayedLinear(AXONS, hidden, slots, 0.75, learned)
        self.back = DelayedLinear(hidden, hidden, slots, 0.1, learned)
        self.bias = torch.nn.Parameter(torch.zeros(hidden))
        self.output = torch.nn.Linear(hidden, len(LAGS))
        self.fire = surrogate.fast_sigmoid(settings.slope)

    def forward(self, spikes: Tensor, temperature: float = 0.0) -> Tensor:
        """Run ``float32[sounds, timesteps, 16]`` from a cleared state; spikes of the output."""
        slots, timesteps = self.ears.slots, spikes.shape[1]
        padded = functional.pad(spikes, (0, 0, slots - 1, 0))
        late = [padded[:, slots - 1 - d : slots - 1 - d + timesteps] for d in range(slots)]
        current = torch.cat(late, dim=2) @ self.ears.taps(temperature) + self.bias
        hidden = self._run(current, self.settings.beta, self.back.taps(temperature))
        return self._run(self.output(hidden), self.settings.beta_out)

    def _run(self, current: Tensor, beta: float, back: Tensor | None = None) -> Tensor:
        """Spikes of a layer; both tensors are ``[sounds, timesteps, n]``."""
        v = torch.zeros_like(current[:, 0])
        past = [v] * self.back.slots
        fired = []
        for i in current.unbind(dim=1):
            v = beta * v + (i if back is None else torch.addmm(i, torch.cat(past, dim=1), back))
            spikes = self.fire(v - 1)
            v = v * (1 - spikes.detach())
            past = [spikes, *past[:-1]]
            fired.append(spikes)
        return torch.stack(fired, dim=1)


def train(settings: Settings) -> Network:
    """Train a new network, on sounds that are drawn anew in each epoch."""
    torch.manual_seed(settings.seed)
    network = Network(settings)
    preferences = [network.ears.preference, network.back.preference]
    others = [p for name, p in network.named_parameters() if not name.endswith("preference")]
    groups = [{"params": others, "lr": settings.learning_rate}]
    if settings.delays == "learned":
        groups.append({"params": preferences, "lr": settings.delay_rate})
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [group["lr"] for group in groups],
        total_steps=settings.epochs * -(-settings.sounds // settings.batch),
    )
    for epoch in range(settings.epochs):
        sounds = draw(settings.sounds, [settings.seed, epoch])
        spikes = torch.from_numpy(sounds.spikes.astype(np.float32))
        labels = torch.from_numpy(sounds.labels)
        for chosen in torch.arange(len(sounds)).split(settings.batch):
            output = network(spikes[chosen], settings.temperature_at(epoch))
            loss = functional.cross_entropy(output.sum(dim=1), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network


def classify(output: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Class with the most spikes, the first of a tie.

    Parameters
    ----------
    output : bool[sounds, timesteps, classes]

    Returns
    -------
    int64[sounds]
    """
    read: npt.NDArray[np.int64] = output.sum(axis=1).argmax(axis=1)
    return read


def to_nir(network: Network) -> nir.NIRGraph:
    """Write each delay that occurs as a Delay with the weights of its synapses behind it.

    A NIR Delay stands before a neuron's weights, so ``delay3`` holds up all axons by 3 timesteps,
    and ``ears3`` has the weights of synapses of that delay and zeros else. The compiler makes of
    them one synapse each.
    """
    hidden, settings = len(network.bias), network.settings
    nodes = {
        "sound": nir.Input(input_type=np.array([AXONS])),
        "bias": nir.Affine(np.zeros((hidden, AXONS)), network.bias.detach().numpy()),
        "hidden": _lif(settings.beta, hidden),
        "read": nir.Affine(*(p.detach().numpy() for p in network.output.parameters())),
        "output": _lif(settings.beta_out, len(LAGS)),
        "direction": nir.Output(output_type=np.array([len(LAGS)])),
    }
    edges = [("sound", "bias"), ("bias", "hidden")]
    edges += [("hidden", "read"), ("read", "output"), ("output", "direction")]
    for source, name, layer, least in (
        ("sound", "ears", network.ears, 0),
        ("hidden", "back", network.back, 1),
    ):
        weight, delay = layer.weight.detach().numpy(), layer.delay.numpy() + least
        for steps in np.unique(delay).tolist():
            late, synapses = f"{name}_delay{steps}", f"{name}{steps}"
            nodes[late] = nir.Delay(np.full(weight.shape[1], steps * DT))
            nodes[synapses] = nir.Linear(np.where(delay == steps, weight, 0))
            edges += [(source, late), (late, synapses), (synapses, "hidden")]
    return nir.NIRGraph(nodes, edges, type_check=False)


def _lif(beta: float, count: int) -> nir.LIF:
    """Neurons of ``v = beta v + i``: an Euler step where ``tau = DT / (1 - beta)``, ``r = tau/DT``.

    The threshold is 1, and the reset leads to 0.
    """
    every = np.ones(count)
    tau = DT / (1 - beta)
    return nir.LIF(
        tau=every * tau, r=every * tau / DT, v_leak=every * 0, v_threshold=every, v_reset=every * 0
    )
