"""A run in the terminal: a raster that scrolls, rates, and membranes as sparklines."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from spikewright.console import plain
from spikewright.manifest import Population
from spikewright.monitored import Chunk, Monitored, Watched

__all__ = ["MonitorView", "braille", "line", "sparkline"]

_FRAME_S = 0.05
_MOST_COLUMNS = 400
"""Character cells of the raster's width at most; two timesteps each."""
_LABEL, _VALUE = 18, 16
"""Character cells left and right of it."""
_TRACE_ROWS = 3
"""Lines of text of a membrane."""
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red")

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int32]


def braille(dots: Bools) -> list[str]:
    """Dots ``bool[4 * rows, 2 * columns]`` as lines of Braille, four by two dots a character."""
    rows, columns = dots.shape[0] // 4, dots.shape[1] // 2
    cells = dots.reshape(rows, 4, columns, 2) * _DOTS[:, None, :]
    return ["".join(map(chr, row)) for row in 0x2800 + cells.sum(axis=(1, 3))]


def sparkline(values: Ints, rows: int, columns: int, low: int, high: int) -> list[str]:
    """A curve between two limits, four levels a line of text, two values a character."""
    levels = (values.astype(np.int64) - low) * (4 * rows - 1) // max(1, high - low)
    before = np.concatenate([levels[:1], levels[:-1]])
    height = np.arange(4 * rows)[::-1, None]
    dots = np.zeros((4 * rows, 2 * columns), np.bool_)
    dots[:, : len(values)] = height >= np.minimum(levels, before)
    dots[:, : len(values)] &= height <= np.maximum(levels, before)
    return braille(dots)


def line(watching: Monitored, chunk: Chunk) -> str:
    """A chunk as one line of plain text."""
    last = chunk.timestep + len(chunk.spikes) - 1
    parts = [f"sample {chunk.sample} timesteps {chunk.timestep}-{last}:"]
    for population in watching.populations:
        spikes = chunk.spikes[:, population.slice]
        parts.append(f"{population.name} {int(spikes.sum())} spikes ({spikes.mean():.3f})")
    parts += [
        f"v {w.name} {' '.join(map(str, chunk.v[:, k].tolist()))}"
        for k, w in enumerate(watching.watched)
    ]
    parts += [f"{chunk.overruns} overruns"] if chunk.overruns else []
    return "  ".join(parts)


