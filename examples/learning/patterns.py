"""A neuron learns to detect spatial patterns: lines that spike together, taught by a teacher.

A lesson is a pattern and the teacher's spikes in one timestep, then a few timesteps of other lines.
The teacher makes the neuron spike: STDP raises the synapses of lines that spiked with it and lowers
those of lines that spike after it. Each spike also raises the neuron's threshold, which decays
until the next: homeostasis, and its strength says how much of a pattern the neuron asks for.

Source: S. Davies, A. Gait, A. Rowley and A. Di Nuovo, "Supervised learning of spatial features with
STDP and homeostasis using Spiking Neural Networks on SpiNNaker", Neurocomputing 611 (2025), for the
task: a taught detector, and its limits by number and similarity of the patterns. How it is taught
here is this core's own.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from common import Cores, command, save_figure, save_row
from matplotlib.figure import Figure

from spikewright.compiler.plastic import plastic_image
from spikewright.console import Console
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.spec import CoreSpec

__all__ = ["SPEC", "Found", "detector", "draw_patterns", "lessons", "measure", "run"]

LINES, ACTIVE, TEACHERS = 100, 20, 16
OTHERS = 1000
LESSONS = 320
"""Lessons of a detector, on all its patterns together."""
AFTER = 3
"""Timesteps of other lines after the teacher's."""
W_MIN, W_MAX = -40, 60
STRICTNESS = 0.6
"""Threshold at the end of a lesson, once settled, by the full weights of a pattern's lines."""
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16)
OVERLAPS = (0.0, 0.25, 0.5, 0.75)
STRICTNESSES = (0.0, 0.3, 0.6, 0.8)
TRIALS = 5
LIKE_IT = 100
"""Patterns with each number of lines in common with a trained one."""

SPEC = CoreSpec(
    axons=LINES + TEACHERS,
    neurons=8,
    synapse_current=False,
    refractory_bits=0,
    decay="shift",
    plasticity="trace",
    soft_bounds=True,
    stochastic_rounding=True,
    adaptive_threshold=True,
)
RAISE, LOWER = 0.1, 0.0125
"""Shares of its distance from the bound by which one spike moves a weight."""
KEPT = 1 - 2**-4
"""Of the threshold's offset, each timestep."""

Bools = npt.NDArray[np.bool_]


def draw_patterns(count: int, overlap: float, rng: np.random.Generator) -> Bools:
    """Patterns of 20 of the 100 lines, of which all have the same share in common.

    Parameters
    ----------
    overlap : float
        Share of the 20; the others of each pattern are drawn for it alone.

    Returns
    -------
    bool[count, 100]
    """
    common = round(overlap * ACTIVE)
    lines = rng.permutation(LINES)
    rest = rng.permuted(np.tile(lines[common:], (count, 1)), axis=1)[:, : ACTIVE - common]
    patterns = np.zeros((count, LINES), np.bool_)
    patterns[:, lines[:common]] = True
    np.put_along_axis(patterns, rest, values=True, axis=1)
    return patterns


def lessons(patterns: Bools, rng: np.random.Generator) -> Bools:
    """Lessons on all patterns in turn, in any order: ``bool[lessons, 4, 116]``."""
    order = rng.permutation(np.arange(LESSONS) % len(patterns))
    spikes = np.zeros((len(order), 1 + AFTER, SPEC.axons), np.bool_)
    spikes[:, 0, :LINES] = patterns[order]
    spikes[:, 0, LINES:] = True
    spikes[:, 1:, :LINES] = draw_patterns(len(order) * AFTER, 0.0, rng).reshape(-1, AFTER, LINES)
    return spikes


def detector(strictness: float, seed: int) -> CoreImage:
    """A neuron that knows nothing; all weights are 0 but the teacher's."""
    unit = 1 << SPEC.weight_bits + SPEC.trace_fraction_bits
    rule = LearningRule(
        pre_step=round(RAISE * unit),
        post_step=round(LOWER * unit),
        a_post=4096,
        w_min=W_MIN,
        w_max=W_MAX,
        soft=True,
        stochastic=True,
        seed=seed + 1,
        a_h=round(KEPT * 4096),
    )
    weights = np.zeros((SPEC.axons, 1), np.int64)
    weights[LINES:] = 127
    plastic = np.zeros(weights.shape, np.bool_)
    plastic[:LINES] = True
    full = ACTIVE * W_MAX << SPEC.fraction_bits
    lost = KEPT**-AFTER - KEPT  # of the offset that a lesson ends with, and its spike gives back
    return plastic_image(
        SPEC,
        weights,
        axon_plastic=plastic,
        rule=rule,
        v_threshold=1 << SPEC.fraction_bits,
        reset_to=1,
        h_step=round(strictness * full * lost),
    )


def taught(cores: Cores, patterns: Bools, strictness: float, seed: int) -> None:
    """Load a detector and teach it these patterns."""
    cores.load(detector(strictness, seed))
    cores.run(lessons(patterns, np.random.default_rng([seed, 1])), learn=True)
    cores.learned_image()


