"""Features of moving edges, found event by event: winners with adaptive thresholds.

An event of an event camera is seen as the ages of the latest events around it, its time surface:
two axons for each pixel of a patch spike if its age is below a shorter and a longer limit. In one
timestep for each event, the neuron furthest above its threshold wins, raises the synapses of axons
that spiked, and lowers those of axons that spike with the events that follow, of other edges. The
thresholds grow when their neurons win and decay with each event, so that all neurons win equally
often; an event that reaches none is missed. As features converge, fewer are.

Source: S. Afshar et al., "Event-Based Feature Extraction Using Adaptive Selection Thresholds",
Sensors 20 (2020), for winners, thresholds and missed events. There thresholds fall by a step with
each event that is missed; here they decay all the time, as the core's do.
"""

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from common import Cores, command, save_figure, save_row
from matplotlib.figure import Figure

from spikewright.compiler.plastic import axon_weights_of, plastic_image
from spikewright.console import Console, Table
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.spec import CoreSpec

__all__ = ["SPEC", "Events", "edges", "extractor", "follow", "run", "sweep"]

SENSOR, REACH = 16, 3
PATCH = 2 * REACH + 1
AGES = (2.0, 5.0)
"""Limits of a pixel's age [ms]."""
SPEEDS = (0.7, 1.4)
"""Slowest and fastest edge [pixels/ms]."""
JITTER_MS = 0.15
NOISE = 0.1
"""Events of no edge, for each event of one."""
BETWEEN_MS = 0.5
"""Time between two edges in the middle of their sensors, of which each has its own."""
MARGIN_MS = 8.0
"""At the beginning and the end, when fewer edges move, events are left out."""
SWEEPS, FRESH, QUICK = 200, 80, 70
CHUNK = 500
"""Events between two looks at the core."""
MISSED_BAR = 0.05
FALL_BAR = 0.2
"""Share of the missed events at first that may still be missed in the end."""

SPEC = CoreSpec(
    axons=len(AGES) * PATCH**2,
    neurons=16,
    state_bits=22,
    fraction_bits=4,
    synapse_current=False,
    refractory_bits=0,
    plasticity="trace",
    trace_bits=13,
    trace_fraction_bits=6,
    soft_bounds=True,
    stochastic_rounding=True,
    adaptive_threshold=True,
    winners=1,
)
W_MAX = 127
STEP = 0.015
"""Share of its distance from the bound by which an event moves a weight."""
POST_DECAY = 0.9
"""Of the post trace, each event: how soon lowering ends."""
THRESHOLD_EVENTS = 400
"""Events in which a threshold decays by 1/e."""
THRESHOLD = 0.55
"""Threshold of neurons that all win equally often, by the drive of an edge at full weights."""
SPIKES_OF_AN_EDGE = 42
"""Axons that spike for an event of an edge, on average."""

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


# Events


@dataclass(frozen=True)
class Events:
    """Events in the order of their times.

    Attributes
    ----------
    times : float64[events]
        [ms]
    surfaces : bool[events, 98]
        Pixels of the patch around each event, row by row, whose age is below the shorter limit;
        then those below the longer.
    directions : float64[events]
        Where the edge moves that the event is of, or is among [rad].
    noise : bool[events]
        Events of no edge.
    """

    times: Floats
    surfaces: Bools
    directions: Floats
    noise: Bools

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, which: Any) -> "Events":
        return Events(
            self.times[which], self.surfaces[which], self.directions[which], self.noise[which]
        )


def sweep(rng: np.random.Generator, noise: float = NOISE) -> Events:
    """A straight edge that moves over the sensor once: each pixel has an event as it passes.

    Its direction and speed are drawn at random; it is in the middle at 0 ms. Events whose patch is
    not all on the sensor are left out, but are seen by their neighbours.
    """
    direction, speed = rng.uniform(0, 2 * np.pi), rng.uniform(*SPEEDS)
    y, x = np.indices((SENSOR, SENSOR)).reshape(2, -1) - (SENSOR - 1) / 2
    passes = (x * np.cos(direction) + y * np.sin(direction)) / speed
    passes += rng.normal(0, JITTER_MS, passes.shape)
    extra = round(noise * SENSOR**2)
    times = np.concatenate([passes, rng.uniform(passes.min(), passes.max(), extra)])
    pixels = np.concatenate([np.arange(SENSOR**2), rng.integers(SENSOR**2, size=extra)])
    latest = np.full((SENSOR, SENSOR), -np.inf)
    surfaces, kept = [], []
    for event in np.argsort(times, kind="stable"):
        row, column = divmod(int(pixels[event]), SENSOR)
        latest[row, column] = times[event]
        if min(row, column) >= REACH and max(row, column) < SENSOR - REACH:
            patch = latest[row - REACH : row + REACH + 1, column - REACH : column + REACH + 1]
            surfaces.append([(times[event] - patch < age).ravel() for age in AGES])
            kept.append(event)
    return Events(
        times[kept],
        np.array(surfaces).reshape(len(kept), -1),
        np.full(len(kept), direction),
        np.array(kept) >= SENSOR**2,
    )