class MonitorView:
    """The latest timesteps on a terminal, drawn anew at most 20 times a second.

    A context manager; its last frame stays.

    Parameters
    ----------
    watching : Monitored
    console : rich.console.Console, optional
        Where to draw; by default stdout.
    """

    def __init__(self, watching: Monitored, console: Console | None = None) -> None:
        self._watching = watching
        self._live = Live(
            self, console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=True
        )
        self._spikes = np.zeros((0, watching.image.spec.neurons), np.bool_)
        self._v = np.zeros((0, len(watching.watched)), np.int32)
        self._starts: list[tuple[int, int]] = []  # timestep since the run began, and its sample
        self._done = self._overruns = 0
        self._sample = self._timestep = 0
        self._began = self._drawn = time.monotonic()

    def __enter__(self) -> Self:
        try:
            self._live.start(refresh=True)
        except BaseException:  # Ctrl-C while it draws: the cursor is hidden by then
            self._live.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, chunk: Chunk) -> None:
        """Add timesteps on the right."""
        if chunk.timestep == 0:
            self._starts.append((self._done, chunk.sample))
        self._sample, self._timestep = chunk.sample, chunk.timestep + len(chunk.spikes)
        self._done += len(chunk.spikes)
        self._overruns += chunk.overruns
        self._spikes = np.concatenate([self._spikes, chunk.spikes])[-2 * _MOST_COLUMNS :]
        self._v = np.concatenate([self._v, chunk.v])[-2 * _MOST_COLUMNS :]
        if time.monotonic() - self._drawn >= _FRAME_S:
            self._live.refresh()
            self._drawn = time.monotonic()

    def __rich__(self) -> Group:
        """The frame, as wide and high as the terminal is now."""
        size = self._live.console.size
        columns = max(1, min(_MOST_COLUMNS, size.width - _LABEL - _VALUE - 4))
        first = max(0, self._done - 2 * columns)
        first += first % 2  # whole cells scroll, so that their dots stand still
        held = self._done - len(self._spikes)
        spikes, v = self._spikes[max(0, first - held) :], self._v[max(0, first - held) :]
        rows = size.height - 5 - _TRACE_ROWS * len(self._watching.watched)
        table = Table.grid(padding=(0, 2))
        table.add_column(width=_LABEL, no_wrap=True, overflow="ellipsis")
        table.add_column(width=columns, no_wrap=True, overflow="crop")
        table.add_column(width=_VALUE, no_wrap=True, overflow="ellipsis")
        for k, (population, a_dot) in enumerate(self._neurons_a_dot(rows)):
            self._add_raster(table, population, a_dot, spikes, columns, _COLOURS[k % 6])
        table.add_row(Text("sample", "dim"), Text(self._ruler(first, columns), "dim"), "")
        for k, w in enumerate(self._watching.watched):
            self._add_trace(table, w, v[:, k], columns)
        legend = "rate: spikes per neuron and timestep, over what is shown"
        return Group(self._heading(), "", table, Text(legend, "dim", no_wrap=True))

    def _heading(self) -> Text:
        watching = self._watching
        rate = self._done / max(1e-9, time.monotonic() - self._began)
        heading = Text(no_wrap=True, overflow="ellipsis")
        heading.append(plain(watching.title, ""), "bold")
        heading.append(plain(f" on {watching.target}", ""))
        heading.append(
            f"   sample {self._sample + 1} of {watching.samples}"
            f"   timestep {self._timestep} of {watching.timesteps}   {rate:.0f} timesteps/s",
            "dim",
        )
        if watching.period_s is not None:
            style = "bold red" if self._overruns else "dim"
            heading.append(f"   {self._overruns} overruns", style)
        return heading

    def _neurons_a_dot(self, rows: int) -> list[tuple[Population, int]]:
        """Neurons that share a dot, for each population: as few as these lines of text allow."""
        populations = self._watching.populations
        wanted = [-(-p.count // 4) for p in populations]
        scale = min(1.0, rows / sum(wanted))
        lines = [max(1, int(count * scale)) for count in wanted]
        return [(p, -(-p.count // (4 * k))) for p, k in zip(populations, lines, strict=True)]

    def _add_raster(
        self,
        table: Table,
        population: Population,
        a_dot: int,
        spikes: Bools,
        columns: int,
        colour: str,
    ) -> None:
        rows = -(-population.count // (4 * a_dot))
        dots = np.zeros((4 * rows * a_dot, 2 * columns), np.bool_)
        dots[: population.count, : len(spikes)] = spikes[:, population.slice].T
        merged: Bools = np.logical_or.reduce(dots.reshape(4 * rows, a_dot, -1), axis=1)
        rate = spikes[:, population.slice].mean() if len(spikes) else 0.0
        labels = [plain(population.name, ""), f"{population.count} neurons"]
        labels += [f"{a_dot} a dot"] if a_dot > 1 else []
        self._add_lines(table, labels, braille(merged), [f"rate {rate:.4f}"], colour)

    def _add_trace(self, table: Table, watched: Watched, v: Ints, columns: int) -> None:
        if not len(v):
            return
        low, high = int(v.min()), int(v.max())
        if watched.threshold <= 2 * high - low:  # near enough to leave room for it
            high = max(high, watched.threshold)
        values = [f"{v[-1]}", f"threshold {watched.threshold}"]
        labels = [plain(f"v {watched.name}", ""), f"neuron {watched.neuron}"]
        drawing = sparkline(v, _TRACE_ROWS, columns, low, high)
        self._add_lines(table, labels, drawing, values, "default")

    def _add_lines(
        self,
        table: Table,
        labels: Sequence[str],
        drawing: Sequence[str],
        values: Sequence[str],
        colour: str,
    ) -> None:
        for k, drawn in enumerate(drawing):
            label = Text(labels[k] if k < len(labels) else "", "bold" if k == 0 else "dim")
            value = Text(values[k] if k < len(values) else "", "" if k == 0 else "dim")
            table.add_row(label, Text(drawn, colour), value)

    def _ruler(self, first: int, columns: int) -> str:
        """Where samples start."""
        ruler = [" "] * columns
        for start, sample in self._starts:
            mark = f"╵{sample}"
            at = (start - first) // 2
            if 0 <= at <= columns - len(mark):
                ruler[at : at + len(mark)] = mark
        self._starts = [entry for entry in self._starts if entry[0] >= first]
        return "".join(ruler)
