"""Rounding: real values of neurons and weights to the raw integers of a core."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from spikewright.errors import ModelError
from spikewright.fixed import DECAY_ONE, signed_range
from spikewright.spec import CoreSpec

from .ir import Population, RawArray, RawPopulation
from .matrices import rows_of

__all__ = ["Grid", "reset_at_spike", "round_decay", "round_population"]

Array = npt.NDArray[np.float64]

_FLOAT32_STEPS = 2.0**-22
"""Relative error of a figure that went through a few float32 operations before it came here."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Weights that a projection can take: ``bits`` wide multiples of ``2**shift`` weight units.

    Attributes
    ----------
    bits : int
        At most the core's ``weight_bits``.
    shift : int64[n]
        By target neuron; ``bits + shift`` is at most ``weight_bits``. It is how projections of
        fewer bits than others get steps of their own beside a neuron's one scale.
    """

    bits: int
    shift: RawArray

    def round(self, weight: sparse.csr_array, scale: Array) -> tuple[Array, int]:
        """Raw weights of a matrix's entries, rounded and clipped (SAT), and how many were clipped.

        Parameters
        ----------
        weight : csr_array, float64[target, source]
        scale : float64[target]
            Real value of one weight unit.
        """
        low, high = signed_range(self.bits)
        step = 2.0**self.shift
        raw = weight.data / (scale * step)[rows_of(weight)]
        np.rint(raw, out=raw)
        clipped = int(np.count_nonzero((raw < low) | (raw > high)))
        np.clip(raw, low, high, out=raw)
        if self.shift.any():
            raw *= step[rows_of(weight)]
        return raw, clipped


def reset_at_spike(population: Population, a_mem: RawArray) -> Population:
    """The population with the reset that the core applies in the timestep of the spike.

    Raises
    ------
    ModelError
        A delayed subtracting reset of a membrane that keeps nothing.
    """
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


def round_population(
    population: Population, a_mem: RawArray, a_syn: RawArray, scale: Array, spec: CoreSpec
) -> RawPopulation:
    """Raw integers at these decays and scales, of a population that resets at its spikes.

    Bias and reset are rounded to nearest, the threshold down, so that ``v > v_threshold`` holds
    for the same raw values.

    Raises
    ------
    ModelError
        A threshold that rounds to 0.
    """
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
        a_syn=a_syn,
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


def round_decay(population: Population, field: str, spec: CoreSpec) -> RawArray:
    """A decay, ``a_mem`` or ``a_syn``, to nearest in UQ1.12.

    Raises
    ------
    ModelError
        One that a spec with shift decay cannot express.
    """
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
