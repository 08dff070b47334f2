"""Placement: axons and neuron slots of every population, and the weight rows of every source."""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from .ir import Circuit, Edge, Placement, Quantized, RawArray

__all__ = ["place"]


def place(circuit: Circuit, quantized: Quantized, lanes: int) -> Placement:
    """Lay a quantized circuit out for a core with so many lanes.

    Inputs and populations follow one another; each level starts with a new neuron group. A row
    covers the groups from a source's first nonzero weight to its last.
    """
    sizes = {name: population.size for name, population in circuit.populations.items()}
    neurons: dict[str, slice] = {}
    level_groups = []
    slots = 0
    for level in circuit.levels:
        start = slots
        for name in level:
            neurons[name] = slice(slots, slots + sizes[name])
            slots += sizes[name]
        slots += -slots % lanes
        level_groups.append((slots - start) // lanes)
    axons = _ranges((name, int(np.prod(shape))) for name, shape in circuit.inputs.items())
    matrix = _crossbar(quantized.weights, axons, neurons, slots)
    return Placement(axons, neurons, tuple(level_groups), _rows(matrix, lanes))


def _ranges(sizes: Iterable[tuple[str, int]]) -> dict[str, slice]:
    """One range after the other."""
    ranges = {}
    first = 0
    for name, size in sizes:
        ranges[name] = slice(first, first + size)
        first += size
    return ranges


def _crossbar(
    weights: Mapping[Edge, RawArray],
    axons: Mapping[str, slice],
    neurons: Mapping[str, slice],
    slots: int,
) -> npt.NDArray[np.int16]:
    """Weights from every source in use to every slot in use, ``int16[axons + slots, slots]``."""
    lines = max((where.stop for where in axons.values()), default=0)
    matrix = np.zeros((lines + slots, slots), np.int16)
    for (source, target), weight in weights.items():
        if source in axons:
            rows = axons[source]
        else:
            rows = slice(lines + neurons[source].start, lines + neurons[source].stop)
        matrix[rows, neurons[target]] = weight.T
    return matrix


def _rows(matrix: npt.NDArray[np.int16], lanes: int) -> dict[str, npt.NDArray[np.int64]]:
    """Words and descriptors of each row of a crossbar."""
    sources, slots = matrix.shape
    words = matrix.reshape(sources, slots // lanes, lanes)
    used = np.asarray((words != 0).any(axis=2))
    first = used.argmax(axis=1)
    count = np.where(used.any(axis=1), used.shape[1] - used[:, ::-1].argmax(axis=1) - first, 0)
    group = np.arange(used.shape[1])
    covered = (group >= first[:, None]) & (group < (first + count)[:, None])
    ends = np.cumsum(count)
    return {
        "weights": words[covered].astype(np.int64),
        "first_word": np.where(count > 0, ends - count, 0),
        "word_count": count,
        "first_group": first,
    }
