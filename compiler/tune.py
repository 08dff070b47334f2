"""Tuning: scales, biases, thresholds and decays that err least on a user's spikes.

A neuron spikes where ``m = v - v_threshold`` is above 0, so what its rounding does wrong is what it
does to m. The objective of each neuron is

    E = sum_t w(t) (m_raw(t) unit - m(t))**2 / sum_t w(t)
    w = FLOOR + exp(-(m / (WIDTH v_threshold))**2), or 1 without a threshold or with one of 0

over timesteps and samples in which the membrane is not held: m is that of the circuit in float,
and ``m_raw unit`` that of the core's integers, exactly as :mod:`spikewright.sim.update` computes
them, saturation and truncation included, for the same spikes in and with resets where float has
spikes. Errors far from the threshold change no spike and hardly count.

Of each neuron the combination with the least E is taken, all else equal the first, of

- the scale: with ``scaling="mse"``, :data:`SHRINKS` of the one that covers all weights; else the
  one that covers a percentile of them, each counted as often as spikes arrive over it,
- both decays: the neighbours in UQ1.12 on either side,
- the threshold: rounded down or up,
- the bias: E is a parabola in it, so the integer next to its minimum. That is bias correction, by
  what v meets rather than by the mean.

Source: reconstruction of a layer's output on calibration data, as in M. Nagel et al., Up or Down?
Adaptive Rounding for Post-Training Quantization, ICML 2020; bias correction, Nagel et al. 2019,
arXiv:1906.04721, section 4.2; with weights and a reset of our own, for spiking neurons.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from spikewright.errors import ModelError
from spikewright.fixed import DECAY_ONE, signed_range
from spikewright.sim.update import Neurons, membrane_potential, synaptic_current
from spikewright.spec import CoreSpec

from .ir import Circuit, Edge, Population, RawArray, RawPopulation, Tuning
from .matrices import apply, with_data
from .options import CompileOptions
from .reference import Reference, ReferenceRun
from .report import check_calibration
from .rounding import Grid, reset_at_spike, round_decay, round_population
from .scales import least_scales, widest_scales

__all__ = ["MOST_TIMESTEPS", "SHRINKS", "Stimulus", "stimulus", "tune"]

MOST_TIMESTEPS = 4096
"""Of all samples together: samples beyond are left out evenly."""

SHRINKS = np.geomspace(1.0, 1 / 8, 37)
"""Factors of the scale that covers all weights, 5.6 % apart."""

WIDTH = 2.0
"""Of the weights around the threshold, in thresholds."""
FLOOR = 1e-3
"""Weight of errors far from the threshold: they come back over time and by other inputs."""

_ALIKE = 1e-9
"""Relative difference of errors that sums of floats leave open."""

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Stimulus:
    """What comes into a population, and what it does in float.

    Attributes
    ----------
    arriving : list of float64[source, samples * timesteps]
        By edge into it, 0 and 1.
    fired, held : bool[samples, timesteps, n]
        Spikes, and membranes without an update.
    margin : float64[samples, timesteps, n]
        ``v - v_threshold`` before the reset; v where neurons cannot spike.
    weight : float64[samples, timesteps, n]
        The objective's w.
    can_spike : bool[n]
    """

    arriving: list[Array]
    fired: Bools
    held: Bools
    margin: Array
    weight: Array
    can_spike: Bools

    def events(self) -> list[Array]:
        """How often each source's spikes arrive, by edge; once more than they do."""
        return [1 + each.sum(axis=1) for each in self.arriving]


