"""A content-addressable memory: recurrent cells of CA3 that learn, recall and forget in the core.

A memory is a set of cells that spike together. A burst of them learns it; any fragment recalls it,
as synapses among its cells make up for those that the cue lacks, and only so many cells can win;
lone volleys forget it. Recall leaves the synapses as they are, so learning can stay on throughout.

Source: D. Casanueva-Morato et al., "Bio-inspired computational memory model of the Hippocampus: an
approach to a neuromorphic spike-based Content-Addressable Memory", Neural Netw. 178 (2024).
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from common import Cores, command, save_figure, save_row
from matplotlib.figure import Figure

from spikewright.compiler.plastic import plastic_image
from spikewright.console import Console, Table
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.spec import CoreSpec

__all__ = ["SPEC", "Memory", "disjoint", "drawn", "forgetting", "learning", "recalling", "run"]

Bools = npt.NDArray[np.bool_]

CELLS = 128
SIZE = 8
"""Cells of a memory, but for other capacities."""
STOP = CELLS
"""The axon that silences all cells; axon n < 128 drives cell n."""
BURST, HELD, VOLLEYS = 5, 4, 3
"""Timesteps of a burst that learns and of a held cue; volleys that forget."""
SIZES = (4, 8, 16)
"""Cells of a memory whose capacity is plotted."""
BAR = 0.95
"""Least share of memories that are recalled to the last cell."""

SPEC = CoreSpec(
    axons=CELLS + 1,
    neurons=CELLS,
    state_bits=16,
    fraction_bits=0,
    refractory_bits=0,
    synapse_current=False,
    plasticity="window",
    trace_bits=4,
    trace_fraction_bits=0,
    winners=max(SIZES),
)
RULE = LearningRule(pre_step=1, post_step=2, pre_change=2, post_change=4, w_min=0, w_max=7)
"""A spike raises a synapse onto cells that spike one timestep later, by 4, and lowers one onto
cells that spike in the same timestep, by 2: a burst learns (0 to 5), recall keeps a synapse at 5,
and a lone volley forgets 2."""


# Memories and spike trains


def disjoint(count: int) -> Bools:
    """Orthogonal memories, of 8 cells each that no other has: ``bool[count, 128]``."""
    return np.eye(CELLS // SIZE, dtype=np.bool_).repeat(SIZE, axis=1)[:count]


def drawn(rng: np.random.Generator, count: int, size: int = SIZE) -> Bools:
    """Memories of cells drawn at random: ``bool[count, 128]``."""
    return rng.random((count, CELLS)).argsort(axis=1) < size


def overlapping(rng: np.random.Generator, pairs: int, shared: int) -> Bools:
    """Pairs of memories that share cells with each other alone: ``bool[2 * pairs, 128]``."""
    cells = rng.permutation(CELLS)[: pairs * (2 * SIZE - shared)].reshape(pairs, -1)
    memories = np.zeros((2 * pairs, CELLS), np.bool_)
    rows = np.arange(pairs)[:, None]
    memories[2 * rows, cells[:, :SIZE]] = True
    memories[2 * rows + 1, cells[:, SIZE - shared :]] = True
    return memories


def fragments(rng: np.random.Generator, memories: Bools, size: int) -> Bools:
    """So many cells of each memory, drawn at random."""
    return (rng.random(memories.shape) + ~memories).argsort(axis=1).argsort(axis=1) < size


def learning(memory: Bools) -> Bools:
    """Spikes that learn a memory: a burst, then silence. ``bool[timesteps, axons]``."""
    return _train(memory, [True] * BURST + [False], stops=[BURST])


def recalling(cue: Bools) -> Bools:
    """Spikes that recall: the cue is held, and what spikes in its last timestep is recalled."""
    return _train(cue, [True] * HELD + [False], stops=[HELD])


def forgetting(memory: Bools) -> Bools:
    """Spikes that forget: lone volleys, each silenced before it recalls."""
    return _train(memory, [True, False] * VOLLEYS, stops=range(1, 2 * VOLLEYS, 2))


def _train(cells: Bools, driven: Sequence[bool], stops: Sequence[int]) -> Bools:
    spikes = np.zeros((len(driven) + 1, CELLS + 1), np.bool_)
    spikes[:-1, :CELLS] = np.array(driven)[:, None] & cells
    spikes[stops, STOP] = True
    return spikes


# The memory


def blank(size: int = SIZE) -> CoreImage:
    """Cells that have learned nothing: all-to-all synapses of weight 0, ``size`` winners."""
    drive = np.vstack([127 * np.eye(CELLS, dtype=np.int64), np.full((1, CELLS), -127)])
    return plastic_image(
        SPEC,
        drive,
        np.zeros((CELLS, CELLS), np.int64),
        axon_plastic=False,
        neuron_plastic=~np.eye(CELLS, dtype=np.bool_),
        winners=[size],
        rule=RULE,
        v_threshold=RULE.w_max - RULE.pre_change - 1,
        reset_to=1,
    )


class Memory:
    """Cells in a core, blank at first.

    Parameters
    ----------
    cores : Cores
    size : int
        Cells of a memory.
    """

    def __init__(self, cores: Cores, size: int = SIZE) -> None:
        self._cores = cores
        cores.load(blank(size))

    def learn(self, memories: Bools) -> CoreImage:
        """Learn one after the other. ``memories`` is ``bool[memories, cells]``."""
        self._cores.run(np.stack([learning(memory) for memory in memories]), learn=True)
        return self._cores.learned_image()

    def forget(self, memories: Bools) -> CoreImage:
        """Forget one after the other."""
        self._cores.run(np.stack([forgetting(memory) for memory in memories]), learn=True)
        return self._cores.learned_image()

    def recall(self, cues: Bools) -> Bools:
        """What each cue recalls, ``bool[cues, cells]``, with learning switched off."""
        run = self._cores.run(np.stack([recalling(cue) for cue in cues]))
        return run.spikes[:, HELD - 1]

    def live(self, trains: Sequence[Bools]) -> list[Bools]:
        """Run trains in one go, learning throughout; the spikes of each."""
        run = self._cores.run(np.concatenate(trains)[None], learn=True)
        self._cores.learned_image()
        ends = np.cumsum([len(train) for train in trains])
        return np.split(run.spikes[0], ends[:-1])


def exact(recalled: Bools, memories: Bools) -> float:
    """Share of the memories that were recalled to the last cell, with none too many."""
    return float((recalled == memories).all(axis=1).mean())


# Experiments


def by_fragment(cores: Cores, rng: np.random.Generator) -> dict[str, list[float]]:
    """Recall from 1 to 8 cells, of orthogonal memories and of more that overlap at random."""
    shares = {}
    for name, memories in (("16 orthogonal", disjoint(16)), ("40 random", drawn(rng, 40))):
        memory = Memory(cores)
        memory.learn(memories)
        shares[name] = [
            exact(memory.recall(fragments(rng, memories, size)), memories)
            for size in range(1, SIZE + 1)
        ]
    return shares


def by_overlap(cores: Cores, rng: np.random.Generator, draws: int) -> dict[str, list[float]]:
    """Recall from half a cue of pairs that share 0 to 7 cells.

    Returns
    -------
    exact, own : list of float
        Share of exact recalls, and of cues with a cell that the other memory has not: without one
        a cue does not tell which is meant.
    """
    shares: dict[str, list[float]] = {"exact": [], "own": []}
    for shared in range(SIZE):
        memories = overlapping(rng, 8, shared)
        other = memories.reshape(-1, 2, CELLS)[:, ::-1].reshape(-1, CELLS)
        memory = Memory(cores)
        memory.learn(memories)
        cues = [fragments(rng, memories, SIZE // 2) for _ in range(draws)]
        shares["exact"].append(float(np.mean([exact(memory.recall(c), memories) for c in cues])))
        shares["own"].append(float(np.mean([(c & ~other).any(axis=1).mean() for c in cues])))
    return shares


def by_count(cores: Cores, rng: np.random.Generator, size: int, counts: range) -> list[float]:
    """Recall from half a cue after each of these numbers of memories."""
    memory, memories = Memory(cores, size), drawn(rng, counts[-1], size)
    shares = []
    for count in counts:
        memory.learn(memories[count - counts.step : count])
        cues = fragments(rng, memories[:count], size // 2)
        shares.append(exact(memory.recall(cues), memories[:count]))
    return shares


def forget_one(cores: Cores, rng: np.random.Generator, runs: int) -> dict[str, float]:
    """Forget one of 16 random memories, then learn it again: recall of it, and of the others."""
    found = []
    for _ in range(runs):
        memory, memories = Memory(cores), drawn(rng, 16)
        memory.learn(memories)
        memory.forget(memories[:1])
        without = memory.recall(fragments(rng, memories, SIZE // 2))
        memory.learn(memories[:1])
        again = memory.recall(fragments(rng, memories, SIZE // 2))
        found.append([
            exact(without[:1], memories[:1]),
            exact(without[1:], memories[1:]),
            exact(again, memories),
        ])
    return dict(zip(("forgotten", "others", "again"), np.mean(found, axis=0).tolist(), strict=True))


@dataclass(frozen=True)
class Stream:
    """New memories learned between recalls of others, in one run that never stops learning.

    Attributes
    ----------
    recalled, after : float
        Share of exact recalls on the way, and of all memories when it is over.
    spikes : bool[timesteps, cells]
    learned : list of (int, int)
        First and last timestep of what learned a new memory.
    """

    recalled: float
    after: float
    spikes: Bools
    learned: list[tuple[int, int]]


def stream(
    cores: Cores, rng: np.random.Generator, known: int = 12, new: int = 6, between: int = 10
) -> Stream:
    """Learn ``new`` memories, with recalls of any learned so far before and after each."""
    memories = drawn(rng, known + new)
    memory = Memory(cores)
    memory.learn(memories[:known])
    asked: list[int | None] = []
    for there in range(known, known + new):
        asked += [*rng.integers(there, size=between).tolist(), None]
    asked += rng.integers(known + new, size=between).tolist()
    upcoming = iter(memories[known:])
    trains = [
        learning(next(upcoming))
        if index is None
        else recalling(fragments(rng, memories[[index]], SIZE // 2)[0])
        for index in asked
    ]
    spikes = memory.live(trains)
    recalls = [(k, index) for k, index in enumerate(asked) if index is not None]
    recalled = np.stack([spikes[k][HELD - 1] for k, _ in recalls])
    ends = np.cumsum([len(train) for train in trains])
    return Stream(
        exact(recalled, memories[[index for _, index in recalls]]),
        exact(memory.recall(fragments(rng, memories, SIZE // 2)), memories),
        np.concatenate(spikes),
        [(int(ends[k - 1]), int(ends[k]) - 1) for k, index in enumerate(asked) if index is None],
    )


# Figures


def measure(cores: Cores, seed: int, *, quick: bool, console: Console) -> dict[str, Any]:
    """All experiments; what is in the row, and the stream to be drawn."""
    rng = np.random.default_rng(seed)
    repeats, fills = (1, 4) if quick else (5, 12)
    curves = {}
    with console.progress("Filling the memory", len(SIZES) * repeats) as progress:
        for size in SIZES:
            step = 5 if size == max(SIZES) else 10
            counts, runs = range(step, fills * step + 1, step), []
            for _ in range(repeats):
                runs.append(by_count(cores, rng, size, counts))
                progress(1)
            curves[size] = {"memories": list(counts), "exact": np.mean(runs, axis=0).tolist()}
    return {
        "fragment": by_fragment(cores, rng),
        "overlap": by_overlap(cores, rng, draws=1 if quick else 8),
        "capacity": {size: _capacity(**curve) for size, curve in curves.items()},
        "curves": curves,
        "forget": forget_one(cores, rng, repeats),
        "stream": stream(cores, rng),
    }


def _capacity(memories: list[int], exact: list[float]) -> int:
    """Most memories of which at least 90 % are recalled from half a cue."""
    return max((m for m, share in zip(memories, exact, strict=True) if share >= 0.9), default=0)


def draw(path: Path, found: dict[str, Any]) -> None:
    """Recall against fragment, overlap and number of memories, and the stream's raster."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.subplot_mosaic([["fragment", "overlap", "count"], ["stream"] * 3])
    fragment, overlap, count, raster = axes.values()
    for name, shares in found["fragment"].items():
        fragment.plot(range(1, SIZE + 1), shares, "o-", label=name)
    fragment.set(xlabel=f"cells of the cue, of {SIZE}", ylabel="recalled exactly")
    overlap.plot(found["overlap"]["exact"], "o-", label="recalled exactly")
    overlap.plot(found["overlap"]["own"], "k:", label="cue is of one memory alone")
    overlap.set(xlabel=f"cells shared by two memories, of {SIZE}")
    for size, curve in found["curves"].items():
        count.plot(curve["memories"], curve["exact"], ".-", label=f"{size} cells each")
    count.set(xlabel=f"memories in {CELLS} cells, half a cue")
    for axis in (fragment, overlap, count):
        axis.set_ylim(0, 1.03)
        axis.legend(loc="lower left", frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    live = found["stream"]
    t, cell = np.nonzero(live.spikes)
    raster.scatter(t, cell, s=2, c="black", linewidths=0)
    for first, last in live.learned:
        raster.axvspan(first - 0.5, last + 0.5, color="tab:orange", alpha=0.4, linewidth=0)
    raster.set(
        xlabel="timestep",
        ylabel="cell",
        xlim=(-1, len(live.spikes)),
        title="Memories learned (shaded) while others are recalled, learning always on",
    )
    save_figure(path, figure)


def run(options: argparse.Namespace, console: Console) -> bool:
    """Learn, recall and forget; whether the bar is met and no targets differ."""
    started = time.perf_counter()
    with Cores(options) as cores:
        found = measure(cores, options.seed, quick=options.quick, console=console)
    live, forget = found["stream"], found["forget"]
    shares = {
        "orthogonal memories, from half a cue": found["fragment"]["16 orthogonal"][SIZE // 2 - 1],
        "pairs that share 3 cells of 8": found["overlap"]["exact"][3],
        "memories while others are learned": live.recalled,
        "all, once those are learned": live.after,
        "others, when one is forgotten": forget["others"],
        "all, when it is learned again": forget["again"],
    }
    met = min(shares.values()) >= BAR and forget["forgotten"] <= 1 - BAR and not cores.differences
    figures = {
        **cores.figures,
        "seed": options.seed,
        **found,
        "stream": {"recalled": live.recalled, "after": live.after},
        "bar": BAR,
        "met": met,
        "seconds": round(time.perf_counter() - started, 1),
    }
    save_row(options.folder, "memory", figures)
    draw(options.folder / "learn-memory.png", found)
    rows = [(name, f"{share:.1%}") for name, share in shares.items()]
    rows.append(("one that is forgotten", f"{forget['forgotten']:.1%}"))
    rows += [
        (f"nine in ten memories of {size} cells", f"up to {most}")
        for size, most in found["capacity"].items()
    ]
    console.result(
        figures,
        Table(("memory: recalled to the last cell", "share"), rows),
        f"bar {BAR:.0%}: " + ("met" if met else "MISSED"),
        *cores.verdict,
        f"wrote {options.folder / 'learn-memory.png'}",
    )
    return bool(met)


if __name__ == "__main__":
    sys.exit(command("A content-addressable memory that learns, recalls and forgets.", run))
