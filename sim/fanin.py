"""Integration of spikes: what arrives at which accumulator, and what it costs."""

import numpy as np
import numpy.typing as npt

from spikewright.image import CoreImage

__all__ = ["FanIn", "integrate_rows"]

Array = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FLOAT32_EXACT = 1 << 24
"""Integers up to this magnitude are exact in float32, and so is any sum that stays within."""


class FanIn:
    """Synapses of the sources that are integrated together.

    Without delays they are a matrix over the neurons that they reach; with delays the words of
    each row, one after the other.

    Parameters
    ----------
    image : CoreImage
    weights : int64[W, lanes]
        In place of the image's.
    sources : int64[sources]
        Rows of the image's directory.
    updated : int
        Neurons 0 to ``updated - 1`` have had this timestep's update when these sources are
        integrated: what arrives there counts for the next timestep.
    """

    def __init__(self, image: CoreImage, weights: Array, sources: Array, updated: int) -> None:
        spec = image.spec
        row, word, group = image.row_words(sources)
        weights = weights[word]
        self._count = image.word_count[sources].astype(np.int64)
        self._first = np.cumsum(self._count) - self._count
        nonzero = np.bincount(row, np.count_nonzero(weights, axis=1), len(sources))
        self._costs = np.stack([np.maximum(self._count, 1), nonzero.astype(np.int64)], axis=1)
        neuron = group[:, None] * spec.lanes + np.arange(spec.lanes)
        self._targets: npt.NDArray[np.int32] | None = None
        if spec.delay_slots > 1:
            slot = (image.delays[word].astype(np.int64) + (neuron < updated)) % spec.delay_slots
            self._targets = (slot * spec.neurons + neuron).astype(np.int32)
            self._weights: npt.NDArray[np.floating] = weights.astype(np.float64)
            return
        start = int(neuron.min(initial=spec.neurons))
        self._reach = slice(start, int(neuron.max(initial=start - 1)) + 1)
        shape = len(sources), self._reach.stop - start
        cell = row[:, None] * shape[1] + neuron - start
        matrix = np.bincount(cell.ravel(), weights.ravel(), shape[0] * shape[1]).reshape(shape)
        worst = np.abs(matrix).sum(axis=0).max(initial=0)
        self._weights = matrix.astype(np.float32 if worst <= FLOAT32_EXACT else np.float64)

    def integrate(self, acc: Array, pending: Bools, timestep: int) -> tuple[Array, Array]:
        """Add the pending sources' weights to the accumulators.

        Parameters
        ----------
        acc : int64[samples, delay_slots, neurons]
            Added to in place.
        pending : bool[samples, sources]
            Sources that spiked.
        timestep : int
            Its slot is ``timestep % delay_slots``.

        Returns
        -------
        cycles, synaptic_operations : int64[samples]
            Cycles spent on the rows, and nonzero weights delivered.
        """
        active = np.flatnonzero(pending.any(axis=0))
        pending = pending[:, active]
        if self._targets is None:
            # No sum leaves the range in which floats are exact, so BLAS may add in any order.
            rows = self._weights[active]
            acc[:, 0, self._reach] += (pending.astype(rows.dtype) @ rows).astype(np.int64)
        elif active.size:
            _, slots, neurons = acc.shape
            ring = (timestep + np.arange(slots)) % slots
            for sample in np.flatnonzero(pending.any(axis=1)):
                rows = active[pending[sample]]
                count = self._count[rows]
                skipped = self._first[rows] - (np.cumsum(count) - count)
                words = np.repeat(skipped, count) + np.arange(count.sum())
                sums = np.bincount(
                    self._targets[words].ravel(), self._weights[words].ravel(), slots * neurons
                )
                acc[sample, ring] += sums.astype(np.int64).reshape(slots, neurons)
        cycles, operations = (pending.astype(np.int64) @ self._costs[active]).T
        return cycles, operations


def integrate_rows(
    acc: Array, image: CoreImage, weights: Array, sources: Array, updated: int, timestep: int
) -> tuple[Array, Array]:
    """Add the rows of some sources to one sample's accumulators, with weights that may change.

    Parameters
    ----------
    acc : int64[delay_slots, neurons]
        Added to in place.
    image : CoreImage
    weights : int64[W, lanes]
        In place of the image's.
    sources : int64[n]
        Those that spiked.
    updated, timestep : int
        As for :class:`FanIn`.

    Returns
    -------
    cycles, synaptic_operations : int64[1]
    """
    spec = image.spec
    row, word, group = image.row_words(sources)
    neuron = group[:, None] * spec.lanes + np.arange(spec.lanes)
    delay = image.delays[word].astype(np.int64)
    slot = (timestep + delay + (neuron < updated)) % spec.delay_slots
    delivered = weights[word]
    np.add.at(acc, (slot, neuron), delivered)
    cycles = np.maximum(np.bincount(row, minlength=len(sources)), 1).sum(keepdims=True)
    return cycles, np.array([np.count_nonzero(delivered)])
