"""Random neuron parameters for lockstep: tuned to what the neurons get, or at their bounds."""

from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.fixed import DECAY_BITS, DECAY_ONE, signed_range
from spikewright.spec import CoreSpec

__all__ = ["draw_neurons"]

Array = npt.NDArray[np.int64]


def draw_neurons(
    rng: np.random.Generator, spec: CoreSpec, drive: npt.NDArray[np.float64], *, corners: bool
) -> dict[str, Any]:
    """Random parameters of every neuron slot, used or not, as :class:`CoreImage` names them.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the choices come from.
    spec : CoreSpec
    drive : float64[neurons]
        Root of the sum of squares of the weights into each neuron, in state units.
    corners : bool
        Half of the neurons, not only a few, have values at their bounds.
    """
    n = spec.neurons
    low, high = signed_range(spec.state_bits)
    unit = np.clip(drive, 1 << spec.fraction_bits, high / 2)
    threshold = np.rint(unit * rng.uniform(0.1, 1.0, n)).astype(np.int64)
    bias = np.rint(unit * rng.normal(0.0, 0.1, n)).astype(np.int64)
    to = rng.integers(2, size=n)
    value = np.where(to == 1, rng.integers(-high // 8, 1, n), threshold)
    # A share of the neurons sits at the bounds, where comparison, sum and reset saturate.
    corner = rng.random(n) < (0.5 if corners else 0.03)
    edges = np.array([low, low + 1, -1, 0, 1, high - 1, high])
    threshold = np.where(corner, rng.choice(edges, n), threshold)
    bias = np.where(corner & (rng.random(n) < 0.5), rng.choice(edges, n), bias)
    value = np.where(corner, rng.choice(edges, n), value)
    # What is subtracted must leave any v above the threshold in range.
    most = np.maximum(threshold + 1, low) - low
    value = np.where(to == 1, value, np.clip(value, 0, np.minimum(most, high)))
    most_refractory = (1 << spec.refractory_bits) - 1
    refractory = np.minimum(rng.geometric(0.5, n) - 1, most_refractory)
    return {
        "a_mem": _decays(rng, spec),
        "a_syn": _decays(rng, spec) if spec.synapse_current else np.zeros(n, np.int64),
        "bias": np.clip(bias, low, high),
        "v_threshold": np.clip(threshold, low, high),
        "reset": value,
        "reset_to": to,
        "refractory": np.where(
            rng.random(n) < 0.05, rng.integers(most_refractory + 1, size=n), refractory
        ),
    }


def _decays(rng: np.random.Generator, spec: CoreSpec) -> Array:
    """Factors of all kinds; mostly slow ones, as in trained networks."""
    n = spec.neurons
    if spec.decay == "shift":
        slow = DECAY_ONE - (DECAY_ONE >> rng.integers(1, DECAY_BITS + 1, n))
    else:
        slow = np.where(
            rng.random(n) < 0.7,
            rng.integers(2048, DECAY_ONE, n),
            rng.integers(DECAY_ONE + 1, size=n),
        )
    corner = rng.choice([0, DECAY_ONE], n)
    return np.where(rng.random(n) < 0.15, corner, slow)
