"""One update of a neuron: current, membrane, threshold, reset, refractory counter and winners.

All functions work on whole arrays, elementwise; the last axis is neurons.
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from spikewright.fixed import decay, saturate
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec

__all__ = [
    "Neurons",
    "fire",
    "membrane_potential",
    "strongest",
    "synaptic_current",
    "update",
    "update_level",
]

Array = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


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


def fire(v: Array, neurons: Neurons, h: Array | int = 0) -> tuple[Array, Bools]:
    """Compare ``v > v_threshold + h``, strictly; v after the reset of those that spike, spikes."""
    spikes = v > neurons.v_threshold + h
    after = np.where(neurons.reset_to, neurons.reset, v - neurons.reset)
    return np.where(spikes, after, v), spikes


def strongest(candidates: Bools, above: Array, winners: int) -> Bools:
    """The candidates that are furthest above their thresholds, of equal ones the first.

    Parameters
    ----------
    candidates : bool[samples, n]
    above : int64[samples, n]
    winners : int
        At most so many of each sample.
    """
    order = np.argsort(np.where(candidates, -above, np.iinfo(np.int64).max), axis=1, kind="stable")
    best = np.zeros_like(candidates)
    np.put_along_axis(best, order[:, :winners], values=True, axis=1)
    return best & candidates


def update(
    v: Array,
    i: Array,
    refractory: Array,
    acc: Array,
    neurons: Neurons,
    spec: CoreSpec,
    h: Array | int = 0,
) -> tuple[Array, Array, Array, Bools, Bools]:
    """Update neurons once, without winners: :func:`update_level` but for the candidates."""
    return update_level(v, i, refractory, acc, neurons, spec, h)[:5]


def update_level(
    v: Array,
    i: Array,
    refractory: Array,
    acc: Array,
    neurons: Neurons,
    spec: CoreSpec,
    h: Array | int = 0,
    winners: int = 0,
) -> tuple[Array, Array, Array, Bools, Bools, Array]:
    """Update neurons of a level once.

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
    h : int64[..., n]
        Threshold offsets.
    winners : int
        Let at most so many neurons spike, and if one does set v of all others to 0; 0 lets all.

    Returns
    -------
    v, i, refractory : int64[..., n]
        New state.
    spikes : bool[..., n]
    clamped : bool[..., n]
        Where i or v saturated.
    candidates : int64[...]
        Neurons above their thresholds, winners or not.

    Source: design section 3.
    """
    i, clamped_i = synaptic_current(i, acc, neurons, spec)
    held = refractory > 0
    updated, clamped_v = membrane_potential(v, i, neurons, spec)
    after, spikes = fire(updated, neurons, h)
    spikes &= ~held
    candidates = spikes.sum(axis=-1)
    if winners:
        met = np.where(held, v, updated)
        spikes = strongest(spikes, met - neurons.v_threshold - h, winners)
        rest = np.where(spikes.any(axis=-1, keepdims=True), 0, met)
        v = np.where(spikes, after, rest)
    else:
        v = np.where(held, v, after)
    refractory = np.where(spikes, neurons.refractory, refractory - held)
    return v, i, refractory, spikes, clamped_i | (clamped_v & ~held), candidates
