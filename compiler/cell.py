"""One neuron of an image by itself, its figures in the model's units beside the raw ones."""

from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spikewright.fixed import DECAY_ONE, signed_range
from spikewright.image import CoreImage, Population
from spikewright.sim.update import Neurons, fire, membrane_potential, synaptic_current

__all__ = ["Cell", "Constant", "Moment"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Constant:
    """A parameter of the neuron, in the model's units and as the image holds it."""

    name: str
    value: float
    raw: int


@dataclass(frozen=True, slots=True)
class Moment:
    """One timestep; potentials and sums in the model's units, and raw.

    Attributes
    ----------
    timestep : int
    arrived : int
        Spikes that arrived.
    input, input_raw : float and int
        Sum of their weights; raw in weight units.
    i, i_raw : float and int
        Synaptic current after it.
    v, v_raw : float and int
        Membrane potential that met the threshold, before the reset.
    v_after, v_after_raw : float and int
        The same after the reset.
    v_threshold : float
    spike : bool
    refractory : bool
        v was held, whatever arrived.
    saturated : bool
        i or v was clamped.
    """

    timestep: int
    arrived: int
    input: float
    input_raw: int
    i: float
    i_raw: int
    v: float
    v_raw: int
    v_after: float
    v_after_raw: int
    v_threshold: float
    spike: bool
    refractory: bool
    saturated: bool


class Cell:
    """A neuron of an image, to be run by itself.

    Parameters
    ----------
    image : CoreImage
    population : Population
    index : int
        Of the neuron within it.
    """

    def __init__(self, image: CoreImage, population: Population, index: int) -> None:
        self.slot = population.first + index
        self.neurons = Neurons.of(image, slice(self.slot, self.slot + 1))
        self.spec = image.spec
        manifest = image.manifest
        self.scale = _entry(manifest.scales, population.name, index, 1.0)
        self.leak = _entry(manifest.semantics.get("v_leak"), population.name, index, 0.0)
        self.unit = self.scale / 2.0**self.spec.fraction_bits
        self.can_spike = int(self.neurons.v_threshold[0]) < signed_range(self.spec.state_bits)[1]

    def real_v(self, raw: int) -> float:
        """A membrane potential in the model's units."""
        return raw * self.unit + self.leak

    def constants(self) -> tuple[Constant, ...]:
        """Its parameters."""
        raw = {name: int(getattr(self.neurons, name)[0]) for name in Neurons.__dataclass_fields__}
        reset = raw["reset"]
        return (
            Constant("a_mem", raw["a_mem"] / DECAY_ONE, raw["a_mem"]),
            Constant("a_syn", raw["a_syn"] / DECAY_ONE, raw["a_syn"]),
            Constant("bias", raw["bias"] * self.unit, raw["bias"]),
            Constant("v_threshold", self.real_v(raw["v_threshold"]), raw["v_threshold"]),
            Constant("reset", self.real_v(reset), reset)
            if raw["reset_to"]
            else Constant("reset_by", reset * self.unit, reset),
            Constant("refractory", raw["refractory"], raw["refractory"]),
        )

    def uninhibited(self) -> "Cell":
        """The same neuron without a bias that pulls it down."""
        other = copy(self)
        other.neurons = replace(self.neurons, bias=self.neurons.bias.clip(min=0))
        return other

    def replay(self, acc: Ints, arrived: Ints) -> tuple[Moment, ...]:
        """Run it from a cleared state.

        Parameters
        ----------
        acc : int64[timesteps]
            Sums of the weights that arrive.
        arrived : int64[timesteps]
            Spikes that arrive.
        """
        v, i, held = (np.zeros(1, np.int64) for _ in range(3))
        threshold = self.real_v(int(self.neurons.v_threshold[0]))
        moments = []
        for t, total in enumerate(acc):
            i, clamped_i = synaptic_current(i, total[None], self.neurons, self.spec)
            wide, clamped_v = membrane_potential(v, i, self.neurons, self.spec)
            refractory = bool(held[0])
            met = v if refractory else wide
            after, spikes = fire(met, self.neurons)
            spike = bool(spikes[0]) and not refractory
            v = after if spike else met
            held = self.neurons.refractory if spike else np.maximum(held - 1, 0)
            moments.append(
                Moment(
                    timestep=t,
                    arrived=int(arrived[t]),
                    input=int(total) * self.scale,
                    input_raw=int(total),
                    i=int(i[0]) * self.unit,
                    i_raw=int(i[0]),
                    v=self.real_v(int(met[0])),
                    v_raw=int(met[0]),
                    v_after=self.real_v(int(v[0])),
                    v_after_raw=int(v[0]),
                    v_threshold=threshold,
                    spike=spike,
                    refractory=refractory,
                    saturated=bool(clamped_i[0] or (clamped_v[0] and not refractory)),
                )
            )
        return tuple(moments)


def _entry(values: object, name: str, index: int, default: float) -> float:
    """``values[name][index]``, if a manifest has it: that part of one is free-form."""
    row = values.get(name) if isinstance(values, dict) else None
    value = row[index] if isinstance(row, list) and index < len(row) else None
    return float(value) if isinstance(value, (int, float)) else default
