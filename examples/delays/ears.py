"""Sounds from six directions: what two ears hear differs in nothing but which of them is late."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["AXONS", "FREQUENCIES", "LAGS", "SPIKES", "TIMESTEPS", "Sounds", "draw"]

LAGS = (-12, -8, -4, 4, 8, 12)
"""By class, how much later the right ear hears a sound than the left one [timesteps]."""

FREQUENCIES = 8
AXONS = 2 * FREQUENCIES
"""The left ear's frequencies, then the right ear's."""

TIMESTEPS = 40
SPIKES = 4
"""Of each axon in each sound."""

_OWN = 1
"""Of these, spikes that the other ear does not hear."""
_JITTER = 2
"""Timesteps from one possible spike to the next, and how many a spike may fall on."""


@dataclass(frozen=True)
class Sounds:
    """Spike trains, and where they came from.

    Attributes
    ----------
    spikes : bool[sounds, 40, 16]
    labels : int64[sounds]
        Indices of :data:`LAGS`.
    """

    spikes: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def draw(count: int, seed: int | Sequence[int]) -> Sounds:
    """Draw sounds, as many of each class as of any other, give or take one.

    For each frequency four places of twenty are drawn for the left ear, and again for the right
    one, three of which are the left ear's; a spike falls on either timestep of its place. Then the
    right ear's train is turned by the lag: what leaves the window at one end comes in at the other.
    So an axon spikes four times, at any timestep as likely as at any other, and all spikes of one
    ear together are distributed alike in all classes: a class shows in nothing but the intervals
    between the spikes of one ear and the other's.

    Parameters
    ----------
    count : int
    seed : int or sequence of int
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % len(LAGS))
    places = np.tile(np.arange(TIMESTEPS // _JITTER), (count, FREQUENCIES, 1))
    places = rng.permuted(places, axis=2)
    lag = np.array(LAGS)[labels, None, None]
    spikes = np.zeros((count, TIMESTEPS, AXONS), np.bool_)
    for ear, first, late in ((0, 0, 0), (1, _OWN, lag)):
        place = places[..., first : first + SPIKES]
        times = _JITTER * place + rng.integers(_JITTER, size=place.shape) + late
        sound, frequency, _ = np.indices(times.shape)
        spikes[sound, times % TIMESTEPS, ear * FREQUENCIES + frequency] = True
    return Sounds(spikes, labels)
