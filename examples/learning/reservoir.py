"""A reservoir that reads digits better for STDP that is scaled by its own activity.

A digit is scanned column by column: 8 axons, one for each row. The reservoir, sparse random
synapses among 104 excitatory and 24 inhibitory neurons, mixes what it sees with what it saw; a
linear readout of its low-passed spikes, ridge regression on the host, names the digit. With weights
drawn at random, spikes breed more spikes and drown the input. STDP collects in eligibilities, and
the reward that turns them into weight changes is the astrocyte's: how far the activity of the
timestep before was below its target, or above. A run takes its rewards beforehand, so the activity
is that of a rehearsal of the same images, without learning.

Sources: V. Ivanov and K. Michmizos, "Increasing Liquid State Machine Performance with Edge-of-Chaos
Dynamics Organized by Astrocyte-modulated Plasticity", NeurIPS 2021, for STDP that an
astrocyte scales by global activity; W. Maass et al., Neural Comput. 14 (2002), for liquids.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from common import Cores, command, digits_split, save_figure, save_row
from matplotlib.figure import Figure

from spikewright.compiler.plastic import plastic_image
from spikewright.console import Console, Table
from spikewright.image import CoreImage
from spikewright.learning import REWARD_ONE, LearningRule
from spikewright.spec import CoreSpec

if TYPE_CHECKING:
    from data import Digits

__all__ = ["SPEC", "Compared", "Readout", "adapt", "encode", "reservoir", "rewards", "run"]

SIDE, BRIGHTEST = 8, 16
SHOWN = 4
"""Timesteps of each column."""
TIMESTEPS = SIDE * SHOWN
NEURONS, EXCITATORY = 128, 104

SPEC = CoreSpec(
    axons=SIDE,
    neurons=NEURONS,
    state_bits=20,
    fraction_bits=4,
    synapse_current=False,
    refractory_bits=2,
    plasticity="trace",
    trace_bits=12,
    trace_fraction_bits=6,
    reward=True,
    stochastic_rounding=True,
)
W_MAX = 127
THRESHOLD = 100
"""In weight units, as the mean weights below."""
INPUT, INPUT_SHARE, INPUT_INHIBITORY = 22, 0.3, 0.2
"""Mean weight of an input synapse, how many there are, and how many of them inhibit."""
RECURRENT, RECURRENT_SHARE, INHIBITION = 16, 0.12, 2
"""Likewise among the neurons; inhibitory weights are twice as large."""
SCALES = (1, 4, 8, 16, 24)
"""Mean weights among neurons, to show how far the result depends on it."""

TARGET = 0.05
"""Share of the neurons that spike in a timestep."""
GAIN = 4
"""Reward for an activity that is off the target by 1."""
BLOCK = 16
"""Images of a rehearsal."""
SEEDS, FEW_SEEDS = 10, 3
IMAGES = 160
"""Images that the reservoir adapts to."""
TAU = 20.0
"""Of the readout's low-pass filter [timesteps]."""
RIDGE = 1.0

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def encode(pixels: npt.NDArray[np.uint8]) -> Bools:
    """Scan images column by column, 4 timesteps each; a pixel spikes 0 to 4 times, evenly spaced.

    Parameters
    ----------
    pixels : uint8[images, 64]
        Intensities, 0 to 16, row by row.

    Returns
    -------
    bool[images, 32, 8]
        Axon k is row k of the image.
    """
    columns = pixels.reshape(-1, SIDE, SIDE).transpose(0, 2, 1).astype(np.int64)
    time = np.arange(SHOWN + 1)[:, None]
    counts = (columns[:, :, None] * time + BRIGHTEST // 2) // BRIGHTEST
    return np.diff(counts, axis=2).astype(np.bool_).reshape(-1, TIMESTEPS, SIDE)


def reservoir(seed: int, mean: float = RECURRENT) -> CoreImage:
    """Sparse random synapses; those from excitatory neurons are plastic.

    Parameters
    ----------
    seed : int
    mean : float
        Mean weight from an excitatory neuron.
    """
    rng = np.random.default_rng(seed)

    def magnitudes(mean: float, share: float, rows: int) -> npt.NDArray[np.int64]:
        drawn = np.rint(rng.gamma(4, mean / 4, (rows, NEURONS))).clip(1, W_MAX)
        return np.where(rng.random(drawn.shape) < share, drawn, 0).astype(np.int64)

    onto = magnitudes(INPUT, INPUT_SHARE, SIDE)
    onto *= np.where(rng.random(onto.shape) < INPUT_INHIBITORY, -1, 1)
    among = magnitudes(mean, RECURRENT_SHARE, NEURONS)
    np.fill_diagonal(among, 0)
    plastic = among > 0
    plastic[EXCITATORY:] = False
    among[EXCITATORY:] = (-INHIBITION * among[EXCITATORY:]).clip(-W_MAX)
    rule = LearningRule(
        pre_step=32,
        post_step=16,
        a_pre=3276,
        a_post=3276,
        a_eligibility=3276,
        w_max=W_MAX,
        stochastic=True,
        seed=seed + 1,
    )
    return plastic_image(
        SPEC,
        onto,
        among,
        axon_plastic=False,
        neuron_plastic=plastic,
        rule=rule,
        v_threshold=THRESHOLD << SPEC.fraction_bits,
        reset_to=1,
        a_mem=3482,
        refractory=1,
    )


def rewards(activity: Floats) -> npt.NDArray[np.int64]:
    """What the astrocyte gives in each timestep for the activity of the one before.

    Parameters
    ----------
    activity : float64[samples, timesteps]
        Share of the neurons that spike.

    Returns
    -------
    int64[samples, timesteps]
        Q1.6; 0 in the first timestep, positive where the activity was below its target.
    """
    given = np.zeros(activity.shape, np.int64)
    given[:, 1:] = np.rint(GAIN * (TARGET - activity[:, :-1]) * REWARD_ONE).clip(-128, 127)
    return given


def adapt(cores: Cores, spikes: Bools) -> list[float]:
    """Let a loaded reservoir learn, block by block; the activity of each rehearsal."""
    activities = []
    for first in range(0, len(spikes), BLOCK):
        block = spikes[first : first + BLOCK]
        activity = cores.run(block).spikes.mean(axis=2)
        cores.run(block, learn=True, rewards=rewards(activity))
        activities.append(float(activity.mean()))
    return activities


@dataclass(frozen=True)
class Readout:
    """Linear readout, ``float64[neurons + 1, 10]``: the last row is a constant's."""

    weights: Floats

    @classmethod
    def fit(cls, states: Floats, labels: npt.NDArray[np.int64]) -> "Readout":
        """Ridge regression from ``float64[images, neurons]`` onto one-hot labels."""
        inputs = np.pad(states, ((0, 0), (0, 1)), constant_values=1.0)
        squares = inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1])
        solved = np.linalg.solve(squares, inputs.T @ np.eye(10)[labels])
        return cls(solved.astype(np.float64))

    def read(self, states: Floats) -> npt.NDArray[np.int64]:
        """The digit of each image."""
        inputs = np.pad(states, ((0, 0), (0, 1)), constant_values=1.0)
        named: npt.NDArray[np.int64] = np.argmax(inputs @ self.weights, axis=1)
        return named


