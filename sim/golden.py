"""Golden model: the timestep semantics in NumPy, equal to the RTL in every bit and every cycle."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikewright.errors import SpikewrightError
from spikewright.fixed import decay, saturate
from spikewright.image import CoreImage
from spikewright.target import Progress, RunResult, check_rewards, check_spikes, not_plastic

from .fanin import FanIn, integrate_rows
from .plasticity import Plasticity, trace_after, trace_step
from .update import Neurons, update_level

__all__ = ["GoldenModel", "GoldenRun", "GoldenTarget", "StepResult"]

Array = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

BATCH_NEURONS = 1 << 12
"""Neurons times samples that a target runs at once: enough to outweigh NumPy's calls, few enough
for the cache and for BLAS to stay on one thread (on two busy cores, two threads take 4 times as
long for such small products)."""


@dataclass(frozen=True)
class _Level:
    """One level: its place, its parameters and the synapses integrated just before its update."""

    where: slice
    neurons: Neurons
    sources: Array
    updated: int
    fan_in: FanIn
    winners: int


def _levels(image: CoreImage, weights: Array) -> list[_Level]:
    """The levels in order; before the first, axons and the last level's neurons are integrated."""
    spec = image.spec
    winners = np.zeros(len(image.level_groups), int)
    if image.level_winners is not None:
        winners += image.level_winners
    ends = np.cumsum(image.level_groups, dtype=np.int64) * spec.lanes
    starts = ends - image.level_groups.astype(np.int64) * spec.lanes
    axons, neurons = np.arange(spec.axons), np.arange(spec.axons, spec.sources)
    sources, updated = np.concatenate([axons, neurons[starts[-1] : ends[-1]]]), 0
    levels = []
    for start, end, most in zip(starts.tolist(), ends.tolist(), winners.tolist(), strict=True):
        where = slice(start, end)
        fan_in = FanIn(image, weights, sources, updated)
        levels.append(_Level(where, Neurons.of(image, where), sources, updated, fan_in, most))
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
    y : int64[samples, neurons]
        Post traces; they stay 0 unless the core learns.
    h : int64[samples, neurons]
        Threshold offsets; 0 without ``adaptive_threshold``. Not cleared.
    plasticity : Plasticity or None
        What learns; None without plasticity.
    """

    def __init__(self, image: CoreImage, samples: int = 1) -> None:
        self.image = image
        self.plasticity = Plasticity(image) if image.spec.plastic else None
        self._levels = _levels(image, image.weights)
        self._is_stale = False
        self._offsets = np.zeros(image.spec.neurons, np.int64)
        if image.h is not None:
            self._offsets += image.h
        self.clear(samples)

    def clear(self, samples: int | None = None) -> None:
        """Clear state, accumulators, traces and pending spikes, and go back to timestep 0.

        What was learned stays: weights, eligibilities, threshold offsets, random register.

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
        self.v, self.i, self.refractory, self.y = (np.zeros(shape, np.int64) for _ in range(4))
        self.h = np.broadcast_to(self._offsets, shape).copy()
        self.acc = np.zeros((self.samples, spec.delay_slots, spec.neurons), np.int64)
        self.timestep = 0
        last = self._levels[-1].where
        self._pending = np.zeros((self.samples, last.stop - last.start), np.bool_)
        if self.plasticity is not None:
            self.plasticity.clear()

    def learned_image(self) -> CoreImage:
        """The image with all that was learned since in it; runs and learns on where this stands.

        Raises
        ------
        SpikewrightError
            The spec has no plasticity.
        """
        if self.plasticity is None:
            raise not_plastic()
        return self.plasticity.learned(self.h[0] if self.image.h is not None else None)

    def step(self, axon_spikes: Bools, *, learn: bool = False, reward: int = 0) -> StepResult:
        """Run one timestep.

        Parameters
        ----------
        axon_spikes : bool[samples, axons]
            Axons that the spec has beyond these stay silent.
        learn : bool
            Let weights, traces and threshold offsets change; one sample at a time.
        reward : int
            Q1.6, -128 to 127; of use with a spec that has ``reward``.

        Raises
        ------
        SpikewrightError
            Another dtype or number of samples, more axons than the spec has, or learning without
            plasticity or with several samples.
        """
        spec, image = self.image.spec, self.image
        check_spikes(axon_spikes, spec, "[samples, axons]", self.samples)
        self._prepare(learn)
        axons = np.zeros((self.samples, spec.axons), np.bool_)
        axons[:, : axon_spikes.shape[1]] = axon_spikes
        spikes = np.zeros((self.samples, spec.neurons), np.bool_)
        consumed = np.zeros((self.samples, spec.neurons), np.int64)
        operations, saturations = np.zeros((2, self.samples), np.int64)
        idle = spec.timestep_overhead + spec.update_latency
        idle += image.groups_used * spec.update_cycles
        cycles = np.full(self.samples, idle, np.int64)
        pending = np.concatenate([axons, self._pending], axis=1)
        overhead = spec.integrate_overhead
        slot = self.timestep % spec.delay_slots
        for level in self._levels:
            row_cycles, delivered = self._integrate(level, pending, learn)
            cycles += row_cycles + overhead * pending.any(axis=1)
            operations += delivered
            at = (slice(None), level.where)
            consumed[at] = self.acc[:, slot, level.where]
            self.acc[:, slot, level.where] = 0
            pending, clamped, passes = self._update(level, consumed[at], learn)
            spikes[at] = pending
            saturations += clamped.sum(axis=1)
            parts = (level.where.stop - level.where.start) // spec.update_lanes
            cycles += passes * (parts + spec.update_latency)
            overhead = spec.update_latency + spec.integrate_overhead
        if learn and self.plasticity is not None:
            passed = self.plasticity.post_events(spikes[0], reward)
            cycles += passed + spec.learn_overhead * (passed > 0)
            self._is_stale = True
        self._pending = pending
        self.timestep += 1
        return StepResult(spikes, cycles, operations, saturations, consumed)

    def _prepare(self, learn: bool) -> None:
        """Check that the core can learn, or take what it learned into the matrices."""
        if learn:
            if self.plasticity is None:
                raise not_plastic()
            if self.samples != 1:
                raise SpikewrightError(
                    f"Learning takes one sample at a time, not {self.samples}.",
                    hint="Call clear(1) first: each sample changes the weights that the next has.",
                )
        elif self._is_stale and self.plasticity is not None:
            self._levels = _levels(self.image, self.plasticity.weights)
            self._is_stale = False

    def _integrate(self, level: _Level, pending: Bools, learn: bool) -> tuple[Array, Array]:
        """Deliver the pending sources' spikes; cycles of their rows and synaptic operations."""
        if not learn or self.plasticity is None:
            return level.fan_in.integrate(self.acc, pending, self.timestep)
        sources = level.sources[pending[0]]
        weights = self.plasticity.weights
        result = integrate_rows(
            self.acc[0], self.image, weights, sources, level.updated, self.timestep
        )
        self.plasticity.pre_events(sources, self.y[0])
        return result

    def _update(self, level: _Level, acc: Array, learn: bool) -> tuple[Bools, Bools, Array]:
        """Update a level: its spikes, where i or v clamped, and passes over it beyond the first."""
        spec, at = self.image.spec, (slice(None), level.where)
        h = self.h[at]
        self.v[at], self.i[at], self.refractory[at], spikes, clamped, candidates = update_level(
            self.v[at], self.i[at], self.refractory[at], acc, level.neurons, spec, h, level.winners
        )
        passes = np.zeros(self.samples, np.int64)
        if level.winners:
            passes = np.minimum(candidates, level.winners - 1) + 1
        if learn and self.plasticity is not None and self.image.rule is not None:
            rule = self.image.rule
            y = trace_step(self.y[at], spikes, rule.post_step, rule, spec)
            self.y[at] = trace_after(y, rule.a_post, spec)
            if self.image.h is not None and self.image.h_step is not None:
                grown = decay(h, rule.a_h) + spikes * self.image.h_step[level.where]
                self.h[at] = saturate(grown, spec.state_bits)
                self._offsets = self.h[0]
        return spikes, clamped, passes

    def run(
        self,
        spikes: Bools,
        record_v: bool = False,
        *,
        learn: bool = False,
        rewards: Array | None = None,
    ) -> GoldenRun:
        """Run timesteps from the present state.

        Parameters
        ----------
        spikes : bool[samples, timesteps, axons]
            Axons that the spec has beyond these stay silent.
        record_v : bool
            Give back membrane potentials too.
        learn : bool
            As for :meth:`step`.
        rewards : int64[timesteps], optional
            As for :meth:`step`.

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
            reward = 0 if rewards is None else int(rewards[t])
            result = self.step(spikes[:, t], learn=learn, reward=reward)
            fired[:, t] = result.spikes
            cycles[:, t] = result.cycles
            operations[:, t] = result.synaptic_operations
            saturations[:, t] = result.saturations
            if v is not None:
                v[:, t] = self.v
        return GoldenRun(fired, cycles, operations, saturations, v)


class GoldenTarget:
    """The golden model as a
    :class:`spikewright.target.LearningTarget`; takes images of any spec.
    """

    name = "golden"

    def __init__(self) -> None:
        self._model: GoldenModel | None = None

    def load(self, image: CoreImage) -> None:
        """Load an image."""
        self._model = GoldenModel(image)

    def run(
        self,
        spikes: Bools,
        *,
        record_v: bool = False,
        learn: bool = False,
        rewards: Array | None = None,
        progress: Progress | None = None,
    ) -> RunResult:
        """Run samples, each from a cleared state; see
        :meth:`spikewright.target.LearningTarget.run`.

        Raises
        ------
        SpikewrightError
            No image is loaded, the spikes have another dtype, shape or too many axons, or the core
            cannot learn so.
        """
        model = self._loaded()
        spec = model.image.spec
        check_spikes(spikes, spec, "[samples, timesteps, axons]")
        given = check_rewards(rewards, spikes, spec) if learn else None
        samples, timesteps, _ = spikes.shape
        fired = np.empty((samples, timesteps, spec.neurons), np.bool_)
        cycles = np.empty((samples, timesteps), np.int64)
        v = np.empty(fired.shape, np.int32) if record_v else None
        size = 1 if learn else max(1, BATCH_NEURONS // spec.neurons)
        for first in range(0, samples, size):
            batch = slice(first, min(first + size, samples))
            count = batch.stop - batch.start
            model.clear(count)
            of_sample = None if given is None else given[first]
            run = model.run(spikes[batch], record_v, learn=learn, rewards=of_sample)
            fired[batch], cycles[batch] = run.spikes, run.cycles
            if v is not None and run.v is not None:
                v[batch] = run.v
            if progress is not None:
                progress(count)
        return RunResult(fired, cycles, cycles.sum(axis=1), v)

    def learned_image(self) -> CoreImage:
        """See :meth:`spikewright.target.LearningTarget.learned_image`."""
        return self._loaded().learned_image()

    def _loaded(self) -> GoldenModel:
        if self._model is None:
            raise SpikewrightError("No image is loaded.", hint="Call load(image) before run().")
        return self._model

    def close(self) -> None:
        """Forget the image."""
        self._model = None
