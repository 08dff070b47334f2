"""Quantization: one scale a neuron, shared by its weights, bias, threshold and reset."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from spikewright.errors import ModelError
from spikewright.fixed import DECAY_ONE
from spikewright.spec import CoreSpec

from .ir import Circuit, Edge, Population, Quantized, RawPopulation, Tuning
from .matrices import rows_of, with_data
from .options import CompileOptions
from .rounding import Grid, reset_at_spike, round_decay, round_population
from .scales import least_error, least_scales, projection_bits, widest_scales
from .tune import stimulus, tune

__all__ = ["quantize"]

_DEFAULT = CompileOptions()

Bools = npt.NDArray[np.bool_]


def quantize(
    circuit: Circuit,
    spec: CoreSpec,
    options: CompileOptions = _DEFAULT,
    spikes: Bools | None = None,
) -> Quantized:
    """Round a circuit to the formats of a spec.

    The scale of neuron n is the least with which the given percentile of its nonzero ``|weight|``
    fits the bits of their projections, and bias, threshold and reset fit half the range of
    ``state_bits``. With ``scaling="mse"`` it is that of all weights times the one of
    :data:`~spikewright.compiler.scales.SHRINKS` that minimizes
    ``sum((weight - scale * weight_raw) ** 2)``, and bias, threshold and reset fit as before.
    Weights, bias and reset are rounded to nearest, the threshold down, so that ``v > v_threshold``
    holds for the same raw values. Decays are rounded to nearest in UQ1.12. Where the options say
    ``tune``, :mod:`spikewright.compiler.tune` chooses instead.

    Parameters
    ----------
    spikes : bool[samples, timesteps, axons], optional
        What to tune on; used with ``options.tune`` alone, which needs it.

    Raises
    ------
    ModelError
        Decays that a spec with shift decay cannot express, a threshold that rounds to 0, a
        population whose nonzero weights all do, bits that the circuit or the core does not have,
        or tuning without spikes.
    """
    bits = projection_bits(circuit, spec, options.bits)
    stimuli = stimulus(circuit, spikes) if options.tune else {}
    populations: dict[str, RawPopulation] = {}
    weights: dict[Edge, sparse.csr_array] = {}
    clipped: dict[str, int] = {}
    notes: list[str] = []
    tuning: dict[str, Tuning] = {}
    for name, real in circuit.populations.items():
        edges = circuit.into(name)
        incoming = [circuit.weights[edge] for edge in edges]
        widths = [bits[edge] for edge in edges]
        if options.tune:
            raw, grids, tuning[name] = tune(real, incoming, widths, stimuli[name], spec, options)
        else:
            raw, grids = _rounded(real, incoming, widths, spec, options)
        populations[name] = raw
        notes += _notes(real, raw)
        clipped[name] = 0
        for edge, weight, grid in zip(edges, incoming, grids, strict=True):
            values, beyond = grid.round(weight, raw.scale)
            clipped[name] += beyond
            weights[edge] = with_data(weight, values.astype(np.int32))
        notes += _vanished(name, real.size, [weights[edge] for edge in edges])
    return Quantized(populations, weights, clipped, tuple(notes), tuning)


def _rounded(
    real: Population,
    incoming: Sequence[sparse.csr_array],
    bits: Sequence[int],
    spec: CoreSpec,
    options: CompileOptions,
) -> tuple[RawPopulation, list[Grid]]:
    """A population and the grids of its projections, by its weights alone."""
    a_mem, a_syn = (round_decay(real, field, spec) for field in ("a_mem", "a_syn"))
    population = reset_at_spike(real, a_mem)
    least = least_scales(population, spec)
    scale, grids = widest_scales(least, incoming, bits, spec, options.percentile)
    if options.scaling == "mse":
        scale = least_error(scale, least, incoming, grids)
    return round_population(population, a_mem, a_syn, scale, spec), grids


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
