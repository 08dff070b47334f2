"""Golden model: the timestep semantics in NumPy, equal to the RTL in every bit and every cycle."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from spikewright.errors import SpikewrightError
from spikewright.fixed import decay, saturate
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec
from spikewright.target import Progress, RunResult, check_spikes

from .fanin import FanIn

__all__ = [
    "GoldenModel",
    "GoldenRun",
    "GoldenTarget",
    "Neurons",
    "StepResult",
    "fire",
    "membrane_potential",
    "synaptic_current",
    "update",
]

Array = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

BATCH_NEURONS = 1 << 12
"""Neurons times samples that a target runs at once: enough to outweigh NumPy's calls, few enough
for the cache and for BLAS to stay on one thread (on two busy cores, two threads take 4 times as
long for such small products)."""


# One neuron's update. All of these work on whole arrays, elementwise; the last axis is neurons.


@dataclass(frozen=True)
class Neurons:
    """Parameters of some neurons, raw integers as in :class:`CoreImage`, each ``int64[n]``."""

    a_mem: Array
    a_syn: Array
    bias: Array
    v_threshold: Array
    reset: Array
    reset_to: Array
    refractory: Array

    @classmethod
    def of(cls, image: CoreImage, where: slice) -> "Neurons":
        """Those of an image's neurons in the range ``where``."""
        return cls(*(image.arrays[f.name][where].astype(np.int64) for f in fields(cls)))


def synaptic_current(i: Array, acc: Array, neurons: Neurons, spec: CoreSpec) -> tuple[Array, Bools]:
    """``i = sat(decay(i, a_syn) + (acc << fraction_bits) + bias)``, and where ``sat`` clamped."""
    wide = decay(i, neurons.a_syn) + (acc << spec.fraction_bits) + neurons.bias
    i = saturate(wide, spec.state_bits)
    return i, i != wide


def membrane_potential(v: Array, i: Array, neurons: Neurons, spec: CoreSpec) -> tuple[Array, Bools]:
    """``v = sat(decay(v, a_mem) + i)``, and where ``sat`` clamped."""
    wide = decay(v, neurons.a_mem) + i
    v = saturate(wide, spec.state_bits)
    return v, v != wide


def fire(v: Array, neurons: Neurons) -> tuple[Array, Bools]:
    """Compare ``v > v_threshold``, strictly; v after the reset of those that spike, and spikes."""
    spikes = v > neurons.v_threshold
    after = np.where(neurons.reset_to, neurons.reset, v - neurons.reset)
    return np.where(spikes, after, v), spikes


def update(
    v: Array, i: Array, refractory: Array, acc: Array, neurons: Neurons, spec: CoreSpec
) -> tuple[Array, Array, Array, Bools, Bools]:
    """Update neurons once.

    Parameters
    ----------
    v, i, refractory : int64[..., n]
        State that the last timestep left.
    acc : int64[..., n]
        Weights that arrived for this timestep, summed.
    neurons : Neurons
        Their parameters.
    spec : CoreSpec
        Gives ``state_bits`` and ``fraction_bits``.

    Returns
    -------
    v, i, refractory : int64[..., n]
        New state.
    spikes : bool[..., n]
    clamped : bool[..., n]
        Where i or v saturated.

    Source: design section 3.
    """
    i, clamped_i = synaptic_current(i, acc, neurons, spec)
    held = refractory > 0
    updated, clamped_v = membrane_potential(v, i, neurons, spec)
    after, spikes = fire(updated, neurons)
    spikes &= ~held
    v = np.where(held, v, after)
    refractory = np.where(spikes, neurons.refractory, refractory - held)
    return v, i, refractory, spikes, clamped_i | (clamped_v & ~held)


@dataclass(frozen=True)
class _Level:
    """One level: its place, its parameters and the synapses integrated just before its update."""

    where: slice
    neurons: Neurons
    fan_in: FanIn


