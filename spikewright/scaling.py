"""Synaptic scaling: between runs, the host brings each neuron's plastic weights back to one sum."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spikewright.errors import SpikewrightError
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.plastic import PlasticSynapses

__all__ = ["check_sum", "incoming_sums", "scale_incoming"]

Array = npt.NDArray[np.int64]

_FACTOR_BITS = 24
"""Fraction bits of a neuron's factor; 2**40 as the largest, times 16-bit weights, fits int64."""


def incoming_sums(image: CoreImage) -> Array:
    """Sum of the absolute plastic weights into each neuron, ``int64[neurons]``.

    Raises
    ------
    SpikewrightError
        The spec has no plasticity.
    """
    plastic = PlasticSynapses.of(image)
    return _sums(np.abs(plastic.weights(image)), plastic.neuron, image)


def check_sum(total: int) -> None:
    """Check a sum to scale to. Raises :class:`SpikewrightError`."""
    if isinstance(total, bool) or not isinstance(total, int) or not 1 <= total < 1 << 31:
        raise SpikewrightError(
            f"The sum of incoming weights must be an integer from 1 to 2147483647, not {total!r}.",
            hint="It is in units of the weight's least significant bit.",
        )


def scale_incoming(image: CoreImage, total: int) -> CoreImage:
    """Scale the plastic weights into each neuron so that their absolute values add up to ``total``.

    All of a neuron's plastic weights are multiplied by one factor, rounded to nearest (ties away
    from zero) and kept within the rule's bounds and on their side of zero. The factor is the one
    for which the rounded weights add up to ``total``; where no factor meets it, because several
    weights would step at once, the first of them, by source, step. (A divisor method of
    apportionment, Webster's: the weights keep their proportions as well as integers can.) So a
    second scaling to the same total changes nothing.

    Where the bounds do not admit the total, all weights that are not 0 end at their bounds.
    Neurons whose plastic weights are all 0, and synapses that do not learn, stay as they are;
    plastic bits, eligibilities and all else of the image too. Exact in integers.

    Source: G. Turrigiano et al., Nature 391 (1998), for multiplicative scaling; P. Diehl and
    M. Cook, Front. Comput. Neurosci. 9 (2015), for a constant sum in STDP networks.

    Parameters
    ----------
    image : CoreImage
    total : int
        At least 1, in units of the weight's least significant bit.

    Raises
    ------
    SpikewrightError
        The spec has no plasticity, or a total that is none.
    """
    plastic = PlasticSynapses.of(image)
    check_sum(total)
    neuron, given = plastic.neuron, plastic.weights(image)
    size, negative = np.abs(given), given < 0
    least, most = _limits(size, negative, image.rule or LearningRule())

    def scaled(factor: Array) -> Array:
        half = 1 << (_FACTOR_BITS - 1)
        sizes: Array = (size * factor[neuron] + half) >> _FACTOR_BITS
        return np.minimum(np.maximum(sizes, least), most)

    def fits(factor: Array) -> npt.NDArray[np.bool_]:
        return _sums(scaled(factor), neuron, image) <= total

    low = np.zeros(image.spec.neurons, np.int64)
    high = np.full_like(low, 1 << (_FACTOR_BITS + image.spec.weight_bits))
    while (high - low > 1).any():
        middle = (low + high) >> 1
        below = fits(middle)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    sizes = scaled(low)
    steps = scaled(high) - sizes  # 0 or 1
    earlier = np.cumsum(steps) - steps
    earlier -= earlier[np.searchsorted(neuron, neuron)]
    missing = total - _sums(sizes, neuron, image)
    sizes += np.clip(missing[neuron] - earlier, 0, steps)
    weights = image.weights.copy()
    weights[plastic.word, plastic.lane] = np.where(negative, -sizes, sizes)
    return replace(image, weights=weights)


def _limits(
    size: Array, negative: npt.NDArray[np.bool_], rule: LearningRule
) -> tuple[Array, Array]:
    """Least and most that each absolute weight may become; 0 stays 0."""
    least = np.where(negative, max(-rule.w_max, int(rule.keep_sign)), max(rule.w_min, 0))
    most = np.where(negative, -rule.w_min, rule.w_max)
    return np.where(size > 0, least, 0), np.where(size > 0, most, 0)


def _sums(size: Array, neuron: Array, image: CoreImage) -> Array:
    sums = np.zeros(image.spec.neurons, np.int64)
    np.add.at(sums, neuron, size)
    return sums
