"""Handwritten digits, learned on the core without labels, which only name the neurons after.

An image is 64 pairs of axons, one for bright and one for dark: in each timestep one of a pair
spikes. Neurons sum up what they see, and the first above its threshold wins and silences the
others. Axons that spiked before it raise their synapses; then the negative of the image is shown,
and axons that spike after it lower theirs. So the winner's weights move toward the image, as in
online k-means. A threshold that grows with each win and decays lets every neuron have its turn.

Sources: P. Diehl and M. Cook, Front. Comput. Neurosci. 9 (2015), for winners with adaptive
thresholds and neurons named by labels; D. Querlioz et al., IEEE Trans. Nanotechnol. 12 (2013), for
STDP that lowers all synapses that were silent before the spike.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from common import Cores, command, digits_split, save_figure, save_row
from matplotlib.figure import Figure

from spikewright.compiler.plastic import axon_weights_of, plastic_image
from spikewright.console import Console
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.spec import CoreSpec

if TYPE_CHECKING:
    from data import Digits

__all__ = ["SPEC", "Learned", "Reader", "encode", "fields", "learn", "new_image", "run"]

BAR, AIM = 0.85, 0.90
EPOCHS = 5
PIXELS, BRIGHTEST = 64, 16
SHOWN, NEGATIVE = 6, 3
"""Timesteps of the image and, while it learns, of its negative."""
W_MAX = 127
DECIDED = 4
"""Timesteps of 70 % of the largest drive that bring a neuron to its threshold."""

SPEC = CoreSpec(
    axons=2 * PIXELS,
    neurons=128,
    state_bits=22,
    fraction_bits=4,
    synapse_current=False,
    refractory_bits=0,
    decay="shift",
    plasticity="trace",
    trace_bits=13,
    trace_fraction_bits=6,
    soft_bounds=True,
    stochastic_rounding=True,
    adaptive_threshold=True,
    winners=1,
)
THRESHOLD = round(0.7 * PIXELS * W_MAX * DECIDED) << SPEC.fraction_bits
STEP = 0.2
"""Share of its distance from the bound by which DECIDED or NEGATIVE spikes move a weight."""

Bools = npt.NDArray[np.bool_]


def encode(pixels: npt.NDArray[np.uint8], *, negative: bool) -> Bools:
    """Bright and dark axons: in each timestep exactly one of each pixel's two spikes.

    A pixel of intensity p spikes bright in a share of ``p / 16`` of the timesteps, evenly spaced;
    in the negative, dark.

    Parameters
    ----------
    pixels : uint8[images, 64]
    negative : bool
        Let the image's negative follow.

    Returns
    -------
    bool[images, timesteps, 128]
        Of 6 timesteps, or 9; first the bright axons, then the dark ones.
    """

    def bright(timesteps: int) -> Bools:
        time = np.arange(timesteps + 1)[:, None]
        counts = (pixels.astype(np.int64)[:, None] * time + BRIGHTEST // 2) // BRIGHTEST
        return np.diff(counts, axis=1).astype(np.bool_)

    first, after = bright(SHOWN), ~bright(NEGATIVE if negative else 0)
    both = np.concatenate([first, after], axis=1)
    return np.concatenate([both, ~both], axis=2)


def new_image(seed: int) -> CoreImage:
    """A network that has learned nothing: weights at random in the upper quarter."""
    unit = STEP * (1 << SPEC.weight_bits + SPEC.trace_fraction_bits)
    rule = LearningRule(
        pre_step=round(unit / DECIDED),
        post_step=round(unit / NEGATIVE),
        a_pre=4096,
        a_post=4096,
        w_max=W_MAX,
        soft=True,
        stochastic=True,
        seed=seed + 1,
        a_h=4095,
    )
    rng = np.random.default_rng(seed)
    return plastic_image(
        SPEC,
        rng.integers(90, W_MAX + 1, (SPEC.axons, SPEC.neurons)),
        rule=rule,
        winners=[1],
        a_mem=4096,
        v_threshold=THRESHOLD,
        reset_to=1,
        h_step=round(0.01 * THRESHOLD),
    )


@dataclass(frozen=True)
class Reader:
    """Neurons with names: what each of them has spiked for.

    Attributes
    ----------
    shares : float64[neurons, 10]
        Share of each digit in a neuron's spikes; all 0 for one that never spiked.
    """

    shares: npt.NDArray[np.float64]

    @classmethod
    def of(cls, spikes: Bools, labels: npt.NDArray[np.int64]) -> "Reader":
        """Name the neurons by their mean spike counts for images of each digit."""
        counts = spikes.sum(axis=1)
        means = np.stack([counts[labels == digit].mean(axis=0) for digit in range(10)], axis=1)
        return cls(means / np.maximum(means.sum(axis=1, keepdims=True), 1e-9))

    def read(self, spikes: Bools) -> npt.NDArray[np.int64]:
        """The digit that the spikes of each image speak for, ``int64[images]``; -1 if none do."""
        votes = spikes.sum(axis=1) @ self.shares
        return np.where(votes.any(axis=1), votes.argmax(axis=1), -1)


def accuracy(cores: Cores, training: "Digits", test: "Digits") -> tuple[float, Reader]:
    """Share of the test images that are read right, by neurons named on the training images."""
    named = cores.run(encode(training.pixels, negative=False))
    reader = Reader.of(named.spikes, training.labels)
    read = reader.read(cores.run(encode(test.pixels, negative=False)).spikes)
    return float((read == test.labels).mean()), reader


@dataclass(frozen=True)
class Learned:
    """What a core was before and after it learned.

    Attributes
    ----------
    curve : list of float
        Share of the test images read right, before and after each epoch.
    cycles_per_timestep : float
        Mean over the timesteps that learn.
    """

    before: CoreImage
    after: CoreImage
    reader: Reader
    curve: list[float]
    cycles_per_timestep: float


def learn(
    cores: Cores,
    training: "Digits",
    test: "Digits",
    *,
    seed: int,
    epochs: int,
    console: Console,
) -> Learned:
    """Show the training images, each epoch in another order; test after each."""
    before = new_image(seed)
    cores.load(before)
    rng = np.random.default_rng([seed, 1])
    read, reader = accuracy(cores, training, test)
    curve, cycles = [read], 0
    for epoch in range(epochs):
        order = rng.permutation(len(training))
        spikes = encode(training.pixels[order], negative=True)
        with console.progress(f"Epoch {epoch + 1} of {epochs}", len(order)) as progress:
            cycles += int(cores.run(spikes, learn=True, progress=progress).total_cycles.sum())
        read, reader = accuracy(cores, training, test)
        curve.append(read)
        console.note(f"epoch {epoch + 1}: {read:.2%} of {len(test)} test images read right")
    timesteps = epochs * len(training) * (SHOWN + NEGATIVE)
    return Learned(before, cores.learned_image(), reader, curve, round(cycles / timesteps, 1))


def fields(image: CoreImage) -> npt.NDArray[np.int64]:
    """Receptive fields, bright less dark weights, ``int64[neurons, 8, 8]``, -127 to 127."""
    weights = axon_weights_of(image).T
    return (weights[:, :PIXELS] - weights[:, PIXELS:]).reshape(-1, 8, 8)


def draw(path: Path, learned: Learned) -> None:
    """Receptive fields before and after, with the neurons' names, and accuracy by epoch."""
    rows, columns = 8, SPEC.neurons // 8
    shares = learned.reader.shares
    order = np.lexsort((-shares.max(axis=1), shares.argmax(axis=1)))
    figure = Figure(figsize=(15, 3.4), layout="constrained")
    before, after, curve = figure.subplots(1, 3, width_ratios=(2, 2, 1))
    for axis, image, when in ((before, learned.before, "before"), (after, learned.after, "after")):
        tiles = np.full((rows, columns, 9, 9), np.nan)
        tiles[..., :8, :8] = fields(image)[order].reshape(rows, columns, 8, 8)
        grid = tiles.transpose(0, 2, 1, 3).reshape(rows * 9, -1)
        axis.imshow(grid, cmap="RdBu_r", vmin=-W_MAX, vmax=W_MAX)
        axis.set_title(f"bright less dark weights, {when} learning")
        axis.axis("off")
    for place, neuron in enumerate(order):
        y, x = divmod(place, columns)
        name = str(shares[neuron].argmax()) if shares[neuron].any() else "-"
        after.text(x * 9, y * 9 + 1, name, fontsize=7, color="white", va="center")
    curve.plot(np.array(learned.curve) * 100, "o-")
    curve.axhline(BAR * 100, color="grey", linestyle="--")
    curve.set(xlabel="epoch", ylabel="test images read right [%]", ylim=(0, 100))
    save_figure(path, figure)