def _levels(image: CoreImage) -> list[_Level]:
    """The levels in order; before the first, axons and the last level's neurons are integrated."""
    spec = image.spec
    ends = np.cumsum(image.level_groups, dtype=np.int64) * spec.lanes
    starts = ends - image.level_groups.astype(np.int64) * spec.lanes
    axons, neurons = np.arange(spec.axons), np.arange(spec.axons, spec.sources)
    sources, updated = np.concatenate([axons, neurons[starts[-1] : ends[-1]]]), 0
    levels = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        where = slice(start, end)
        fan_in = FanIn(image, sources, updated)
        levels.append(_Level(where, Neurons.of(image, where), fan_in))
        sources, updated = neurons[where], end
    return levels


# The model


@dataclass(frozen=True)
class StepResult:
    """What one timestep did.

    Attributes
    ----------
    spikes : bool[samples, neurons]
    cycles : int64[samples]
        Clock cycles that the RTL takes for it.
    synaptic_operations : int64[samples]
        Deliveries over a nonzero weight.
    saturations : int64[samples]
        Neuron updates in which v or i was clamped.
    consumed : int64[samples, neurons]
        The accumulator that each neuron's update consumed, in weight units.
    """

    spikes: Bools
    cycles: Array
    synaptic_operations: Array
    saturations: Array
    consumed: Array


@dataclass(frozen=True)
class GoldenRun:
    """What a run of several timesteps did.

    Attributes
    ----------
    spikes : bool[samples, timesteps, neurons]
    cycles, synaptic_operations, saturations : int64[samples, timesteps]
        As in :class:`StepResult`.
    v : int32[samples, timesteps, neurons] or None
        Membrane potentials after each timestep, if asked for.
    """

    spikes: Bools
    cycles: Array
    synaptic_operations: Array
    saturations: Array
    v: npt.NDArray[np.int32] | None