def low_pass(spikes: Bools) -> Floats:
    """Spikes of each neuron, those before the last by ``exp(-age / TAU)``."""
    return np.exp((np.arange(TIMESTEPS) - TIMESTEPS + 1) / TAU) @ spikes


def accuracy(cores: Cores, image: CoreImage, training: "Digits", test: "Digits") -> float:
    """Share of the test images that a readout trained on the reservoir's states reads right."""
    cores.load(image)
    states = [low_pass(cores.run(encode(part.pixels)).spikes) for part in (training, test)]
    read = Readout.fit(states[0], training.labels).read(states[1])
    return float((read == test.labels).mean())


@dataclass(frozen=True)
class Compared:
    """A reservoir without and with plasticity.

    Attributes
    ----------
    without, plastic : float
        Share of the test images read right.
    shuffled : float
        The same with the learned weights dealt out at random among the plastic synapses: what
        their sizes alone are worth.
    activity : list of float
        Share of the neurons that spike in a timestep, in each rehearsal.
    before, after : CoreImage
    """

    without: float
    plastic: float
    shuffled: float
    activity: list[float]
    before: CoreImage
    after: CoreImage


def compare(
    cores: Cores, digits: "tuple[Digits, Digits]", seed: int, mean: float, images: int
) -> Compared:
    """Let a reservoir adapt to training images, and read the test images before and after."""
    training, _ = digits
    before = reservoir(seed, mean)
    rng = np.random.default_rng([seed, 1])
    cores.load(before)
    activity = adapt(cores, encode(training.pixels[rng.permutation(len(training))[:images]]))
    after = cores.learned_image()
    weights, plastic = after.weights.copy(), after.arrays["plastic"] == 1
    weights[plastic] = rng.permutation(weights[plastic])
    shuffled = replace(after, weights=weights)
    without, learned, dealt = (
        accuracy(cores, image, *digits) for image in (before, after, shuffled)
    )
    return Compared(without, learned, dealt, activity, before, after)


