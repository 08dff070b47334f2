"""The first difference between golden model and RTL, found in their traces and told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.image import CoreImage

__all__ = [
    "BEFORE",
    "COUNTED",
    "LEARNED",
    "UPDATED",
    "Mismatch",
    "Trace",
    "describe",
    "first_difference",
]

BEFORE = 3
"""Timesteps shown before the first difference; one is shown after it."""
UPDATED = ("i", "v", "spike", "refractory", "y", "h")
"""What a neuron's update writes, in the order in which one follows from the other."""
LEARNED = ("eligibility", "weights", "x", "random")
"""What plastic synapses and their sources keep, in the same order."""
COUNTED = ("cycles", "synapses", "saturations")
_OF_SYNAPSES = ("eligibility", "weights")

Trace = dict[str, npt.NDArray[Any]]
"""A variable's value after each timestep: ``[timesteps]``, ``[timesteps, neurons]``, or
``[timesteps, delay_slots, neurons]`` for ``acc``; ``[timesteps, words, lanes]`` for ``weights`` and
``eligibility``, ``[timesteps, sources]`` for ``x``."""


@dataclass(frozen=True)
class Mismatch:
    """The first difference between golden model and RTL.

    Attributes
    ----------
    sample, timestep : int
    neuron, source : int or None
        Those that the variable belongs to; both None for a count, such as ``cycles``, and for a
        word in no row.
    index : tuple of int
        Where it is in its trace after the timestep, as ``(word, lane)``.
    variable : str
        Of :data:`UPDATED`, ``acc``, or of :data:`LEARNED` or :data:`COUNTED`.
    golden, rtl : int
        The two values.
    columns : tuple of str
        Names of the variables in ``rows``.
    rows : tuple of (int, tuple of int, tuple of int)
        The two traces around it: timestep, golden's values, the RTL's.
    waveform : Path or None
        Waveform of the timesteps in ``rows``, if asked for.
    recurred : bool
        False if the run that wrote the waveform did not show the difference.
    """

    sample: int
    timestep: int
    neuron: int | None
    source: int | None
    index: tuple[int, ...]
    variable: str
    golden: int
    rtl: int
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[int, ...], tuple[int, ...]], ...]
    waveform: Path | None = None
    recurred: bool = True

    def __str__(self) -> str:
        name = "weight" if self.variable == "weights" else self.variable
        lines = [
            f"Sample {self.sample}, timestep {self.timestep}{self._place()}: "
            f"{name} is {self.golden} in the golden model and {self.rtl} in the RTL.",
            "Around it (golden | RTL):",
            *self._table(),
        ]
        if self.waveform is not None:
            lines.append(f"Waveform of these timesteps: {self.waveform}")
            if not self.recurred:
                lines.append("The run that wrote it did not show the difference: it depends on")
                lines.append("stalls, or on what was in the core before.")
        return "\n".join(lines)

    def _place(self) -> str:
        if self.variable in _OF_SYNAPSES:
            word, lane = self.index
            row = "in no row"
            if self.source is not None:
                row = f"from source {self.source} to neuron {self.neuron}"
            return f", word {word}, lane {lane} ({row})"
        if self.source is not None:
            return f", source {self.source}"
        return "" if self.neuron is None else f", neuron {self.neuron}"

    def _table(self) -> list[str]:
        """Lines of the two traces, ``golden | RTL``, differences marked with a star."""
        cells = [["timestep", *(f"{name}  " for name in self.columns)]]
        for timestep, golden, rtl in self.rows:
            pairs = (
                f"{a} | {b}{' *' if a != b else '  '}" for a, b in zip(golden, rtl, strict=True)
            )
            cells.append([str(timestep), *pairs])
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return ["  ".join(map(str.rjust, row, widths)).rstrip() for row in cells]


def first_difference(golden: Trace, rtl: Trace) -> tuple[int, str, tuple[int, ...]] | None:
    """Timestep, variable and index of the first difference.

    In one timestep the neuron updated first counts, since neurons of later levels, accumulators and
    synapses may be wrong because of it; then accumulators, then what learns, then what is only
    counted.
    """
    unequal = {
        name: golden[name] != rtl[name]
        for name in golden
        if not np.array_equal(golden[name], rtl[name])
    }
    if not unequal:
        return None
    timestep = min(int(np.argwhere(where)[0, 0]) for where in unequal.values())
    found = [
        (_rank(name, index), name, tuple(index))
        for name, where in unequal.items()
        for index in np.argwhere(where[timestep])[:1].tolist()
    ]
    _, name, index = min(found)
    return timestep, name, index


def _rank(name: str, index: list[int]) -> tuple[int, int, int]:
    if name in UPDATED:
        return 0, index[0], UPDATED.index(name)
    if name in LEARNED:
        return 2, LEARNED.index(name), 0
    return (3 if name in COUNTED else 1), 0, 0


def describe(
    sample: int,
    first: int,
    row: int,
    at: tuple[str, tuple[int, ...]],
    golden: Trace,
    rtl: Trace,
    image: CoreImage,
) -> Mismatch:
    """The mismatch in a row of the traces, which begin at timestep ``first``.

    It is ``at`` that variable and index, of :func:`first_difference`, in a run of ``image``.
    """
    name, index = at
    source, neuron = _owner(name, index, image)
    slot = index[0] if name == "acc" else (first + row) % golden["acc"].shape[1]
    columns = _columns(name, index, source, neuron, slot)
    columns = {shown: where for shown, where in columns.items() if where[0] in golden}
    timesteps = range(max(0, row - BEFORE), min(row + 2, len(rtl["cycles"])))

    def values(trace: Trace, t: int) -> tuple[int, ...]:
        return tuple(int(trace[variable][t, *where]) for variable, where in columns.values())

    return Mismatch(
        sample=sample,
        timestep=first + row,
        neuron=neuron,
        source=source,
        index=index,
        variable=name,
        golden=int(golden[name][row, *index]),
        rtl=int(rtl[name][row, *index]),
        columns=tuple(columns),
        rows=tuple((first + t, values(golden, t), values(rtl, t)) for t in timesteps),
    )


def _owner(name: str, index: tuple[int, ...], image: CoreImage) -> tuple[int | None, int | None]:
    """Source and neuron that a variable belongs to; of a word, the first row that reads it."""
    if name in _OF_SYNAPSES:
        row, word, group = image.row_words(np.arange(image.spec.sources))
        readers = np.flatnonzero(word == index[0])
        if not readers.size:
            return None, None
        return int(row[readers[0]]), int(group[readers[0]]) * image.spec.lanes + index[1]
    if name == "x":
        return index[0], None
    return None, index[-1] if index else None


def _columns(
    name: str, index: tuple[int, ...], source: int | None, neuron: int | None, slot: int
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What is shown beside a variable, by heading: names and indices in the traces."""
    columns: dict[str, tuple[str, tuple[int, ...]]] = {}
    if name in _OF_SYNAPSES:
        columns = {of: (of, index) for of in _OF_SYNAPSES}
    elif name not in COUNTED and neuron is not None:
        columns = {kept: (kept, (neuron,)) for kept in UPDATED}
        columns[f"acc[{slot}]"] = ("acc", (slot, neuron))
        return columns
    if source is not None:
        columns["x"] = ("x", (source,))
    if neuron is not None:
        columns |= {"y": ("y", (neuron,)), "spike": ("spike", (neuron,))}
    if name in LEARNED:
        return columns | {"random": ("random", ())}
    return {counted: (counted, ()) for counted in COUNTED}