class GoldenModel:
    """A core with an image in it, many samples at once, each with a state of its own.

    Bit-exact with the RTL in every register, and its ``cycles`` are the RTL's. The state arrays may
    be written between timesteps; timesteps change them in place.

    Parameters
    ----------
    image : CoreImage
    samples : int
        Independent copies of the state.

    Attributes
    ----------
    v, i, refractory : int64[samples, neurons]
        Membrane potential, synaptic current, and timesteps left without membrane update.
    acc : int64[samples, delay_slots, neurons]
        Accumulators; slot ``t % delay_slots`` is the one that timestep t consumes.
    timestep : int
        Timesteps since the state was cleared.
    """

    def __init__(self, image: CoreImage, samples: int = 1) -> None:
        self.image = image
        self._levels = _levels(image)
        self.clear(samples)

    def clear(self, samples: int | None = None) -> None:
        """Clear state, accumulators and pending spikes, and go back to timestep 0.

        Parameters
        ----------
        samples : int, optional
            Go on with another number of samples.
        """
        if samples is not None:
            if samples < 1:
                raise SpikewrightError(
                    f"Samples must be at least 1, not {samples}.",
                    hint="Give as many as the input spikes have; the default is 1.",
                )
            self.samples = samples
        spec = self.image.spec
        shape = (self.samples, spec.neurons)
        self.v, self.i, self.refractory = (np.zeros(shape, np.int64) for _ in range(3))
        self.acc = np.zeros((self.samples, spec.delay_slots, spec.neurons), np.int64)
        self.timestep = 0
        last = self._levels[-1].where
        self._pending = np.zeros((self.samples, last.stop - last.start), np.bool_)

    def step(self, axon_spikes: Bools) -> StepResult:
        """Run one timestep.

        Parameters
        ----------
        axon_spikes : bool[samples, axons]
            Axons that the spec has beyond these stay silent.

        Raises
        ------
        SpikewrightError
            Another dtype or number of samples, or more axons than the spec has.
        """
        spec, image = self.image.spec, self.image
        check_spikes(axon_spikes, spec, "[samples, axons]", self.samples)
        axons = np.zeros((self.samples, spec.axons), np.bool_)
        axons[:, : axon_spikes.shape[1]] = axon_spikes
        spikes = np.zeros((self.samples, spec.neurons), np.bool_)
        consumed = np.zeros((self.samples, spec.neurons), np.int64)
        operations, saturations = np.zeros((2, self.samples), np.int64)
        idle = spec.timestep_overhead + image.groups_used + spec.update_latency
        cycles = np.full(self.samples, idle, np.int64)
        pending = np.concatenate([axons, self._pending], axis=1)
        overhead = spec.integrate_overhead
        slot = self.timestep % spec.delay_slots
        for level in self._levels:
            row_cycles, delivered = level.fan_in.integrate(self.acc, pending, self.timestep)
            cycles += row_cycles + overhead * pending.any(axis=1)
            operations += delivered
            at = (slice(None), level.where)
            consumed[at] = self.acc[:, slot, level.where]
            self.acc[:, slot, level.where] = 0
            self.v[at], self.i[at], self.refractory[at], pending, clamped = update(
                self.v[at], self.i[at], self.refractory[at], consumed[at], level.neurons, spec
            )
            spikes[at] = pending
            saturations += clamped.sum(axis=1)
            overhead = spec.update_latency + spec.integrate_overhead
        self._pending = pending
        self.timestep += 1
        return StepResult(spikes, cycles, operations, saturations, consumed)

    def run(self, spikes: Bools, record_v: bool = False) -> GoldenRun:
        """Run timesteps from the present state.

        Parameters
        ----------
        spikes : bool[samples, timesteps, axons]
            Axons that the spec has beyond these stay silent.
        record_v : bool
            Give back membrane potentials too.

        Raises
        ------
        SpikewrightError
            Another dtype or number of samples, or more axons than the spec has.
        """
        spec = self.image.spec
        check_spikes(spikes, spec, "[samples, timesteps, axons]", self.samples)
        timesteps = spikes.shape[1]
        fired = np.empty((self.samples, timesteps, spec.neurons), np.bool_)
        v = np.empty(fired.shape, np.int32) if record_v else None
        cycles, operations, saturations = np.empty((3, self.samples, timesteps), np.int64)
        for t in range(timesteps):
            result = self.step(spikes[:, t])
            fired[:, t] = result.spikes
            cycles[:, t] = result.cycles
            operations[:, t] = result.synaptic_operations
            saturations[:, t] = result.saturations
            if v is not None:
                v[:, t] = self.v
        return GoldenRun(fired, cycles, operations, saturations, v)


class GoldenTarget:
    """The golden model as a :class:`spikewright.target.Target`; takes images of any spec."""

    name = "golden"

    def __init__(self) -> None:
        self._model: GoldenModel | None = None

    def load(self, image: CoreImage) -> None:
        """Load an image."""
        self._model = GoldenModel(image)

    def run(
        self, spikes: Bools, *, record_v: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Run samples, each from a cleared state; see :meth:`spikewright.target.Target.run`.

        Raises
        ------
        SpikewrightError
            No image is loaded, or the spikes have another dtype, shape or too many axons.
        """
        model = self._model
        if model is None:
            raise SpikewrightError("No image is loaded.", hint="Call load(image) before run().")
        spec = model.image.spec
        check_spikes(spikes, spec, "[samples, timesteps, axons]")
        samples, timesteps, _ = spikes.shape
        fired = np.empty((samples, timesteps, spec.neurons), np.bool_)
        cycles = np.empty((samples, timesteps), np.int64)
        v = np.empty(fired.shape, np.int32) if record_v else None
        size = max(1, BATCH_NEURONS // spec.neurons)
        for first in range(0, samples, size):
            batch = slice(first, min(first + size, samples))
            count = batch.stop - batch.start
            model.clear(count)
            run = model.run(spikes[batch], record_v)
            fired[batch], cycles[batch] = run.spikes, run.cycles
            if v is not None and run.v is not None:
                v[batch] = run.v
            if progress is not None:
                progress(count)
        return RunResult(fired, cycles, cycles.sum(axis=1), v)

    def close(self) -> None:
        """Forget the image."""
        self._model = None
