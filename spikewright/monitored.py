"""A run that is watched while it goes on: chunks of timesteps from any target, state kept."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.compiler.explain import find_neuron
from spikewright.errors import DataError
from spikewright.image import CoreImage
from spikewright.manifest import Population
from spikewright.target import Report

__all__ = ["MOST_WATCHED", "Chunk", "Monitored", "Step", "Watched", "chunks", "open_steps", "watch"]

MOST_WATCHED = 16
"""Membranes that are shown at most."""

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int32]
Step = Callable[[Bools, bool], tuple[Bools, Ints | None]]
"""Runs ``bool[T, axons]`` on from the present state, or from a cleared one if the second argument
is true; gives ``bool[T, neurons]`` and, if they are recorded, membranes ``int32[T, neurons]``."""


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
    """

    image: CoreImage
    target: str
    samples: int
    timesteps: int
    watched: tuple[Watched, ...] = ()

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
    """

    sample: int
    timestep: int
    spikes: Bools
    v: Ints


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
    target: str, image: CoreImage, *, record_v: bool = False, report: Report | None = None
) -> Iterator[Step]:
    """Load an image on a target that is run in steps until the block ends.

    Parameters
    ----------
    target : str
        ``golden``, ``verilator``, ``virtual``, or a serial port.
    image : CoreImage
    record_v : bool
        Give membranes too.
    report : callable
        Told when a model has to be compiled first.

    Raises
    ------
    LinkError, BoardError, SpecError, ToolError
        As the target itself.
    """
    with ExitStack() as held:
        if target == "golden":
            yield _golden(image, record_v)
        elif target == "verilator":
            from spikewright.sim.verilator import CoreSimulator

            core = held.enter_context(CoreSimulator(image.spec, report=report))
            core.load(image)

            def simulate(spikes: Bools, clear: bool) -> tuple[Bools, Ints | None]:
                if clear:
                    core.clear()
                run = core.run(spikes, record=("v",) if record_v else ())
                return run.spikes, run.v if record_v else None

            yield simulate
        else:
            from spikewright.runtime.board import SerialTarget

            port = target
            if target == "virtual":
                from spikewright.sim.virtual import VirtualBoard

                port = held.enter_context(VirtualBoard(image.spec, report=report)).path
            device = held.enter_context(SerialTarget(port).device)
            device.load(image)

            def drive(spikes: Bools, clear: bool) -> tuple[Bools, Ints | None]:
                run = device.run(spikes, clear=clear, record_v=record_v)
                return run.spikes, run.v

            yield drive


def _golden(image: CoreImage, record_v: bool) -> Step:
    from spikewright.sim.golden import GoldenModel

    model = GoldenModel(image)

    def step(spikes: Bools, clear: bool) -> tuple[Bools, Ints | None]:
        if clear:
            model.clear()
        run = model.run(spikes[None], record_v)
        return run.spikes[0], None if run.v is None else run.v[0]

    return step


def chunks(
    step: Step, stimulus: Bools, size: int, watched: tuple[Watched, ...] = (), pace_s: float = 0.0
) -> Iterator[Chunk]:
    """Run samples, each from a cleared state, some timesteps at a time.

    Parameters
    ----------
    step : Step
    stimulus : bool[samples, timesteps, axons]
    size : int
        Timesteps at a time; fewer at the end of a sample.
    watched : tuple of Watched
        Neurons whose membranes are in the chunks; they need a step that records them.
    pace_s : float
        Least time of a timestep [s]. Lost time is not made up for.
    """
    neurons = [w.neuron for w in watched]
    due = time.monotonic()
    for sample, inputs in enumerate(stimulus):
        for first in range(0, len(inputs), size):
            spikes, v = step(inputs[first : first + size], first == 0)
            shown = np.zeros((len(spikes), 0), np.int32) if v is None else v[:, neurons]
            yield Chunk(sample, first, spikes, shown)
            now = time.monotonic()
            due = max(due + pace_s * len(spikes), now)
            time.sleep(due - now)
