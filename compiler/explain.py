"""The story of one neuron on one sample: what arrived, what became of it, and why it is silent."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.errors import DataError
from spikewright.files import fit_spikes
from spikewright.image import CoreImage, Population
from spikewright.target import check_spikes

from .cell import Cell, Constant, Moment
from .synapses import Synapses

__all__ = ["Explanation", "Incoming", "explain", "find_neuron"]

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_NAMED = 3
"""Sources that the story names."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A synapse.

    Attributes
    ----------
    source : str
        Input or population; a line or slot of none is "axon" or "neuron".
    index : int
        Of the source within it.
    weight, weight_raw : float and int
        In the model's units, and as the image holds it.
    delay : int
        Timesteps from the source's spike to its arrival.
    arrived : int
        Spikes that arrived in this sample.
    """

    source: str
    index: int
    weight: float
    weight_raw: int
    delay: int
    arrived: int

    @property
    def total(self) -> float:
        """Sum of what arrived."""
        return self.weight * self.arrived


@dataclass(frozen=True, slots=True)
class Explanation:
    """A neuron's story.

    Attributes
    ----------
    population : str
    index : int
    scale : float
        Real value of one weight unit.
    can_spike : bool
        Its threshold is less than the largest state; else the threshold means nothing.
    incoming : tuple of Incoming
        The largest weights first.
    constants : tuple of Constant
        ``reset`` is what v becomes, or ``reset_by`` what is taken off.
    moments : tuple of Moment
    story : tuple of str
        Why it spiked or did not, a sentence each.
    """

    population: str
    index: int
    scale: float
    can_spike: bool
    incoming: tuple[Incoming, ...]
    constants: tuple[Constant, ...]
    moments: tuple[Moment, ...]
    story: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON takes it."""
        return asdict(self)


def find_neuron(image: CoreImage, neuron: str) -> tuple[Population, int]:
    """A population and an index into it from text such as ``hidden[3]`` or ``conv[2,0,5]``.

    Raises
    ------
    DataError
        Text of another form, or an index out of range.
    ImageError
        No population of that name.
    """
    form = re.fullmatch(r"(.+)\[\s*(\d{1,9}(?:\s*,\s*\d{1,9})*)\s*\]", neuron, re.DOTALL)
    if form is None:
        known = ", ".join(
            f"{p.name}[0] to {p.name}[{p.count - 1}]" for p in image.manifest.populations
        )
        raise DataError(
            f"A neuron must be named NAME[INDEX], not {neuron!r}.",
            hint=f"There are: {known or 'none'}.",
        )
    population = image.population(form[1])
    index = tuple(map(int, form[2].split(",")))
    shape = population.shape if len(index) > 1 else (population.count,)
    if len(index) != len(shape) or any(k >= n for k, n in zip(index, shape, strict=False)):
        last = [[n - 1 for n in population.shape], [population.count - 1]]
        wanted = " or ".join(map(str, last[: len(population.shape)]))
        raise DataError(
            f"Index of {population.name!r} must be at most {wanted}, not {list(index)}.",
            hint="Indices count from 0.",
        )
    return population, int(np.ravel_multi_index(index, shape))


def explain(image: CoreImage, spikes: Bools, neuron: str) -> Explanation:
    """Tell the story of one neuron on one sample.

    Parameters
    ----------
    image : CoreImage
    spikes : bool[timesteps, axons]
        Input spikes of the sample.
    neuron : str
        As in :func:`find_neuron`.

    Raises
    ------
    DataError
        A neuron that is not there, or spikes for another number of axons.
    ImageError
        No population of that name.
    SpikewrightError
        Spikes of another dtype or shape.
    """
    population, index = find_neuron(image, neuron)
    check_spikes(spikes, image.spec, "[timesteps, axons]")
    fit_spikes(spikes, image)
    cell = Cell(image, population, index)
    synapses = Synapses.into(image, cell.slot)
    arrived = synapses.arrivals(image, spikes)
    incoming = _incoming(image, cell, synapses, arrived)
    count = arrived.sum(axis=0)
    moments = cell.replay(synapses.weight @ arrived, count)
    free = cell.uninhibited().replay(synapses.weight.clip(min=0) @ arrived, count)
    return Explanation(
        population=population.name,
        index=index,
        scale=cell.scale,
        can_spike=cell.can_spike,
        incoming=incoming,
        constants=cell.constants(),
        moments=moments,
        story=tuple(_story(cell, incoming, moments, free)),
    )