def edges(rng: np.random.Generator, sweeps: int) -> Events:
    """Many edges, of which some 40 at a time move over sensors of their own."""
    parts = [sweep(rng) for _ in range(sweeps)]
    times = np.concatenate([part.times + k * BETWEEN_MS for k, part in enumerate(parts)])
    order = np.argsort(times, kind="stable")
    inside = (times >= MARGIN_MS) & (times < (sweeps - 1) * BETWEEN_MS - MARGIN_MS)
    order = order[inside[order]]
    rest = (
        np.concatenate([getattr(part, name) for part in parts])[order]
        for name in ("surfaces", "directions", "noise")
    )
    return Events(times[order], *rest)


# Learning


def extractor(seed: int) -> CoreImage:
    """Neurons with weights at random, and thresholds of neurons that all win equally often."""
    unit = STEP * (1 << SPEC.weight_bits + SPEC.trace_fraction_bits)
    rule = LearningRule(
        pre_step=round(unit),
        post_step=round(unit * (1 - POST_DECAY) / POST_DECAY),  # the same over all that follow
        a_post=round(4096 * POST_DECAY),
        w_max=W_MAX,
        soft=True,
        stochastic=True,
        seed=seed + 1,
        a_h=round(4096 * (1 - 1 / THRESHOLD_EVENTS)),
    )
    h = THRESHOLD * SPIKES_OF_AN_EDGE * W_MAX * (1 << SPEC.fraction_bits)
    rng = np.random.default_rng(seed)
    return plastic_image(
        SPEC,
        rng.integers(20, 61, (SPEC.axons, SPEC.neurons)),
        rule=rule,
        winners=[1],
        reset_to=1,
        h=round(h),
        h_step=round(h * SPEC.neurons / THRESHOLD_EVENTS),
    )


@dataclass(frozen=True)
class Followed:
    """What a core did as it learned, chunk by chunk.

    Attributes
    ----------
    missed, noise_missed : list of float
        Share of the edges' events, and of the others, that no neuron won.
    change : list of float
        Mean change of a weight since the chunk before [least significant bits].
    selectivity : list of float
        Length of the mean direction, as unit vectors, of the events that a neuron won; mean over
        the neurons. 1: all of a neuron's events moved the same way.
    threshold : list of float
        Mean threshold, by the first.
    after : CoreImage
    """

    missed: list[float]
    noise_missed: list[float]
    change: list[float]
    selectivity: list[float]
    threshold: list[float]
    after: CoreImage


def follow(cores: Cores, events: Events, seed: int, console: Console) -> Followed:
    """Let the core learn, one timestep for each event, and look at it after every 500."""
    before = image = extractor(seed)
    cores.load(image)
    missed, noise_missed, change, selective, threshold = [], [], [], [], []
    firsts = range(0, len(events) - CHUNK + 1, CHUNK)
    with console.progress("Events", len(events)) as progress:
        for first in firsts:
            chunk = events[first : first + CHUNK]
            spikes = cores.run(chunk.surfaces[None], learn=True).spikes[0]
            image, last = cores.learned_image(), image
            lost = ~spikes.any(axis=1)
            missed.append(float(lost[~chunk.noise].mean()))
            noise_missed.append(float(lost[chunk.noise].mean()))
            moved = np.abs(axon_weights_of(image) - axon_weights_of(last))
            change.append(float(moved.mean()))
            selective.append(selectivity(spikes, chunk))
            threshold.append(float(image.arrays["h"].mean() / before.arrays["h"].mean()))
            progress(CHUNK)
    return Followed(missed, noise_missed, change, selective, threshold, image)


def selectivity(spikes: Bools, events: Events) -> float:
    """Mean over the neurons of the length of their events' mean direction; of edges alone."""
    won = spikes & ~events.noise[:, None]
    sums = np.abs(won.T @ np.exp(1j * events.directions))
    counts = won.sum(axis=0)
    return float((sums[counts > 0] / counts[counts > 0]).mean()) if counts.any() else 0.0