def detected(cores: Cores, patterns: Bools) -> Bools:
    """Whether the neuron spikes for each pattern, without its teacher."""
    return cores.run(patterns[:, None]).spikes[:, 0, 0]


@dataclass(frozen=True)
class Found:
    """How well a detector tells what it was taught from 1,000 others of the same kind.

    Attributes
    ----------
    detections, false_alarms : float
        Share of the trained patterns and of the others for which it spikes.
    """

    detections: float
    false_alarms: float

    @property
    def accuracy(self) -> float:
        """Mean of the two shares that are right; 0.5 is chance."""
        return (self.detections + 1 - self.false_alarms) / 2


def measure(cores: Cores, count: int, overlap: float, seed: int) -> Found:
    """Teach a detector so many patterns, and test it."""
    rng = np.random.default_rng([seed, count, round(100 * overlap)])
    patterns = draw_patterns(count + OTHERS, overlap, rng)
    taught(cores, patterns[:count], STRICTNESS, seed)
    spikes = detected(cores, patterns)
    return Found(float(spikes[:count].mean()), float(spikes[count:].mean()))


def generalization(cores: Cores, strictness: float, seed: int) -> list[float]:
    """Share of detections by lines in common with the one trained pattern, 0 to 20 of 20."""
    rng = np.random.default_rng([seed, 2])
    pattern = draw_patterns(1, 0.0, rng)
    taught(cores, pattern, strictness, seed)
    inside, outside = np.flatnonzero(pattern[0]), np.flatnonzero(~pattern[0])
    tests = np.zeros((ACTIVE + 1, LIKE_IT, LINES), np.bool_)
    for same, test in enumerate(tests):
        for one in test:
            one[rng.permutation(inside)[:same]] = True
            one[rng.permutation(outside)[: ACTIVE - same]] = True
    spikes = detected(cores, tests.reshape(-1, LINES))
    return [float(share) for share in spikes.reshape(ACTIVE + 1, -1).mean(axis=1)]


def draw(path: Path, accuracies: dict[str, list[float]], likes: dict[str, list[float]]) -> None:
    """Accuracy by number of patterns and overlap; detections by likeness and homeostasis."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for overlap, curve in accuracies.items():
        share = f"{float(overlap):.0%}"
        left.plot(COUNTS[: len(curve)], np.array(curve) * 100, "o-", label=share)
    left.axhline(50, color="grey", linestyle=":")
    left.set(xlabel="trained patterns", ylabel="accuracy [%]", ylim=(45, 102))
    left.legend(title="lines that all\npatterns share")
    for strictness, curve in likes.items():
        right.plot(np.array(curve) * 100, label=strictness if float(strictness) else "none")
    right.set(xlabel=f"lines in common with the trained pattern, of {ACTIVE}")
    right.set(ylabel="detected [%]", xticks=range(0, ACTIVE + 1, 2))
    right.legend(title="homeostasis")
    save_figure(path, figure)


def run(options: argparse.Namespace, console: Console) -> bool:
    """Teach and test detectors; whether the bar is met and no targets differ."""
    started, seed = time.perf_counter(), options.seed
    counts, trials = (COUNTS[:2], 1) if options.quick else (COUNTS, TRIALS)
    total = len(OVERLAPS) * len(counts)
    with Cores(options) as cores, console.progress("Teaching detectors", total) as progress:
        alone = measure(cores, 1, 0.0, seed)
        accuracies: dict[str, list[float]] = {str(overlap): [] for overlap in OVERLAPS}
        for overlap in OVERLAPS:
            for count in counts:
                found = [measure(cores, count, overlap, seed + k) for k in range(trials)]
                accuracies[str(overlap)].append(float(np.mean([one.accuracy for one in found])))
                progress(1)
        likes = {str(strict): generalization(cores, strict, seed) for strict in STRICTNESSES}
    met = alone.detections == 1 and alone.false_alarms == 0 and not cores.differences
    figures = {
        **cores.figures,
        "seed": seed,
        "detections": alone.detections,
        "false_alarms": round(alone.false_alarms * OTHERS),
        "others": OTHERS,
        "met": met,
        "patterns": list(counts),
        "trials": trials,
        "accuracy_by_overlap": accuracies,
        "detections_by_homeostasis": likes,
        "seconds": round(time.perf_counter() - started, 1),
    }
    save_row(options.folder, "patterns", figures)
    draw(options.folder / "learn-patterns.png", accuracies, likes)
    console.result(
        figures,
        f"patterns: one trained pattern {alone.detections:.0%} detected, "
        f"{figures['false_alarms']} false alarms on {OTHERS:,} others: "
        + ("met" if met else "MISSED"),
        *(
            f"{float(overlap):4.0%} of lines shared: accuracy "
            + ", ".join(f"{a:.0%} of {n}" for n, a in zip(counts, curve, strict=True))
            for overlap, curve in accuracies.items()
        ),
        *cores.verdict,
        f"wrote {options.folder / 'learn-patterns.png'}",
    )
    return met


if __name__ == "__main__":
    sys.exit(command("A detector of spatial patterns, taught by a teacher.", run))
