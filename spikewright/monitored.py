"""A run that is watched while it goes on: chunks of timesteps from any target, state kept."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikewright.compiler.explain import find_neuron
from spikewright.errors import DataError
from spikewright.frames import COUNTER_VALUES
from spikewright.image import CoreImage
from spikewright.manifest import Population
from spikewright.target import Report, no_timer

if TYPE_CHECKING:
    from spikewright.runtime.device import Device

__all__ = [
    "MOST_WATCHED",
    "Chunk",
    "Monitored",
    "Step",
    "Watched",
    "chunks",
    "open_device",
    "open_steps",
    "paced_chunks",
    "watch",
]

MOST_WATCHED = 16
"""Membranes that are shown at most."""

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int32]
Step = Callable[[Bools, bool], tuple[Bools, Ints]]
"""Runs ``bool[T, axons]`` on from the present state, or from a cleared one if the second argument
is true; gives ``bool[T, neurons]``, and the membranes that it records, ``int32[T, watched]``."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A neuron whose membrane is shown: its name, its number in the core, its ``v_threshold``."""

    name: str
    neuron: int
    threshold: int


@dataclass(frozen=True)
class Monitored:
    """What is run, for those who show it.

    Attributes
    ----------
    image : CoreImage
    target : str
    samples, timesteps : int
        Of the whole run; timesteps of one sample.
    watched : tuple of Watched
    period_s : float or None
        Of the device's timer [s], if timesteps begin on its ticks.
    """

    image: CoreImage
    target: str
    samples: int
    timesteps: int
    watched: tuple[Watched, ...] = ()
    period_s: float | None = None

    @cached_property
    def populations(self) -> tuple[Population, ...]:
        """The image's populations; one of all neurons that are updated if it names none."""
        used = self.image.groups_used * self.image.spec.lanes
        everything = Population(name="neurons", first=0, count=used)
        return self.image.manifest.populations or (everything,)

    @property
    def title(self) -> str:
        """The network's name, or the image's id."""
        return self.image.manifest.name or f"image {self.image.id[:16]}"

    @property
    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "image": self.image.id,
            "title": self.title,
            "target": self.target,
            "samples": self.samples,
            "timesteps": self.timesteps,
            "period_s": self.period_s,
            "populations": [
                {"name": p.name, "first": p.first, "count": p.count} for p in self.populations
            ],
            "watched": [
                {"name": w.name, "neuron": w.neuron, "v_threshold": w.threshold}
                for w in self.watched
            ],
        }

    def rates(self, spikes: Bools) -> dict[str, float]:
        """Spikes per neuron and timestep of each population, of ``bool[T, neurons]``."""
        return {p.name: float(spikes[:, p.slice].mean()) for p in self.populations}

    def chunk_facts(self, chunk: "Chunk") -> dict[str, Any]:
        """A chunk for JSON: the neurons that spiked in each timestep, rates and membranes."""
        return {
            "sample": chunk.sample,
            "timestep": chunk.timestep,
            "spikes": [np.flatnonzero(row).tolist() for row in chunk.spikes],
            "rates": {name: round(rate, 6) for name, rate in self.rates(chunk.spikes).items()},
            "v": {w.name: chunk.v[:, k].tolist() for k, w in enumerate(self.watched)},
            "overruns": chunk.overruns,
        }


@dataclass(frozen=True)
class Chunk:
    """T timesteps that have just been run, all of one sample.

    Attributes
    ----------
    sample, timestep : int
        Which sample, and the first of the timesteps in it.
    spikes : bool[T, neurons]
    v : int32[T, watched]
        Membrane potentials of the watched neurons after each timestep.
    overruns : int
        Ticks that the sample missed, with its last timestep; 0 before.
    """

    sample: int
    timestep: int
    spikes: Bools
    v: Ints
    overruns: int = 0


def watch(image: CoreImage, text: str) -> tuple[Watched, ...]:
    """Find neurons by what a user wrote: ``hidden[3],conv[2,0,5],17``, numbers being the core's.

    Raises
    ------
    DataError
        A neuron that the image has not, or more than can be shown.
    ImageError
        No population of that name.
    """
    found = []
    for name in map(str.strip, re.split(r",(?![^\[]*\])", text)):
        if re.fullmatch(r"\d{1,9}", name):
            neuron = int(name)
            if neuron >= image.spec.neurons:
                raise DataError(
                    f"Neurons must be in [0, {image.spec.neurons - 1}], not {neuron}.",
                    hint="Give numbers of the core's neurons, or names such as 'hidden[3]'.",
                )
        else:
            population, index = find_neuron(image, name)
            neuron = int(population.positions[index])
        found.append(Watched(name, neuron, int(image.v_threshold[neuron])))
    if len(found) > MOST_WATCHED or len({w.name for w in found}) < len(found):
        raise DataError(
            f"Membranes must be at most {MOST_WATCHED}, each named once, not {text!r}.",
            hint="To keep those of all neurons: spikewright run --record-v -o FILE.",
        )
    return tuple(found)


