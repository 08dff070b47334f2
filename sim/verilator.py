"""The core's RTL, compiled: a Verilated core that runs whole timesteps per call, and its target."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from spikewright.image import CoreImage
from spikewright.spec import CoreSpec, Region
from spikewright.target import Progress, RunResult

from .verilate import Report

__all__ = ["CoreRun", "CoreSimulator", "VerilatorTarget"]


@dataclass(frozen=True)
class CoreRun:
    """What the RTL did in T timesteps; N neuron slots, D delay slots.

    Attributes
    ----------
    spikes : bool[T, N]
        Spikes of every neuron slot.
    cycles : int64[T]
        Clock cycles of each timestep.
    synapses : int64[T]
        Deliveries over a nonzero weight in each timestep.
    saturations : int64[T]
        Neuron updates in which i or v was clamped, in each timestep.
    v : int32[T, N] or None
        Membrane potentials after each timestep; None unless recorded.
    i : int32[T, N] or None
        Synaptic currents after each timestep; None unless recorded, or the spec keeps none.
    refractory : int32[T, N] or None
        Refractory counters after each timestep; None unless recorded, or the spec has none.
    acc : int32[T, D, N] or None
        Accumulators after each timestep by slot; slot ``t % D`` is the one timestep t consumes.
        None unless recorded.
    """

    spikes: npt.NDArray[np.bool_]
    cycles: npt.NDArray[np.int64]
    synapses: npt.NDArray[np.int64]
    saturations: npt.NDArray[np.int64]
    v: npt.NDArray[np.int32] | None = None
    i: npt.NDArray[np.int32] | None = None
    refractory: npt.NDArray[np.int32] | None = None
    acc: npt.NDArray[np.int32] | None = None


class CoreSimulator:
    """The Verilated core of one spec. State survives between calls.

    Everything goes through the core's own ports: images in and state out through the host port,
    axon spikes through ``i_spikes``. Registers and memories start with seeded random content. A
    core that breaks its port protocol or hangs raises; no wait is unbounded.

    Parameters
    ----------
    spec : CoreSpec
        The core to build; compiled once, then taken from the cache.
    optimize : {1, 2, 3}
        Compiler effort, g++'s ``-O``: 1 builds fastest, 3 runs fastest.
    trace : {None, "vcd", "fst"}
        Build so that :meth:`start_trace` can write waveforms of that format; slower.
    seed : int
        Of the content of uninitialized registers and memories.
    report : callable
        Given one line of text when a build takes longer than two seconds.

    Raises
    ------
    ToolError
        Verilator, a compiler or a library that it needs is missing or fails.
    """

    def __init__(
        self,
        spec: CoreSpec,
        *,
        optimize: Literal[1, 2, 3] = 2,
        trace: Literal["vcd", "fst"] | None = None,
        seed: int = 1,
        report: Report | None = None,
    ) -> None:
        raise NotImplementedError

    @property
    def timestep(self) -> int:
        """Timesteps since the state was cleared; the next to be run."""
        raise NotImplementedError

    @property
    def simulated_cycles(self) -> int:
        """Clock cycles simulated so far, loading and reading included."""
        raise NotImplementedError

    def load(self, image: CoreImage) -> None:
        """Write the image's records through the host port, then clear the state.

        Raises
        ------
        SpecError
            The image is for another spec.
        """
        raise NotImplementedError

    def clear(self) -> None:
        """Clear v, i, refractory, accumulators and pending spikes; the timestep becomes 0."""
        raise NotImplementedError

    def run(
        self,
        spikes: npt.NDArray[np.bool_],
        *,
        record: bool = False,
        stall_seed: int | None = None,
    ) -> CoreRun:
        """Run timesteps on from the present state.

        Parameters
        ----------
        spikes : bool[timesteps, axons]
            Input spikes; axons that the spec has beyond these stay silent.
        record : bool
            Read every register of state after every timestep through the host port.
        stall_seed : int, optional
            Draw gaps between axon spikes, whether they come before a timestep or during the one
            before, and idle cycles between timesteps. None leaves no gap that is not needed.
            Results and cycles of the timesteps do not depend on it.

        Raises
        ------
        MismatchError
            The core broke its port protocol or did not finish in the cycles it is allowed.
        """
        raise NotImplementedError

    def read(
        self, region: Region, first: int = 0, count: int | None = None
    ) -> dict[str, npt.NDArray[np.int64]]:
        """Read records of a readable region through the host port: ``int64[count]`` a field."""
        raise NotImplementedError

    def write(self, region: Region, first: int, records: npt.NDArray[np.uint8]) -> None:
        """Write ``uint8[count, size]`` records to a writable region through the host port."""
        raise NotImplementedError

    def start_trace(self, path: Path | str) -> None:
        """Write a waveform of all that happens from now on. Raises ``ToolError`` if not built for it."""
        raise NotImplementedError

    def stop_trace(self) -> None:
        """Finish the waveform file. Harmless if there is none."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back the model's memory. Harmless if done twice."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()


class VerilatorTarget:
    """The Verilated core as a :class:`spikewright.target.Target`."""

    name = "verilator"

    def load(self, image: CoreImage) -> None:
        """Build the core of the image's spec, or take it from the cache, and load the image."""
        raise NotImplementedError

    def run(
        self,
        spikes: npt.NDArray[np.bool_],
        *,
        record_v: bool = False,
        progress: Progress | None = None,
    ) -> RunResult:
        """Run samples, each from a cleared state; see :meth:`spikewright.target.Target.run`."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back the model. Harmless if done twice."""
        raise NotImplementedError