def measure(
    cores: Cores, seed: int, *, quick: bool, console: Console
) -> dict[float, list[Compared]]:
    """Reservoirs of many seeds, by the mean weight that they begin with.

    Of all these, targets are compared on the first: the RTL takes minutes for each.
    """
    digits, images = digits_split(), 2 * BLOCK if quick else IMAGES
    seeds = {RECURRENT: 2} if quick else dict.fromkeys(SCALES, FEW_SEEDS) | {RECURRENT: SEEDS}
    found: dict[float, list[Compared]] = {}
    with console.progress("Reservoirs", sum(seeds.values())) as progress:
        for weight, count in seeds.items():
            found[weight] = []
            for k in range(count):
                cores.compares = weight == RECURRENT and k == 0
                found[weight].append(compare(cores, digits, seed + k, weight, images))
                progress(1)
    return found


def means(runs: Sequence[Compared]) -> dict[str, float]:
    """Mean accuracies over the seeds."""
    names = ("without", "plastic", "shuffled")
    return {name: float(np.mean([getattr(one, name) for one in runs])) for name in names}


# Figures


def draw(path: Path, rasters: Sequence[Bools], found: dict[float, list[Compared]]) -> None:
    """Spikes for one digit, activity as the reservoir adapts, and accuracy by first weight."""
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    *ones, activity, accuracies = figure.subplots(1, 4)
    for axis, raster, when in zip(ones, rasters, ("before", "after"), strict=True):
        t, neuron = np.nonzero(raster)
        axis.scatter(t, neuron, s=3, c="black", linewidths=0)
        axis.axhline(EXCITATORY - 0.5, color="tab:red", linewidth=0.8)
        axis.set(title=f"one digit, {when} learning", xlabel="timestep", ylim=(-1, NEURONS))
    ones[0].set_ylabel("neuron (above the line: inhibitory)")
    for one in found[RECURRENT]:
        images = np.arange(len(one.activity)) * BLOCK
        activity.plot(images, np.array(one.activity) * 100, color="tab:blue", linewidth=0.8)
    activity.axhline(TARGET * 100, color="grey", linestyle="--")
    activity.set(xlabel="images learned", ylabel="neurons that spike [%]", ylim=(0, None))
    curves = [means(runs[:FEW_SEEDS]) for runs in found.values()]
    for name, style in (("plastic", "o-"), ("shuffled", "x:"), ("without", "s-")):
        accuracies.plot(list(found), [curve[name] * 100 for curve in curves], style, label=name)
    accuracies.set(xlabel="mean recurrent weight at first", ylabel="test images read right [%]")
    accuracies.legend()
    save_figure(path, figure)


def run(options: argparse.Namespace, console: Console) -> bool:
    """Compare reservoirs of many seeds; whether plasticity helps and no targets differ."""
    started = time.perf_counter()
    with Cores(options) as cores:
        found = measure(cores, options.seed, quick=options.quick, console=console)
        runs, rasters = found[RECURRENT], []
        for image in (runs[0].before, runs[0].after):
            cores.load(image)
            rasters.append(cores.run(encode(digits_split()[1].pixels[:1])).spikes[0])
    mean, better = means(runs), sum(one.plastic > one.without for one in runs)
    by_weight = {weight: means(some[:FEW_SEEDS]) for weight, some in found.items()}
    met = mean["plastic"] > mean["without"] and not cores.differences
    figures = {
        **cores.figures,
        "seed": options.seed,
        "seeds": len(runs),
        "accuracy": mean,
        "accuracy_by_seed": [means([one]) for one in runs],
        "seeds_that_are_better": better,
        "activity": np.mean([one.activity for one in runs], axis=0).tolist(),
        "accuracy_by_weight": by_weight,
        "met": met,
        "seconds": round(time.perf_counter() - started, 1),
    }
    save_row(options.folder, "reservoir", figures)
    draw(options.folder / "learn-reservoir.png", rasters, found)
    console.result(
        figures,
        Table(
            ("reservoir: mean weight at first", "without", "plastic", "shuffled"),
            [
                (str(weight), *(f"{share:.1%}" for share in shares.values()))
                for weight, shares in by_weight.items()
            ],
        ),
        f"mean of {len(runs)} seeds at {RECURRENT}: {mean['plastic']:.2%} with plasticity, "
        f"{mean['without']:.2%} without, better with {better} of them: "
        + ("met" if met else "MISSED"),
        *cores.verdict,
        f"wrote {options.folder / 'learn-reservoir.png'}",
    )
    return bool(met)


if __name__ == "__main__":
    sys.exit(command("A reservoir whose STDP is scaled by its own activity.", run))