def run(options: argparse.Namespace, console: Console) -> bool:
    """Learn, test and draw; whether the bar is met and no targets differ."""
    started = time.perf_counter()
    training, test = digits_split()
    epochs = 1 if options.quick else EPOCHS
    with Cores(options) as cores:
        learned = learn(cores, training, test, seed=options.seed, epochs=epochs, console=console)
    figures = {
        **cores.figures,
        "seed": options.seed,
        "accuracy": learned.curve[-1],
        "accuracy_by_epoch": learned.curve,
        "bar": BAR,
        "aim": AIM,
        "met": learned.curve[-1] >= BAR and not cores.differences,
        "neurons_that_learned": int(learned.reader.shares.any(axis=1).sum()),
        "cycles_per_timestep": learned.cycles_per_timestep,
        "seconds": round(time.perf_counter() - started, 1),
    }
    save_row(options.folder, "digits", figures)
    draw(options.folder / "learn-digits.png", learned)
    console.result(
        figures,
        f"digits: {learned.curve[-1]:.2%} of {len(test)} test images read right, "
        f"{learned.curve[0]:.2%} before learning; bar {BAR:.0%}, aim {AIM:.0%}: "
        + ("met" if figures["met"] else "MISSED"),
        *cores.verdict,
        f"wrote {options.folder / 'learn-digits.png'}",
    )
    return bool(figures["met"])


if __name__ == "__main__":
    sys.exit(command("Digits, learned on the core without labels.", run))
