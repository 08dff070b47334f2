"""The first difference between golden model and RTL, found in their traces and told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BEFORE", "COUNTED", "UPDATED", "Mismatch", "Trace", "describe", "first_difference"]

BEFORE = 3
"""Timesteps shown before the first difference; one is shown after it."""
UPDATED = ("i", "v", "spike", "refractory")
"""What a neuron's update writes, in the order in which one follows from the other."""
COUNTED = ("cycles", "synapses", "saturations")

Trace = dict[str, npt.NDArray[Any]]
"""A variable's value after each timestep: ``[timesteps]``, ``[timesteps, neurons]``, or
``[timesteps, delay_slots, neurons]`` for ``acc``."""


@dataclass(frozen=True)
class Mismatch:
    """The first difference between golden model and RTL.

    Attributes
    ----------
    sample, timestep : int
    neuron : int or None
        None where the variable belongs to no neuron, as ``cycles``.
    slot : int or None
        Delay slot of an accumulator.
    variable : str
        ``i``, ``v``, ``spike``, ``refractory``, ``acc``, ``cycles``, ``synapses`` or
        ``saturations``.
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
    slot: int | None
    variable: str
    golden: int
    rtl: int
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[int, ...], tuple[int, ...]], ...]
    waveform: Path | None = None
    recurred: bool = True

    def __str__(self) -> str:
        where = "" if self.neuron is None else f", neuron {self.neuron}"
        lines = [
            f"Sample {self.sample}, timestep {self.timestep}{where}: "
            f"{self.variable} is {self.golden} in the golden model and {self.rtl} in the RTL.",
            "Around it (golden | RTL):",
            *self._table(),
        ]
        if self.waveform is not None:
            lines.append(f"Waveform of these timesteps: {self.waveform}")
            if not self.recurred:
                lines.append("The run that wrote it did not show the difference: it depends on")
                lines.append("stalls, or on what was in the core before.")
        return "\n".join(lines)

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

    In one timestep the neuron updated first counts, since neurons of later levels and all
    accumulators may be wrong because of it; then accumulators, then what is only counted.
    """
    unequal = {
        name: golden[name] != rtl[name]
        for name in golden
        if not np.array_equal(golden[name], rtl[name])
    }
    if not unequal:
        return None
    timestep = min(int(np.argwhere(where)[0, 0]) for where in unequal.values())
    found = []
    for name, where in unequal.items():
        for index in np.argwhere(where[timestep])[:1].tolist():
            if name in UPDATED:
                found.append(((0, index[0], UPDATED.index(name)), name, tuple(index)))
            else:
                found.append(((1, int(name in COUNTED), 0), name, tuple(index)))
    _, name, index = min(found)
    return timestep, name, index


def describe(
    sample: int, first: int, row: int, at: tuple[str, tuple[int, ...]], golden: Trace, rtl: Trace
) -> Mismatch:
    """The mismatch in a row of the traces, which begin at timestep ``first``.

    It is ``at`` that variable and index, of :func:`first_difference`.
    """
    name, index = at
    columns: dict[str, tuple[str, tuple[int, ...]]]
    if index:
        slot = index[0] if name == "acc" else (first + row) % golden["acc"].shape[1]
        columns = {kept: (kept, index[-1:]) for kept in UPDATED if kept in golden}
        columns[f"acc[{slot}]"] = ("acc", (slot, index[-1]))
    else:
        columns = {counted: (counted, ()) for counted in COUNTED}
    timesteps = range(max(0, row - BEFORE), min(row + 2, len(rtl["cycles"])))

    def values(trace: Trace, t: int) -> tuple[int, ...]:
        return tuple(int(trace[variable][t, *where]) for variable, where in columns.values())

    return Mismatch(
        sample=sample,
        timestep=first + row,
        neuron=index[-1] if index else None,
        slot=index[0] if name == "acc" else None,
        variable=name,
        golden=int(golden[name][row, *index]),
        rtl=int(rtl[name][row, *index]),
        columns=tuple(columns),
        rows=tuple((first + t, values(golden, t), values(rtl, t)) for t in timesteps),
    )
