"""Placement: axons and neuron slots of every population, and the weight rows of every source."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from spikewright.errors import ModelError
from spikewright.manifest import Population as Range

from .ir import Circuit, Placement, Quantized
from .matrices import rows_of

__all__ = ["Synapses", "place", "weight_rows"]

Rows = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Synapses:
    """Nonzero weights one by one: row of the source, slot of the target; sources there are."""

    row: npt.NDArray[np.int32]
    slot: npt.NDArray[np.int32]
    delay: npt.NDArray[np.uint8]
    weight: npt.NDArray[np.int16]
    sources: int
    lanes: int

    @property
    def group(self) -> npt.NDArray[np.int32]:
        """Neuron group of each target."""
        return self.slot // np.int32(self.lanes)

    @property
    def lane(self) -> npt.NDArray[np.int32]:
        """Lane of each target."""
        return self.slot % np.int32(self.lanes)


def place(circuit: Circuit, quantized: Quantized, lanes: int, sparse: bool = False) -> Placement:
    """Lay a quantized circuit out for a core with so many lanes.

    Inputs and populations follow one another; each level starts with a new neuron group. Neurons
    of a shape with channels are stored channel last, from a new group on, where their rows take
    fewer words so: a convolution reaches all channels at few positions. If rows are sparse, another
    such order is by blocks of as many channels as lanes, so that a word has one position of a
    block, or several, two rows high, of the last block if that is smaller. A row covers the groups
    from a source's first nonzero weight to its last; a sparse one has only words with weights in
    them, and a group's as often as it takes for synapses of several delays from the source to one
    neuron.

    Raises
    ------
    ModelError
        Synapses of several delays from one source to one neuron, where rows are not sparse.
    """
    inputs, first = {}, 0
    for name, shape in circuit.inputs.items():
        inputs[name] = Range(name=name, first=first, count=prod(shape), shape=shape)
        first += prod(shape)
    populations: dict[str, Range] = {}
    level_groups = []
    slots = 0
    for level in circuit.levels:
        start = slots
        for name in level:
            where = _range(circuit, quantized, name, slots, lanes, sparse)
            populations[name] = where
            slots = where.first + where.count
        slots += -slots % lanes
        level_groups.append((slots - start) // lanes)
    placement = Placement(inputs, populations, tuple(level_groups), {})
    synapses = _synapses(circuit, quantized, placement, lanes)
    return replace(placement, rows=weight_rows(synapses, placement, sparse))


def weight_rows(synapses: Synapses, placement: Placement, sparse: bool) -> Rows:
    """Words and descriptors of all sources, as in :class:`Placement`, which is otherwise complete.

    Raises
    ------
    ModelError
        As :func:`place`.
    """
    return _sparse_rows(synapses) if sparse else _dense_rows(synapses, placement)


def _range(
    circuit: Circuit, quantized: Quantized, name: str, first: int, lanes: int, sparse: bool
) -> Range:
    """The first free slots, in the order that takes fewer words; on a tie in C order."""
    population = circuit.populations[name]
    plain = Range(name=name, first=first, count=population.size, shape=population.shape)
    if len(population.shape) < 2:
        return plain
    axes = (*range(1, len(population.shape)), 0)
    aligned = first + -first % lanes
    orders = [plain, plain.model_copy(update={"first": aligned, "axes": axes})]
    if sparse:
        tile = (lanes, 2, *(1 for _ in axes[2:]))
        orders.append(orders[1].model_copy(update={"tile": tile}))
    matrices = [quantized.weights[edge] for edge in circuit.into(name)]
    return min(
        orders,
        key=lambda where: sum(_words(m, where.positions // lanes, sparse) for m in matrices),
    )


def _words(matrix: csr_array, group: npt.NDArray[np.int64], sparse: bool) -> int:
    """Words that a matrix alone takes if its targets lie in these groups."""
    stored = matrix.data != 0
    source, group = matrix.indices[stored], group[rows_of(matrix)[stored]]
    if sparse:
        return len(np.unique(source * (group.max(initial=0) + 1) + group))
    last, first = np.full(matrix.shape[1], -1), np.full(matrix.shape[1], np.iinfo(np.int64).max)
    np.maximum.at(last, source, group)
    np.minimum.at(first, source, group)
    return int((last - first + 1)[last >= 0].sum())


def _synapses(circuit: Circuit, quantized: Quantized, placement: Placement, lanes: int) -> Synapses:
    """Every nonzero weight where it lies."""
    lines = placement.lines
    parts = []
    for edge, matrix in quantized.weights.items():
        stored = matrix.data != 0
        target, source = rows_of(matrix)[stored], matrix.indices[stored]
        if edge.source in placement.inputs:
            row = placement.inputs[edge.source].positions[source]
        else:
            row = lines + placement.populations[edge.source].positions[source]
        delay = np.full(len(row), circuit.core_delay(edge), np.uint8)
        slot = placement.populations[edge.target].positions[target]
        parts.append((row.astype(np.int32), slot.astype(np.int32), delay, matrix.data[stored]))
    row, slot, delay, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    sources = lines + sum(placement.level_groups) * lanes
    return Synapses(row, slot, delay, weight.astype(np.int16), sources, lanes)


def _dense_rows(synapses: Synapses, placement: Placement) -> Rows:
    """Words and descriptors of rows that run from the first group they reach to the last."""
    row, group = synapses.row, synapses.group
    last = np.full(synapses.sources, -1)
    first = np.full(synapses.sources, np.iinfo(np.int64).max)
    np.maximum.at(last, row, group)
    np.minimum.at(first, row, group)
    first[last < 0] = 0
    count = np.where(last < 0, 0, last - first + 1)
    first_word = np.where(count > 0, np.cumsum(count) - count, 0)
    word = (first_word - first)[row] + group
    rows = _fill(synapses, word, int(count.sum()))
    if np.count_nonzero(rows["weights"]) < len(row):
        _refuse(synapses, placement)
    within = np.arange(len(rows["weights"])) - np.repeat(first_word, count)
    return rows | {
        "first_word": first_word,
        "word_count": count,
        "first_group": first,
        "word_group": np.repeat(first, count) + within,
    }


def _sparse_rows(synapses: Synapses) -> Rows:
    """Words and descriptors of rows whose words have a neuron group each."""
    groups = int(synapses.group.max(initial=0)) + 1
    copy, copies = _copies(synapses)
    key = (synapses.row.astype(np.int64) * groups + synapses.group) * copies + copy
    words, word = np.unique(key, return_inverse=True)
    count = np.bincount(words // (copies * groups), minlength=synapses.sources)
    return _fill(synapses, word, len(words)) | {
        "first_word": np.where(count > 0, np.cumsum(count) - count, 0),
        "word_count": count,
        "first_group": np.zeros_like(count),
        "word_group": words // copies % groups,
    }


def _copies(synapses: Synapses) -> tuple[npt.NDArray[np.int64], int]:
    """Number each synapse among those from its source to its neuron, and one over the highest.

    Synapses of one number can share words.
    """
    copy = np.zeros(len(synapses.row), np.int64)
    if len(copy) and synapses.delay.min() < synapses.delay.max():
        key = synapses.row.astype(np.int64) << 32 | synapses.slot
        order = np.argsort(key, kind="stable")
        run = np.flatnonzero(np.diff(key[order], prepend=-1))
        copy[order] = np.arange(len(key)) - np.repeat(run, np.diff(run, append=len(key)))
    return copy, int(copy.max(initial=0)) + 1


def _fill(synapses: Synapses, word: npt.NDArray[np.int64], words: int) -> Rows:
    """Weights and delays, each synapse in its word."""
    weights = np.zeros((words, synapses.lanes), np.int16)
    delays = np.zeros((words, synapses.lanes), np.uint8)
    weights[word, synapses.lane] = synapses.weight
    delays[word, synapses.lane] = synapses.delay
    return {"weights": weights, "delays": delays}


def _refuse(synapses: Synapses, placement: Placement) -> None:
    """Say which synapses want the same place."""
    key = synapses.row.astype(np.int64) << 32 | synapses.slot
    order = np.argsort(key, kind="stable")
    twice = order[np.flatnonzero(np.diff(key[order]) == 0)[0] :][:2]
    delays = " and ".join(str(delay) for delay in sorted(synapses.delay[twice]))
    row, slot = int(synapses.row[twice[0]]), int(synapses.slot[twice[0]])
    row -= placement.lines
    ranges: Mapping[str, Range] = placement.populations
    if row < 0:
        row, ranges = row + placement.lines, placement.inputs
    source, neuron = _name(ranges, row), _name(placement.populations, slot)
    raise ModelError(
        f"Node {neuron}: synapses from {source} must all have one delay, not {delays} timesteps: "
        "the core's rows hold one weight from a source to a neuron.",
        hint="Compile for a core with sparse rows (sparse=True), or give these ways one delay.",
    )


def _name(ranges: Mapping[str, Range], position: int) -> str:
    """Who is at an axon or a slot."""
    for name, where in ranges.items():
        at = np.flatnonzero(where.positions == position)
        if at.size:
            return f"{name!r}, neuron {at[0]}"
    return f"slot {position}"
