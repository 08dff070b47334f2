"""Training on the core: samples shown to a target that learns, and what the host does meanwhile."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from spikewright.errors import DataError
from spikewright.image import CoreImage
from spikewright.scaling import check_sum, scale_incoming
from spikewright.target import (
    LearningTarget,
    Progress,
    check_plastic,
    check_rewards,
    check_spikes,
)

__all__ = ["OnRead", "Trained", "Training"]

Array = npt.NDArray[np.int64]
OnRead = Callable[[int, CoreImage], None]
"""Called with the samples learned so far, skipped ones among them, and the image they made."""

_READS = 10
"""Times an epoch that what was learned is read back, unless it is said how often."""
_MOST_SPIKES = 1 << 26
"""Spikes of a run's result that are held at once."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What a target has learned.

    Attributes
    ----------
    before, after : CoreImage
        Both can be run, and learned on.
    samples : int
        Samples shown, those of all epochs.
    cycles : int
        Clock cycles of their timesteps.
    spikes : int64[neurons]
        Spikes of each neuron meanwhile.
    """

    before: CoreImage
    after: CoreImage
    samples: int
    cycles: int
    spikes: Array


@dataclass(frozen=True, eq=False)
class Training:
    """Samples for a core to learn from, one after the other, each from a cleared state.

    A training is resumed by the same one from the learned image on, with ``skip`` samples more;
    the weights are then those of a training without a stop.

    Parameters
    ----------
    image : CoreImage
        What to begin with.
    spikes : bool[samples, timesteps, axons]
    rewards : int64[samples, timesteps], optional
        Q1.6, -128 to 127, of each sample whenever it is shown.
    epochs : int
        Times that all samples are shown.
    shuffle : int, optional
        Seed of the samples' order, drawn anew for each epoch; as they are without it.
    skip : int
        Samples at the beginning that the image has learned already, counted over all epochs.
    every : int, optional
        Samples after which what was learned is read back, counted from each epoch's start; a tenth
        of an epoch without it. It is read back after each epoch too.
    scale_sum : int, optional
        Each time it is read back, the plastic weights into each neuron are scaled to this sum, see
        :func:`spikewright.scaling.scale_incoming`.

    Raises
    ------
    SpikewrightError
        The image cannot learn, or any of these does not fit it or the others; nothing has been sent
        to any target by then.
    """

    image: CoreImage
    spikes: npt.NDArray[np.bool_]
    rewards: Array | None = None
    epochs: int = 1
    shuffle: int | None = None
    skip: int = 0
    every: int | None = None
    scale_sum: int | None = None

    def __post_init__(self) -> None:
        spec = self.image.spec
        check_plastic(spec)
        check_spikes(self.spikes, spec, "[samples, timesteps, axons]")
        check_rewards(self.rewards, self.spikes, spec)
        if not self.image.learns.any():
            raise DataError(
                "Nothing can be learned: no synapse of the image is plastic.",
                hint="Set the plastic bits of those that are to learn, as plastic_image of "
                "spikewright.compiler.plastic does.",
            )
        if self.scale_sum is not None:
            check_sum(self.scale_sum)
        if reasons := self._faults():
            raise DataError(
                "This training cannot be done:",
                reasons=reasons,
                hint="skip counts the samples of all epochs that the image has learned already.",
            )

    def _faults(self) -> list[str]:
        limits = (("epochs", 1), ("shuffle", 0), ("skip", 0), ("every", 1))
        reasons = [
            f"{name} must be an integer of at least {least}, not {value!r}"
            for name, least in limits
            for value in [getattr(self, name)]
            if value is not None and (type(value) is not int or value < least)
        ]
        if not len(self.spikes):
            reasons.append("spikes must have at least one sample, not 0")
        if not reasons and self.skip >= self.samples:
            reasons.append(f"skip must be less than all {self.samples} samples, not {self.skip}")
        return reasons

    @property
    def samples(self) -> int:
        """Samples of all epochs, those to skip among them."""
        return self.epochs * len(self.spikes)

    def order(self, epoch: int) -> Array:
        """The order of the samples in an epoch, counted from 0."""
        if self.shuffle is None:
            return np.arange(len(self.spikes))
        return np.random.default_rng([self.shuffle, epoch]).permutation(len(self.spikes))

    def run(
        self,
        target: LearningTarget,
        *,
        on_read: OnRead | None = None,
        progress: Progress | None = None,
    ) -> Trained:
        """Load the image and let the target learn.

        Parameters
        ----------
        target : LearningTarget
        on_read : callable
            Told what the core holds: once it is loaded, and each time that what was learned was
            read back (and scaled), the last time when all is done.
        progress : callable
            Told how many samples were learned, as they are.

        Raises
        ------
        SpecError
            The target has another spec.
        BoardError, LinkError
            A board refused, or its link was lost: the training can go on from what ``on_read`` was
            told last.
        """
        image = self.image
        target.load(image)
        if on_read is not None:
            on_read(self.skip, image)
        given = check_rewards(self.rewards, self.spikes, image.spec)
        rewards = None if self.rewards is None else given
        cycles, spikes = 0, np.zeros(image.spec.neurons, np.int64)
        for epoch, part in self._parts():
            for shown in self._runs(self.order(epoch)[part]):
                result = target.run(
                    self.spikes[shown],
                    learn=True,
                    rewards=None if rewards is None else rewards[shown],
                    progress=progress,
                )
                cycles += int(result.total_cycles.sum())
                spikes += result.spikes.sum(axis=(0, 1))
            image = target.learned_image()
            if self.scale_sum is not None:
                image = scale_incoming(image, self.scale_sum)
            if on_read is not None:
                on_read(epoch * len(self.spikes) + part.stop, image)
            if self.scale_sum is not None:
                target.load(image)  # after on_read: whoever keeps the image has it by now
        return Trained(self.image, image, self.samples - self.skip, cycles, spikes)

    def _parts(self) -> Iterator[tuple[int, slice]]:
        """Epoch, and samples of its order, from one read-back to the next."""
        count = len(self.spikes)
        every = self.every or -(-count // _READS)
        done, rest = divmod(self.skip, count)
        for epoch in range(done, self.epochs):
            stops = [stop for stop in range(every, count, every) if stop > rest]
            for start, stop in pairwise([rest, *stops, count]):
                yield epoch, slice(start, stop)
            rest = 0

    def _runs(self, samples: Array) -> Iterator[Array]:
        """Samples in parts whose results are not too large for the memory."""
        timesteps = self.spikes.shape[1]
        most = max(1, _MOST_SPIKES // max(1, timesteps * self.image.spec.neurons))
        for first in range(0, len(samples), most):
            yield samples[first : first + most]
