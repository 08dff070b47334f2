"""Quantization: one scale a neuron, shared by its weights, bias, threshold and reset."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from spikewright.errors import ModelError
from spikewright.fixed import DECAY_ONE, signed_range
from spikewright.spec import CoreSpec

from .ir import Circuit, Edge, Population, Quantized, RawArray, RawPopulation
from .matrices import rows_of, with_data
from .options import Scaling

__all__ = ["quantize"]

Array = npt.NDArray[np.float64]

HEADROOM = 2.0
"""State range over the largest of bias, threshold and reset: as much again for v beyond them."""

_FLOAT32_STEPS = 2.0**-22
"""Relative error of a figure that went through a few float32 operations before it came here."""


SHRINKS = np.geomspace(1.0, 1 / 64, 97)
"""Factors of the scale that covers all weights, tried for the least squared error, 4.2 % apart."""


def quantize(
    circuit: Circuit,
    spec: CoreSpec,
    percentile: float = 100.0,
    scaling: Scaling = "percentile",
) -> Quantized:
    """Round a circuit to the formats of a spec.

    The scale of neuron n is the least with which the given percentile of its nonzero ``|weight|``
    fits ``weight_bits``, and bias, threshold and reset fit half the range of ``state_bits``. With
    ``scaling="mse"`` it is that of all weights times the one of :data:`SHRINKS` that minimizes
    ``sum((weight - scale * weight_raw) ** 2)``, and bias, threshold and reset fit as before.
    Weights, bias and reset are rounded to nearest, the threshold down, so that ``v > v_threshold``
    holds for the same raw values. Decays are rounded to nearest in UQ1.12.

    Raises
    ------
    ModelError
        Decays that a spec with shift decay cannot express, a threshold that rounds to 0, or a
        population whose nonzero weights all do.
    """
    populations: dict[str, RawPopulation] = {}
    weights: dict[Edge, sparse.csr_array] = {}
    clipped: dict[str, int] = {}
    notes: list[str] = []
    for name, real in circuit.populations.items():
        edges = circuit.into(name)
        incoming = [circuit.weights[edge] for edge in edges]
        a_mem = _round_decay(real, "a_mem", spec)
        population = _reset_at_spike(real, a_mem)
        scale = _scales(population, incoming, spec, percentile, scaling)
        populations[name] = _round_population(population, a_mem, scale, spec)
        notes += _notes(population, populations[name])
        clipped[name] = 0
        for edge, weight in zip(edges, incoming, strict=True):
            raw, beyond = _round_weights(weight.data, scale[rows_of(weight)], spec)
            clipped[name] += beyond
            weights[edge] = with_data(weight, raw.astype(np.int32))
        notes += _vanished(name, population.size, [weights[edge] for edge in edges])
    return Quantized(populations, weights, clipped, tuple(notes))


def _reset_at_spike(population: Population, a_mem: RawArray) -> Population:
    """The population with the reset that the core applies in the timestep of the spike."""
    if not population.reset_decays:
        return population
    if not a_mem.all():
        n = int(a_mem.argmin())
        raise ModelError(
            f"Node {population.name!r}, neuron {n}: a delayed subtracting reset needs a membrane "
            f"that keeps some of v, not one whose decay {population.a_mem[n]:.6g} rounds to 0.",
            hint=f"Give it a longer tau_mem, so that the decay is 1/{DECAY_ONE} or more, or "
            "compile with reset_delay=False or reset='zero'.",
        )
    return replace(population, reset=population.reset * DECAY_ONE / a_mem, reset_decays=False)


def _round_weights(weight: Array, scale: Array, spec: CoreSpec) -> tuple[Array, int]:
    """Weights in units of their scales, rounded and clipped, and how many were clipped."""
    low, high = signed_range(spec.weight_bits)
    raw = weight / scale
    np.rint(raw, out=raw)
    clipped = int(np.count_nonzero((raw < low) | (raw > high)))
    np.clip(raw, low, high, out=raw)
    return raw, clipped


def _scales(
    population: Population,
    incoming: Sequence[sparse.csr_array],
    spec: CoreSpec,
    percentile: float,
    scaling: Scaling,
) -> Array:
    """Real value of one weight unit of each neuron."""
    peak = np.zeros(population.size)
    if percentile == 100:
        for weight in incoming:
            np.maximum.at(peak, rows_of(weight), np.abs(weight.data))
    elif incoming:
        every = sparse.hstack(incoming, format="csr")
        for n in np.flatnonzero(np.diff(every.indptr)):
            values = np.abs(every.data[every.indptr[n] : every.indptr[n + 1]])
            peak[n] = np.percentile(values, percentile)
    threshold = np.where(np.isfinite(population.v_threshold), population.v_threshold, 0)
    largest = np.max(np.abs([population.bias, threshold, population.reset]), axis=0)
    unit = 2.0**spec.fraction_bits
    state_high = signed_range(spec.state_bits)[1]
    least = largest * unit * HEADROOM / state_high
    scale = np.maximum(peak / signed_range(spec.weight_bits)[1], least)
    scale = np.where(scale > 0, scale, 1.0)
    return _least_error(scale, least, incoming, spec) if scaling == "mse" else scale


def _least_error(
    widest: Array, least: Array, incoming: Sequence[sparse.csr_array], spec: CoreSpec
) -> Array:
    """Of each neuron's scales from ``least`` to ``widest``, that of the least squared error.

    Of scales that err alike it is the largest. Source: minimum mean-squared-error clipping, as in
    Y. Choukroun et al., Low-bit Quantization of Neural Networks for Efficient Inference, ICCV
    Workshops 2019; here on a grid.
    """
    rows = [rows_of(weight) for weight in incoming]
    best, best_error = widest, np.full(widest.shape, np.inf)
    for shrink in SHRINKS:
        scale = np.maximum(widest * shrink, least)
        error = np.zeros(widest.shape)
        for weight, row in zip(incoming, rows, strict=True):
            each = scale[row]
            raw, _ = _round_weights(weight.data, each, spec)
            raw *= each
            raw -= weight.data
            error += np.bincount(row, np.square(raw, out=raw), widest.size)
        better = error < best_error
        best, best_error = np.where(better, scale, best), np.where(better, error, best_error)
    return best


def _round_population(
    population: Population, a_mem: RawArray, scale: Array, spec: CoreSpec
) -> RawPopulation:
    unit = scale / 2.0**spec.fraction_bits
    threshold = _round_down(population.v_threshold / unit, signed_range(spec.state_bits)[1])
    lost = (population.v_threshold > 0) & (threshold == 0)
    if lost.any():
        n = int(lost.argmax())
        raise ModelError(
            f"Node {population.name!r}, neuron {n}: v_threshold must be at least one state step "
            f"({unit[n]:g} in its scale), not {population.v_threshold[n]:g}.",
            hint="Give the core more fraction_bits, or the neuron smaller weights.",
        )
    full = np.ones(population.size, np.int64)
    return RawPopulation(
        scale=scale,
        a_mem=a_mem,
        a_syn=_round_decay(population, "a_syn", spec),
        bias=np.rint(population.bias / unit).astype(np.int64),
        v_threshold=threshold,
        reset=np.rint(population.reset / unit).astype(np.int64),
        reset_to=full * population.reset_to,
        refractory=full * population.refractory,
    )


def _round_down(x: Array, highest: int) -> RawArray:
    """Round down, but up to an integer that float32 arithmetic on the way may just have missed."""
    finite = np.where(np.isfinite(x), x, 0)
    slack = np.minimum(np.abs(finite) * _FLOAT32_STEPS, 0.5)
    return np.where(np.isfinite(x), np.floor(finite + slack), highest).astype(np.int64)


def _round_decay(population: Population, field: str, spec: CoreSpec) -> RawArray:
    """A decay in UQ1.12."""
    real = getattr(population, field)
    raw: RawArray = np.rint(real * DECAY_ONE).astype(np.int64)
    if spec.decay == "shift":
        shifts = np.array([0, *(DECAY_ONE - (DECAY_ONE >> k) for k in range(1, 13)), DECAY_ONE])
        wrong = ~np.isin(raw, shifts)
        if wrong.any():
            n = int(wrong.argmax())
            below, above = shifts[shifts < raw[n]].max(), shifts[shifts > raw[n]].min()
            raise ModelError(
                f"Node {population.name!r}, neuron {n}: {field} must be 0, 1 or 1 - 2**-k for a "
                f"spec with shift decay, not {real[n]:.6g}.",
                hint=f"Train with {below / DECAY_ONE:g} or {above / DECAY_ONE:g}, or use a spec "
                "with decay='multiply'.",
            )
    return raw


def _vanished(name: str, size: int, raw: Sequence[sparse.csr_array]) -> list[str]:
    """A note on neurons whose nonzero weights all rounded to 0; an error if those are all."""
    has, keeps = np.zeros((2, size), np.bool_)
    for weight in raw:
        rows = rows_of(weight)
        has[rows] = True
        keeps[rows[weight.data != 0]] = True
    lost = has & ~keeps
    if not lost.any():
        return []
    if not keeps.any():
        raise ModelError(
            f"Node {name!r}: all weights into it round to 0, beside bias, threshold and reset "
            "that the state must hold too.",
            hint="Give the core fewer fraction_bits or more state_bits, or train with larger "
            "weights for this threshold.",
        )
    return [
        f"{name}: all weights into {int(lost.sum())} neurons round to 0, the first of them "
        f"neuron {int(lost.argmax())}: bias, threshold or reset are too large beside them"
    ]


def _notes(population: Population, raw: RawPopulation) -> list[str]:
    """What the rounding of decays did that changes how the neurons behave."""
    notes = []
    for field in ("a_mem", "a_syn"):
        real = getattr(population, field)
        for value, what in ((DECAY_ONE, "does not leak"), (0, "keeps nothing")):
            changed = (getattr(raw, field) == value) & (real != value / DECAY_ONE)
            if changed.any():
                notes.append(
                    f"{population.name}: {field} rounds to {value / DECAY_ONE:g} for "
                    f"{int(changed.sum())} neurons, which then {what} (real value "
                    f"{real[changed.argmax()]:.6g}, step 1/{DECAY_ONE})"
                )
    return notes
