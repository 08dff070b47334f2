"""The report of a training: one HTML file with weights before, meanwhile and after."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt, prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from spikewright import __version__
from spikewright.compiler.plastic import axon_weights_of, neuron_weights_of
from spikewright.errors import DataError
from spikewright.image import CoreImage
from spikewright.learned import History
from spikewright.learned_figures import (
    course,
    grids,
    histograms,
    matrices,
    neurons,
    trajectories,
)
from spikewright.learning import LearningRule
from spikewright.page import render
from spikewright.summary import image_summary
from spikewright.training import Trained, Training

__all__ = ["Field", "LearningReport"]

Array = npt.NDArray[np.int64]

_TEMPLATE = Path(__file__).with_name("learned.html")
_MOST_FIELDS = 64
_SYNAPSES = 8
"""Synapses that are followed, unless it is said which."""


@dataclass(frozen=True, eq=False)
class Field:
    """How the axons lie in pictures.

    Attributes
    ----------
    axons : int64[axons]
        The axon of each pixel, picture by picture, row by row.
    shape : tuple of int
        Pictures, height, width.
    """

    axons: Array
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, image: CoreImage, axons: int, size: tuple[int, int] | None) -> "Field | None":
        """The pictures of a given size, or those of the network's input, or one or two squares.

        Parameters
        ----------
        image : CoreImage
        axons : int
            How many there are.
        size : tuple of int, optional
            Height and width.

        Raises
        ------
        DataError
            The axons are no pictures of that size.
        """
        if size is not None:
            if axons % prod(size):
                raise DataError(
                    f"{axons} axons are no pictures of {size[0]} x {size[1]} pixels.",
                    hint="Give height and width whose product divides the number of axons.",
                )
            return cls(np.arange(axons), (axons // prod(size), *size))
        inputs = image.manifest.inputs
        if len(inputs) == 1 and inputs[0].count == axons and len(inputs[0].shape) in (2, 3):
            *parts, height, width = inputs[0].shape
            return cls(inputs[0].positions, (prod(parts), height, width))
        for pictures in (1, 2):  # of on and off, or bright and dark, there are two
            side = isqrt(axons // pictures)
            if side > 1 and pictures * side * side == axons:
                return cls(np.arange(axons), (pictures, side, side))
        return None


class LearningReport:
    """The report of a training, from before it begins until it is done.

    Parameters
    ----------
    training : Training
    watch : sequence of (int, int), optional
        Source and neuron of synapses to follow; if none, some that changed most.
    field : tuple of int, optional
        Height and width of the pictures that the axons form, see :meth:`Field.of`.

    Raises
    ------
    DataError
        Synapses that do not learn, or axons that form no such pictures.
    """

    def __init__(
        self,
        training: Training,
        *,
        watch: Sequence[tuple[int, int]] = (),
        field: tuple[int, int] | None = None,
    ) -> None:
        self.training = training
        self.history = History(training.image)
        self._watched = self.history.find(watch)
        self._field = Field.of(training.image, training.spikes.shape[2], field)

    def add(self, samples: int, image: CoreImage) -> None:
        """Keep what was read back; a :data:`spikewright.training.OnRead`."""
        self.history.add(samples, image)

    def render(self, trained: Trained, summary: Mapping[str, Any]) -> bytes:
        """The page; it needs no other file and no network.

        Parameters
        ----------
        trained : Trained
            What :attr:`training` gave, each read-back of which was added.
        summary : mapping
            Of :func:`spikewright.learned.training_summary`.
        """
        history, image = self.history, trained.after
        rule = image.rule or LearningRule()
        weights, bounds = history.weights, (rule.w_min, rule.w_max)
        content = {
            "training": self.training,
            "data": summary,
            "bounds": bounds,
            "reads": len(history.samples) - 1,
            "histograms": histograms(weights[0], weights[-1], bounds),
            "course": course(history.samples, weights, bounds),
            "fields": self._fields(trained, bounds),
            "recurrent": self._recurrent(trained, bounds),
            "watched": len(self._watched) > 0,
            "synapses": self._trajectories(bounds),
            "neurons": self._neurons(trained),
            "learning": image_summary(trained.before)["learning"],
            "spec": image.spec,
            "version": __version__,
        }
        return render(_TEMPLATE, content)

    def _fields(self, trained: Trained, bounds: tuple[int, int]) -> dict[str, Any] | None:
        """Receptive fields of the neurons that learn, as pictures or as a matrix."""
        plastic, axons = self.history.plastic, self.training.spikes.shape[2]
        learners = np.unique(plastic.neuron[plastic.source < trained.after.spec.axons])
        if not learners.size:
            return None
        both = _both(trained, axon_weights_of)
        count = len(learners)
        if self._field is None:
            matrix = {when: weights[:axons, learners] for when, weights in both.items()}
            figure = matrices(matrix, bounds, "axon")
            return {"figure": figure, "pictures": 0, "shown": count, "of": count}
        change = np.nansum(np.abs(both["after"] - both["before"]), axis=0)[learners]
        shown = np.sort(learners[np.argsort(-change, kind="stable")[:_MOST_FIELDS]])
        fields = {
            when: weights[self._field.axons][:, shown].T.reshape(-1, *self._field.shape)
            for when, weights in both.items()
        }
        figure = grids(fields, bounds)
        pictures = self._field.shape[0]
        return {"figure": figure, "pictures": pictures, "shown": len(shown), "of": count}

    def _recurrent(self, trained: Trained, bounds: tuple[int, int]) -> Markup | None:
        """The weights among neurons, if any learn."""
        if (self.history.plastic.source < trained.after.spec.axons).all():
            return None
        both = _both(trained, neuron_weights_of)
        there = ~np.isnan(both["before"])
        used = 1 + max(int(np.flatnonzero(there.any(axis=axis)).max()) for axis in (0, 1))
        matrix = {when: weights[:used, :used] for when, weights in both.items()}
        return matrices(matrix, bounds, "neuron")

    def _trajectories(self, bounds: tuple[int, int]) -> Markup | None:
        """Weights of single synapses, unless none are to be watched and none changed."""
        history, axons = self.history, self.training.image.spec.axons
        watched = self._watched if len(self._watched) else history.most_changed(_SYNAPSES)
        if not len(watched):
            return None
        weights = history.weights
        found = {}
        for k in watched.tolist():
            source, neuron = int(history.plastic.source[k]), int(history.plastic.neuron[k])
            name = f"axon {source}" if source < axons else f"neuron {source - axons}"
            found[f"{name} to neuron {neuron}"] = weights[:, k]
        return trajectories(history.samples, found, bounds)

    def _neurons(self, trained: Trained) -> Markup:
        """Spikes of the neurons that learn and, where the spec has them, threshold offsets."""
        image, learners = trained.after, np.unique(self.history.plastic.neuron)
        values: dict[str, npt.NDArray[Any]] = {"spikes while learning": trained.spikes[learners]}
        if image.h is not None:
            h = image.h[learners] / (1 << image.spec.fraction_bits)
            values["threshold offset after, in weight units"] = h
        return neurons(values)


def _both(trained: Trained, matrix: Callable[..., Array]) -> dict[str, npt.NDArray[np.float64]]:
    """Weights ``float64[sources, neurons]`` before and after, nan where there is no synapse."""
    before = trained.before
    there = (matrix(before) != 0) | (matrix(before, before.arrays["plastic"]) > 0)
    found = {"before": before, "after": trained.after}
    return {when: np.where(there, matrix(image), np.nan) for when, image in found.items()}