def control(cores: Cores, events: Events, seed: int, learned: CoreImage) -> dict[str, float]:
    """Share of the edges' events missed under the learned thresholds, with and without learning.

    Thresholds that had only fallen would let the first weights catch as many.
    """
    first = extractor(seed)
    missed = {}
    for name, image in (("learned", learned), ("first", replace(first, h=learned.h))):
        cores.load(image)
        lost = ~cores.run(events.surfaces[None]).spikes[0].any(axis=1)
        missed[name] = float(lost[~events.noise].mean())
    return missed


# Figures


def draw(path: Path, seed: int, found: Followed) -> None:
    """Features before and after; missed events, convergence and thresholds by event."""
    figure = Figure(figsize=(12, 5.4), layout="constrained")
    grid = figure.add_gridspec(2, 3, height_ratios=(1, 1.6))
    features = figure.add_subplot(grid[0, :])
    tiles = np.full((2, SPEC.neurons, PATCH + 1, PATCH + 1), np.nan)
    for row, image in zip(tiles, (extractor(seed), found.after), strict=True):
        weights = axon_weights_of(image).T.reshape(-1, len(AGES), PATCH, PATCH)
        row[:, :PATCH, :PATCH] = weights.mean(axis=1)
    features.imshow(tiles.transpose(0, 2, 1, 3).reshape(2 * (PATCH + 1), -1), vmin=0, vmax=W_MAX)
    features.set_title("weights of the neurons, before (above) and after learning")
    features.axis("off")
    events = (np.arange(len(found.missed)) + 1) * CHUNK / 1000
    left, middle, right = (figure.add_subplot(grid[1, k]) for k in range(3))
    left.plot(events, np.array(found.missed) * 100, label="of edges")
    left.plot(events, np.array(found.noise_missed) * 100, color="grey", linewidth=1, label="noise")
    left.set(ylabel="events missed [%]", ylim=(0, 101))
    left.legend()
    middle.plot(events, found.change)
    middle.set(ylabel=f"change of a weight in {CHUNK} events [LSB]", ylim=(0, None))
    right.plot(events, found.selectivity, label="one direction per neuron")
    right.plot(events, found.threshold, label="threshold, by the first")
    right.set(ylim=(0, 1.1))
    right.legend(loc="lower right")
    for axis in (left, middle, right):
        axis.set_xlabel("thousands of events")
    save_figure(path, figure)


def run(options: argparse.Namespace, console: Console) -> bool:
    """Find features; whether they converge, fewer events are missed and no targets differ."""
    started, seed = time.perf_counter(), options.seed
    rng = np.random.default_rng([seed, 1])
    events, fresh = (edges(rng, QUICK if options.quick else n) for n in (SWEEPS, FRESH))
    with Cores(options) as cores:
        found = follow(cores, events, seed, console)
        missed = control(cores, fresh, seed, found.after)
    fell = missed["learned"] <= min(MISSED_BAR, FALL_BAR * found.missed[0])
    converged = found.change[-1] <= max(found.change) / 2 and found.selectivity[-1] >= 0.9
    met = fell and converged and not cores.differences
    figures = {
        **cores.figures,
        "seed": seed,
        "events": len(events),
        "missed": found.missed,
        "missed_of_fresh_events": missed["learned"],
        "missed_by_first_weights": missed["first"],
        "noise_missed": found.noise_missed,
        "change": found.change,
        "selectivity": found.selectivity,
        "bar": MISSED_BAR,
        "met": met,
        "seconds": round(time.perf_counter() - started, 1),
    }
    save_row(options.folder, "features", figures)
    draw(options.folder / "learn-features.png", seed, found)
    rows = [
        ("edges' events missed", f"{found.missed[0]:.1%}", f"{found.missed[-1]:.1%}"),
        ("noise missed", f"{found.noise_missed[0]:.1%}", f"{found.noise_missed[-1]:.1%}"),
        ("change of a weight", f"{max(found.change):.2f} at most", f"{found.change[-1]:.2f}"),
        ("selectivity", f"{found.selectivity[0]:.3f}", f"{found.selectivity[-1]:.3f}"),
    ]
    console.result(
        figures,
        Table((f"features: {CHUNK} events", "first", f"last of {len(events):,}"), rows),
        f"fresh events of edges: {missed['learned']:.1%} missed, "
        f"{missed['first']:.1%} by the first weights under the same thresholds",
        f"bar {MISSED_BAR:.0%}, features converge: " + ("met" if met else "MISSED"),
        *cores.verdict,
        f"wrote {options.folder / 'learn-features.png'}",
    )
    return bool(met)


if __name__ == "__main__":
    sys.exit(command("Features of moving edges, found event by event.", run))