@contextmanager
def open_steps(
    target: str,
    image: CoreImage,
    *,
    neurons: Sequence[int] = (),
    report: Report | None = None,
) -> Iterator[Step]:
    """Load an image on a target that is run in steps until the block ends.

    Parameters
    ----------
    target : str
        ``golden``, ``verilator``, ``virtual``, or a serial port.
    image : CoreImage
    neurons : sequence of int
        Whose membranes to record.
    report : callable
        Told when a model has to be compiled first.

    Raises
    ------
    LinkError, BoardError, SpecError, ToolError
        As the target itself.
    """
    chosen = list(neurons)

    def of_chosen(spikes: Bools, v: Ints | None) -> tuple[Bools, Ints]:
        return spikes, np.zeros((len(spikes), 0), np.int32) if v is None else v[:, chosen]

    if target == "golden":
        from spikewright.sim.golden import GoldenModel

        model = GoldenModel(image)

        def predict(spikes: Bools, clear: bool) -> tuple[Bools, Ints]:
            if clear:
                model.clear()
            run = model.run(spikes[None], bool(chosen))
            return of_chosen(run.spikes[0], None if run.v is None else run.v[0])

        yield predict
    elif target == "verilator":
        from spikewright.sim.verilator import CoreSimulator

        with CoreSimulator(image.spec, report=report) as core:
            core.load(image)

            def simulate(spikes: Bools, clear: bool) -> tuple[Bools, Ints]:
                if clear:
                    core.clear()
                run = core.run(spikes, record=("v",) if chosen else ())
                return of_chosen(run.spikes, run.v if chosen else None)

            yield simulate
    else:
        with open_device(target, image, report=report) as device:

            def drive(spikes: Bools, clear: bool) -> tuple[Bools, Ints]:
                run = device.run(spikes, clear=clear, record_v=chosen or False)
                return run.spikes, np.zeros((len(spikes), 0), np.int32) if run.v is None else run.v

            yield drive


@contextmanager
def open_device(
    target: str, image: CoreImage, *, report: Report | None = None
) -> Iterator["Device"]:
    """Load an image on a board, ``virtual`` or at a serial port, until the block ends.

    Raises
    ------
    SpikewrightError
        A target that is no board.
    LinkError, BoardError, SpecError, ToolError
        As the board itself.
    """
    if target in ("golden", "verilator"):
        raise no_timer(target)
    from spikewright.runtime.board import SerialTarget

    with ExitStack() as held:
        port = target
        if target == "virtual":
            from spikewright.sim.virtual import VirtualBoard

            port = held.enter_context(VirtualBoard(image.spec, report=report)).path
        device = held.enter_context(SerialTarget(port).device)
        device.load(image)
        yield device


def chunks(step: Step, stimulus: Bools, size: int, pace_s: float = 0.0) -> Iterator[Chunk]:
    """Run samples, each from a cleared state, some timesteps at a time.

    Parameters
    ----------
    step : Step
    stimulus : bool[samples, timesteps, axons]
    size : int
        Timesteps at a time; fewer at the end of a sample.
    pace_s : float
        Least time of a timestep [s]. Lost time is not made up for.
    """
    due = time.monotonic()
    for sample, inputs in enumerate(stimulus):
        for first in range(0, len(inputs), size):
            yield Chunk(sample, first, *step(inputs[first : first + size], first == 0))
            now = time.monotonic()
            due = max(due + pace_s * min(size, len(inputs) - first), now)
            time.sleep(due - now)


def paced_chunks(
    device: "Device", stimulus: Bools, period_s: float, neurons: Sequence[int] = ()
) -> Iterator[Chunk]:
    """Run samples, each from a cleared state, and give timesteps as the board's timer goes.

    Parameters
    ----------
    device : Device
        With an image.
    stimulus : bool[samples, timesteps, axons]
    period_s : float
        Between the beginnings of timesteps [s].
    neurons : sequence of int
        Whose membranes to record.
    """
    before = device.counters()["overruns"]
    for sample, inputs in enumerate(stimulus):
        chunk = None
        for part in device.live(inputs, record_v=list(neurons) or False, period_s=period_s):
            v = np.zeros((len(part.spikes), 0), np.int32) if part.v is None else part.v
            chunk = Chunk(sample, part.timestep, part.spikes, v)
            if chunk.timestep + len(v) < len(inputs):
                yield chunk
        after = device.counters()["overruns"]  # known when the sample is over
        if chunk is not None:
            yield replace(chunk, overruns=(after - before) % COUNTER_VALUES)
        before = after
