"""What the demo does: the same test images on every implementation, each compared with the last."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import nir
import numpy as np
import numpy.typing as npt
from data import Digits, encode
from model import GRAPH, classify, run_float, semantics

from spikewright.compiler import CompileOptions, compile_network
from spikewright.console import Console
from spikewright.image import CoreImage
from spikewright.sim.compare import LockstepReport, lockstep
from spikewright.sim.verilator import CoreSimulator
from spikewright.target import RunResult, Target, open_target

__all__ = [
    "CLOCK_HZ",
    "Stage",
    "compile_digits",
    "in_lockstep",
    "on_target",
    "outputs",
    "reference",
]

CLOCK_HZ = 100e6
"""Clock that times are stated for: what the core reaches on an ECP5."""

_NAMES = {"golden": "golden", "verilator": "RTL", "virtual": "board"}
_CALIBRATION_IMAGES = 200

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Stage:
    """One implementation and what it did with the first ``images`` test images.

    Attributes
    ----------
    name : str
    images : int
    accuracy : float
        Share of the images whose digit was read right.
    seconds : float
        Of the run itself, without building or loading.
    timesteps : int
        In all of the images together.
    cycles_per_image : float or None
    result : RunResult or None
        Spikes, cycles and, for the first images, membrane potentials.
    compared, differences : int
        Values compared with the golden model's, and those that were not the same.
    """

    name: str
    images: int
    accuracy: float
    seconds: float
    timesteps: int
    cycles_per_image: float | None = None
    result: RunResult | None = None
    compared: int = 0
    differences: int = 0

    @property
    def timesteps_per_s(self) -> float:
        """Timesteps of one image in a second."""
        return self.timesteps / self.seconds

    @property
    def seconds_per_image(self) -> float | None:
        """What an image takes at :data:`CLOCK_HZ`."""
        return None if self.cycles_per_image is None else self.cycles_per_image / CLOCK_HZ


def compile_digits(training: Digits) -> CoreImage:
    """Compile the trained graph to 8-bit weights; training images show the compiler its range."""
    said = semantics()
    options = CompileOptions(
        dt=said["dt"],
        reset=said["reset"],
        reset_delay=said["reset_delay"],
        discretization=said["discretization"],
        weight_bits=8,
    )
    return compile_network(
        GRAPH, options, calibration=encode(training.pixels[:_CALIBRATION_IMAGES])
    )


def outputs(image: CoreImage, spikes: Bools) -> Bools:
    """Spikes of the ten output neurons: ``bool[..., 10]`` of ``bool[..., neurons]``."""
    return spikes[..., image.output_slices[image.manifest.outputs[0]]]


def reference(test: Digits) -> Stage:
    """Run the graph in float32, as it was trained."""
    spikes, graph = encode(test.pixels), nir.read(GRAPH)
    started = time.perf_counter()
    run = run_float(spikes, graph, semantics()["dt"])
    seconds = time.perf_counter() - started
    accuracy = float((classify(run.output) == test.labels).mean())
    return Stage("float", len(test), accuracy, seconds, spikes.shape[0] * spikes.shape[1])


def on_target(
    name: str,
    image: CoreImage,
    test: Digits,
    golden: Stage | None,
    console: Console,
    *,
    images: int,
    with_v: int,
) -> Stage:
    """Run the first images on a target and count what differs from the golden model.

    They are run twice: all of them for spikes, cycles and speed, and the first ``with_v`` again
    with every membrane potential read back after every timestep.
    """
    spikes = encode(test.pixels[:images])
    with _opened(name, console) as target:
        target.load(image)
        with console.progress(f"{name}: {images} images", images) as progress:
            started = time.perf_counter()
            run = target.run(spikes, progress=progress)
            seconds = time.perf_counter() - started
        with console.progress(f"{name}: membranes of {with_v} images", with_v) as progress:
            again = target.run(spikes[:with_v], record_v=True, progress=progress)
    compared = differences = 0
    if golden is not None and golden.result is not None:
        for result in (run, again):
            for theirs, ours in _pairs(golden.result, result):
                compared += ours.size
                differences += int(np.count_nonzero(theirs != ours))
    return Stage(
        name=_NAMES[name],
        images=images,
        accuracy=float((classify(outputs(image, run.spikes)) == test.labels[:images]).mean()),
        seconds=seconds,
        timesteps=spikes.shape[0] * spikes.shape[1],
        cycles_per_image=float(run.total_cycles.mean()),
        result=RunResult(run.spikes, run.cycles, run.total_cycles, again.v),
        compared=compared,
        differences=differences,
    )


def in_lockstep(image: CoreImage, test: Digits, console: Console, *, images: int) -> LockstepReport:
    """Compare every register of golden model and RTL after every timestep."""
    with (
        CoreSimulator(image.spec, report=console.note) as simulator,
        console.progress(f"lockstep: {images} images", images) as progress,
    ):
        return lockstep(image, encode(test.pixels[:images]), simulator, progress=progress)


@contextmanager
def _opened(name: str, console: Console) -> Iterator[Target]:
    target = open_target(name, report=console.note)
    try:
        yield target
    finally:
        target.close()


def _pairs(
    golden: RunResult, other: RunResult
) -> Iterator[tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]]:
    """What both results have, cut to the images that the other has."""
    for name in ("spikes", "v", "cycles", "total_cycles"):
        theirs, ours = getattr(golden, name), getattr(other, name)
        if ours is not None and theirs is not None:
            yield theirs[: len(ours)], ours
