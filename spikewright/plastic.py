"""The plastic synapses of an image as a list, from word and lane to source and neuron."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikewright.image import CoreImage
from spikewright.target import check_plastic

__all__ = ["PlasticSynapses"]

Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PlasticSynapses:
    """The synapses of an image that learn, by neuron and then by source.

    Attributes
    ----------
    source : int64[synapses]
        Axons, then from ``spec.axons`` on neurons.
    neuron : int64[synapses]
    word, lane : int64[synapses]
        Where the weight is in the image's arrays of words.
    """

    source: Array
    neuron: Array
    word: Array
    lane: Array

    @classmethod
    def of(cls, image: CoreImage) -> "PlasticSynapses":
        """Find them. Raises :class:`SpikewrightError` for a spec without plasticity."""
        check_plastic(image.spec)
        sources = np.flatnonzero(image.learns)
        row, word, group = image.row_words(sources)
        at, lane = np.nonzero(image.arrays["plastic"][word])
        source, neuron = sources[row[at]], group[at] * image.spec.lanes + lane
        order = np.lexsort((source, neuron))
        return cls(source[order], neuron[order], word[at][order], lane[order])

    def __len__(self) -> int:
        return len(self.source)

    def weights(self, image: CoreImage) -> Array:
        """Their weights in an image that is laid out as theirs, ``int64[synapses]``."""
        weights: Array = image.weights[self.word, self.lane].astype(np.int64)
        return weights
