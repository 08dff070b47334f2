"""Synapses into one neuron, read back from an image, and what they deliver."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikewright.image import CoreImage
from spikewright.sim.golden import GoldenModel

__all__ = ["Synapses"]

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Synapses:
    """Nonzero weights into one neuron, each ``int64[n]``.

    Attributes
    ----------
    source : axons first, then neuron slots, as in the image
    weight : in weight units
    delay : timesteps from the source's spike to its arrival
        The synaptic delay, and one more where the source is not in an earlier level.
    """

    source: Ints
    weight: Ints
    delay: Ints

    @classmethod
    def into(cls, image: CoreImage, slot: int) -> "Synapses":
        """Read the rows of all sources of an image for a neuron slot."""
        group, lane = divmod(slot, image.spec.lanes)
        sources, words, groups = image.row_words(np.arange(image.spec.sources))
        source, words = sources[groups == group], words[groups == group]
        weight = image.weights[words, lane].astype(np.int64)
        later = ~_is_earlier_level(image, source, group)
        delay = image.delays[words, lane].astype(np.int64) + later
        some = weight != 0
        return cls(source[some], weight[some], delay[some])

    def arrivals(self, image: CoreImage, spikes: Bools) -> Ints:
        """Which of them deliver a spike, ``int64[n, timesteps]`` of 0 and 1.

        Parameters
        ----------
        image : CoreImage
            The one that they are from; its golden model says which neurons spike.
        spikes : bool[timesteps, axons]
        """
        timesteps, axons = spikes.shape
        longest = int(self.delay.max(initial=0))
        fired = np.zeros((longest + timesteps, image.spec.sources), np.int64)
        fired[longest:, :axons] = spikes
        fired[longest:, image.spec.axons :] = GoldenModel(image).run(spikes[None]).spikes[0]
        when = longest + np.arange(timesteps) - self.delay[:, None]
        arrived: Ints = fired[when, self.source[:, None]]
        return arrived


def _is_earlier_level(image: CoreImage, source: Ints, group: int) -> Bools:
    """Whether sources are axons, or neurons of an earlier level than a neuron group."""
    ends = np.cumsum(image.level_groups, dtype=np.int64)
    groups = (source - image.spec.axons) // image.spec.lanes
    level = np.searchsorted(ends, groups, side="right")
    return (source < image.spec.axons) | (level < np.searchsorted(ends, group, side="right"))
