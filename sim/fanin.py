"""Integration of spikes: what arrives at which accumulator, and what it costs."""

import numpy as np
import numpy.typing as npt

from spikewright.image import CoreImage

__all__ = ["FanIn"]

Array = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FLOAT32_EXACT = 1 << 24
"""Integers up to this magnitude are exact in float32, and so is any sum that stays within."""


class FanIn:
    """Synapses of the sources that are integrated together: a matrix over the neurons they reach.

    Parameters
    ----------
    image : CoreImage
    sources : int64[sources]
        Rows of the image's directory.
    updated : int
        Neurons 0 to ``updated - 1`` have had this timestep's update when these sources are
        integrated: what arrives there counts for the next timestep.
    """

    def __init__(self, image: CoreImage, sources: Array, updated: int) -> None:
        spec = image.spec
        first_word, count, first_group = (
            array[sources].astype(np.int64)
            for array in (image.first_word, image.word_count, image.first_group)
        )
        rows = np.flatnonzero(count)
        start = int(first_group[rows].min(initial=spec.groups))
        stop = int((first_group + count)[rows].max(initial=start))
        self._reach = slice(start * spec.lanes, stop * spec.lanes)
        weights: Array = np.zeros((len(sources), stop - start, spec.lanes), np.int64)
        delays: Array = np.zeros_like(weights)
        for row in rows:
            words = slice(first_word[row], first_word[row] + count[row])
            groups = slice(first_group[row] - start, first_group[row] - start + count[row])
            weights[row, groups] = image.weights[words]
            delays[row, groups] = image.delays[words]
        weights, delays = (array.reshape(len(sources), -1) for array in (weights, delays))
        worst = np.abs(weights).sum(axis=0).max(initial=0)
        self._weights = weights.astype(np.float32 if worst <= FLOAT32_EXACT else np.float64)
        self._costs = np.stack([np.maximum(count, 1), np.count_nonzero(weights, axis=1)], axis=1)
        self._targets: npt.NDArray[np.int32] | None = None
        if spec.delay_slots > 1:
            neuron = np.arange(self._reach.start, self._reach.stop)
            slot = (delays + (neuron < updated)) % spec.delay_slots
            self._targets = (slot * spec.neurons + neuron).astype(np.int32)

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
                sums = np.bincount(
                    self._targets[rows].ravel(), self._weights[rows].ravel(), slots * neurons
                )
                acc[sample, ring] += sums.astype(np.int64).reshape(slots, neurons)
        cycles, operations = (pending.astype(np.int64) @ self._costs[active]).T
        return cycles, operations