def _incoming(
    image: CoreImage, cell: Cell, synapses: Synapses, arrived: Ints
) -> tuple[Incoming, ...]:
    order = np.argsort(-np.abs(synapses.weight), kind="stable")
    found = []
    for k in order:
        name, index = _source(image, int(synapses.source[k]))
        raw = int(synapses.weight[k])
        found.append(
            Incoming(
                source=name,
                index=index,
                weight=raw * cell.scale,
                weight_raw=raw,
                delay=int(synapses.delay[k]),
                arrived=int(arrived[k].sum()),
            )
        )
    return tuple(found)


def _source(image: CoreImage, source: int) -> tuple[str, int]:
    """Name and index of an axon, or of a neuron."""
    is_axon = source < image.spec.axons
    at = source if is_axon else source - image.spec.axons
    for p in image.manifest.inputs if is_axon else image.manifest.populations:
        if p.first <= at < p.first + p.count:
            return p.name, at - p.first
    return ("axon" if is_axon else "neuron"), at


def _story(
    cell: Cell,
    incoming: tuple[Incoming, ...],
    moments: tuple[Moment, ...],
    free: tuple[Moment, ...],
) -> list[str]:
    """Why it spiked or did not; ``free`` is what it would have done without inhibition."""
    spikes = [moment.timestep for moment in moments if moment.spike]
    told = []
    if spikes:
        times = "once" if len(spikes) == 1 else f"{len(spikes)} times"
        told.append(f"It spikes {times}, first in timestep {spikes[0]}.")
    elif not cell.can_spike:
        told.append("It cannot spike: its threshold is the largest state; v is what it tells.")
    else:
        best = max(moments, key=lambda moment: moment.v)
        told.append(
            f"It never spikes: v comes closest in timestep {best.timestep}, with {best.v:.4g} of "
            f"{best.v_threshold:.4g}."
        )
        told += _missing_input(incoming)
        told += _inhibition(cell, incoming, moments, free)
    if clamped := sum(moment.saturated for moment in moments):
        told.append(
            f"i or v is clamped in {clamped} of {len(moments)} timesteps: compile with more "
            "state_bits or fewer fraction_bits."
        )
    return told


def _missing_input(incoming: tuple[Incoming, ...]) -> Iterator[str]:
    if not incoming:
        yield "No weight leads to it."
    elif not any(synapse.arrived for synapse in incoming):
        yield f"No input at all: of its {len(incoming)} sources, none spikes in time to reach it."
    elif not any(synapse.arrived for synapse in incoming if synapse.weight > 0):
        yield "No excitation: every spike that arrives comes over a negative weight."


def _inhibition(
    cell: Cell,
    incoming: tuple[Incoming, ...],
    moments: tuple[Moment, ...],
    free: tuple[Moment, ...],
) -> Iterator[str]:
    """Who pulled it down, and whether that is why it is silent."""
    pulls = [
        (synapse.total, f"{synapse.source}[{synapse.index}] ({synapse.total:.4g})")
        for synapse in incoming
    ]
    bias = int(cell.neurons.bias[0]) * cell.unit * len(moments)
    pulls.append((bias, f"its bias ({bias:.4g})"))
    names = [name for total, name in sorted(pulls) if total < 0]
    if not names:
        return
    most = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" * (len(names) > _NAMED))
    if spikes := sum(moment.spike for moment in free):
        times = "once" if spikes == 1 else f"{spikes} times"
        yield f"Inhibited: it would spike {times} without {most}."
    else:
        highest = max(moment.v for moment in free)
        yield f"Inhibition is not why: without {most}, v would reach no more than {highest:.4g}."