def stimulus(circuit: Circuit, spikes: Bools | None) -> dict[str, Stimulus]:
    """Run a circuit in float on spikes; what each population gets and does.

    Parameters
    ----------
    spikes : bool[samples, timesteps, axons] or None

    Raises
    ------
    ModelError
        No spikes, or of another shape or dtype.
    """
    if spikes is None:
        raise ModelError(
            "tune needs spikes to tune on.",
            hint="Give calibration spikes that are typical for the network's use, or leave it out.",
        )
    check_calibration(spikes)
    samples, timesteps, _ = spikes.shape
    count = min(samples, max(1, MOST_TIMESTEPS // timesteps))
    chosen = spikes[np.arange(count) * samples // count]
    run = Reference(circuit, count).run(chosen)
    ends = np.cumsum([int(np.prod(shape)) for shape in circuit.inputs.values()])
    fired = dict(zip(circuit.inputs, np.split(chosen, ends, axis=2), strict=False)) | run.spikes
    return {
        name: _stimulus(population, [_arriving(edge, fired) for edge in circuit.into(name)], run)
        for name, population in circuit.populations.items()
    }


def _arriving(edge: Edge, fired: dict[str, Bools]) -> Array:
    """What comes over an edge, ``float64[source, samples * timesteps]``."""
    spikes = fired[edge.source]
    late = np.zeros(spikes.shape)
    late[:, edge.delay :] = spikes[:, : max(0, spikes.shape[1] - edge.delay)]
    return np.ascontiguousarray(late.reshape(-1, spikes.shape[2]).T)


def _stimulus(population: Population, arriving: list[Array], run: ReferenceRun) -> Stimulus:
    v, fired = run.v[population.name], run.spikes[population.name]
    can_spike = np.isfinite(population.v_threshold)
    threshold = np.where(can_spike, population.v_threshold, 0)
    margin = v - threshold
    with np.errstate(over="ignore"):
        distance = margin / np.where(threshold == 0, 1.0, WIDTH * threshold)
        weight = np.where(threshold == 0, 1.0, FLOOR + np.exp(-np.square(distance)))
    held = np.zeros_like(fired)
    for late in range(1, min(population.refractory, fired.shape[1] - 1) + 1):
        held[:, late:] |= fired[:, :-late]
    return Stimulus(arriving, fired, held, margin, weight * ~held, can_spike)


def tune(
    real: Population,
    incoming: Sequence[sparse.csr_array],
    bits: Sequence[int],
    given: Stimulus,
    spec: CoreSpec,
    options: CompileOptions,
) -> tuple[RawPopulation, list[Grid], Tuning]:
    """Round a population to what errs least on its stimulus; see the module.

    Parameters
    ----------
    incoming, bits
        Matrix and bits of each projection.

    Raises
    ------
    ModelError
        As :func:`~spikewright.compiler.quantize.quantize`.
    """
    a_mem, a_syn = (round_decay(real, field, spec) for field in ("a_mem", "a_syn"))
    population = reset_at_spike(real, a_mem)
    least = least_scales(population, spec)
    widest, grids = widest_scales(least, incoming, bits, spec, options.percentile, given.events())
    plain = round_population(population, a_mem, a_syn, widest, spec)
    before = _error(plain, _sums(incoming, grids, widest, given), given, spec)
    best, error = plain, before
    modes = [
        _Mode.of(real, each_mem, each_syn, given)
        for each_mem in _neighbours(real.a_mem, a_mem, spec)
        for each_syn in _neighbours(real.a_syn, a_syn, spec)
    ]
    for shrink in SHRINKS if options.scaling == "mse" else SHRINKS[:1]:
        scale = np.maximum(widest * shrink, least)
        acc = _sums(incoming, grids, scale, given)
        for mode in modes:
            for candidate, found in mode.fitted(scale, acc, given, spec):
                better = found < error * (1 - _ALIKE)
                best = _where(better, candidate, best)
                error = np.where(better, found, error)
    # The bias shifts v as if nothing truncated or saturated: what counts is what comes of it.
    after = _error(best, _sums(incoming, grids, best.scale, given), given, spec)
    best = _where(after < before, best, plain)
    return best, grids, _told(best, plain, real, np.minimum(after, before), before, spec)


def _told(
    best: RawPopulation,
    plain: RawPopulation,
    real: Population,
    after: Array,
    before: Array,
    spec: CoreSpec,
) -> Tuning:
    population = reset_at_spike(real, best.a_mem)
    nearest = round_population(population, best.a_mem, best.a_syn, best.scale, spec)
    decays = (best.a_mem != plain.a_mem) | (best.a_syn != plain.a_syn)
    return Tuning(
        scales=int((best.scale != plain.scale).sum()),
        decays=int(decays.sum()),
        thresholds=int((best.v_threshold != nearest.v_threshold).sum()),
        biases=int((best.bias != nearest.bias).sum()),
        error_before=float(np.sqrt(before.mean())),
        error_after=float(np.sqrt(after.mean())),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Mode:
    """A population with certain roundings of its decays.

    Attributes
    ----------
    population : Population
        As it resets with them.
    a_mem, a_syn : int64[n]
    response : float64[samples, timesteps, n]
        What one step of bias adds to v.
    """

    population: Population
    a_mem: RawArray
    a_syn: RawArray
    response: Array

    @classmethod
    def of(cls, real: Population, a_mem: RawArray, a_syn: RawArray, given: Stimulus) -> "_Mode":
        i, v = np.zeros((2, len(given.fired), real.size))
        response = np.empty(given.fired.shape)
        for t in range(given.fired.shape[1]):
            i = a_syn / DECAY_ONE * i + 1
            v = np.where(given.held[:, t], v, a_mem / DECAY_ONE * v + i)
            response[:, t] = v
            if real.reset_to:
                v = np.where(given.fired[:, t], 0, v)
        return cls(reset_at_spike(real, a_mem), a_mem, a_syn, response)

    def fitted(
        self, scale: Array, acc: RawArray, given: Stimulus, spec: CoreSpec
    ) -> Iterator[tuple[RawPopulation, Array]]:
        """With the threshold rounded down and up, the best bias, and the error, ``float64[n]``."""
        raw = round_population(self.population, self.a_mem, self.a_syn, scale, spec)
        off = _off(raw, acc, given, spec)
        power = _mean(np.square(self.response), given)
        for up in (0, 1):
            lifted = off - up * given.can_spike
            wanted = raw.bias - np.rint(_mean(lifted * self.response, given) / power)
            bias = np.clip(wanted, *signed_range(spec.state_bits)).astype(np.int64)
            candidate = replace(raw, bias=bias, v_threshold=raw.v_threshold + up * given.can_spike)
            moved = lifted + (bias - raw.bias) * self.response
            yield candidate, np.square(_unit(scale, spec)) * _mean(np.square(moved), given)


def _neighbours(real: Array, nearest: RawArray, spec: CoreSpec) -> list[RawArray]:
    """Decays in UQ1.12, rounded down and up, but to 0 and 1 only where that is nearest."""
    if spec.decay == "shift":
        return [nearest]
    both = []
    for beside in (np.floor(real * DECAY_ONE), np.ceil(real * DECAY_ONE)):
        lost = (beside == 0) | (beside == DECAY_ONE)
        both.append(np.where(lost, nearest, beside).astype(np.int64))
    return both if (both[0] != both[1]).any() else [nearest]


def _sums(
    incoming: Sequence[sparse.csr_array], grids: Sequence[Grid], scale: Array, given: Stimulus
) -> RawArray:
    """What each accumulator holds, ``int64[samples, timesteps, n]``."""
    total = np.zeros((scale.size, given.fired[..., 0].size))
    for weight, grid, arriving in zip(incoming, grids, given.arriving, strict=True):
        raw, _ = grid.round(weight, scale)
        total += apply(with_data(weight, raw), arriving)
    return total.T.reshape(given.fired.shape).astype(np.int64)


def _off(raw: RawPopulation, acc: RawArray, given: Stimulus, spec: CoreSpec) -> Array:
    """What ``v - v_threshold`` is off by, in state steps, ``float64[samples, timesteps, n]``."""
    neurons = Neurons(**{field.name: getattr(raw, field.name) for field in fields(Neurons)})
    i, v = np.zeros((2, *acc[:, 0].shape), np.int64)
    seen = np.empty(acc.shape)
    for t in range(acc.shape[1]):
        i, _ = synaptic_current(i, acc[:, t], neurons, spec)
        updated, _ = membrane_potential(v, i, neurons, spec)
        v = np.where(given.held[:, t], v, updated)
        seen[:, t] = v
        after = np.where(neurons.reset_to, neurons.reset, v - neurons.reset)
        v = np.where(given.fired[:, t], after, v)
    threshold = np.where(given.can_spike, raw.v_threshold, 0)
    return seen - threshold - given.margin / _unit(raw.scale, spec)


def _mean(values: Array, given: Stimulus) -> Array:
    """Weighted mean over samples and timesteps, ``float64[n]``."""
    mean: Array = (given.weight * values).sum(axis=(0, 1)) / given.weight.sum(axis=(0, 1))
    return mean


def _error(raw: RawPopulation, acc: RawArray, given: Stimulus, spec: CoreSpec) -> Array:
    """The objective E, ``float64[n]``."""
    off = _off(raw, acc, given, spec)
    return np.square(_unit(raw.scale, spec)) * _mean(np.square(off), given)


def _unit(scale: Array, spec: CoreSpec) -> Array:
    """Real value of a state step."""
    return scale / 2.0**spec.fraction_bits


def _where(better: Bools, new: RawPopulation, old: RawPopulation) -> RawPopulation:
    """Of each neuron the one or the other."""
    return RawPopulation(**{
        field.name: np.where(better, getattr(new, field.name), getattr(old, field.name))
        for field in fields(RawPopulation)
    })
