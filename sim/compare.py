"""Lockstep: golden model against compiled RTL, every register, every timestep."""

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikewright.errors import DataError, MismatchError
from spikewright.image import CoreImage
from spikewright.target import Progress, Report

from .cases import draw_spikes
from .golden import GoldenModel
from .mismatch import BEFORE, COUNTED, UPDATED, Mismatch, Trace, describe, first_difference
from .verilator import CoreSimulator

__all__ = ["LockstepReport", "lockstep", "verify"]

_CHUNK_VALUES = 1 << 20
_MOST_DRAWN = 1 << 27
"""Random spikes, each of which takes a float64 while it is drawn."""


@dataclass(frozen=True)
class LockstepReport:
    """What lockstep compared, and the first difference if there is one.

    Attributes
    ----------
    samples, timesteps : int
        Samples begun, and timesteps compared in all of them together.
    neuron_steps : int
        Neurons in use times timesteps.
    spikes, cycles : int
        In the RTL, in all.
    seconds : float
        Wall-clock time, without building.
    mismatch : Mismatch or None
    """

    samples: int
    timesteps: int
    neuron_steps: int
    spikes: int
    cycles: int
    seconds: float
    mismatch: Mismatch | None

    def check(self) -> None:
        """Raise :class:`MismatchError` if there is a difference."""
        if self.mismatch is not None:
            raise MismatchError(
                str(self.mismatch),
                hint="Golden model and RTL must agree in every bit: please report this, with the "
                "image and the spikes.",
            )


def verify(
    image: CoreImage,
    spikes: npt.NDArray[np.bool_] | None = None,
    *,
    timesteps: int = 100,
    samples: int = 8,
    seed: int = 0,
    waveforms: Path | None = None,
    progress: Progress | None = None,
    report: Report | None = None,
) -> LockstepReport:
    """Check an image on the RTL against the golden model, with random stalls.

    Parameters
    ----------
    image : CoreImage
        Its spec's core is built, or taken from the cache.
    spikes : bool[samples, timesteps, axons], optional
        Input spikes; without them random ones of many rates, of the shape that follows.
    timesteps, samples : int
        Shape of random input spikes.
    seed : int
        Of random input spikes and stalls.
    waveforms : Path, optional
        Folder for a waveform of the first difference.
    progress : callable
        Told how many samples were finished, as they are.
    report : callable
        Told when the core has to be compiled first.

    Raises
    ------
    DataError
        Random spikes that would fill the memory.
    ToolError
        Verilator or a compiler is missing or fails.
    """
    if spikes is None:
        count = samples * timesteps * image.spec.axons
        if count > _MOST_DRAWN:
            raise DataError(
                f"Samples, timesteps and {image.spec.axons} axons must make at most {_MOST_DRAWN} "
                f"random spikes in all, not {count}.",
                hint="Verify fewer samples or timesteps at a time, each time from another seed.",
            )
        spikes = draw_spikes(np.random.default_rng(seed), (samples, timesteps, image.spec.axons))
    with CoreSimulator(image.spec, report=report) as simulator:
        return lockstep(
            image, spikes, simulator, stall_seed=seed, waveforms=waveforms, progress=progress
        )


def lockstep(
    image: CoreImage,
    spikes: npt.NDArray[np.bool_],
    simulator: CoreSimulator,
    *,
    stall_seed: int | None = None,
    waveforms: Path | None = None,
    progress: Progress | None = None,
) -> LockstepReport:
    """Run golden model and RTL side by side up to the first difference.

    Compared after every timestep: v, i, refractory counter, every accumulator slot and spike of
    every neuron slot, in use or not; cycles, synaptic operations and saturations of the timestep.
    After every sample what the host port reads is compared as well.

    Parameters
    ----------
    image : CoreImage
        What both run.
    spikes : bool[samples, timesteps, axons]
        Input spikes; each sample starts from a cleared state.
    simulator : CoreSimulator
        Of the image's spec; the image is loaded into it.
    stall_seed : int, optional
        Draw stalls from this seed; None stalls nowhere.
    waveforms : Path, optional
        Folder for a waveform of the first difference; it costs a second build.
    progress : callable
        Told how many samples were finished, as they are.

    Raises
    ------
    MismatchError
        The RTL broke its port protocol, did not finish a timestep, or its host port reads another
        state than there is.
    """
    started = time.perf_counter()
    simulator.load(image)
    pair = _Pair(GoldenModel(image), simulator, stall_seed)
    mismatch = None
    begun = 0
    while begun < len(spikes) and mismatch is None:
        mismatch = pair.run(begun, spikes[begun])
        begun += 1
        if progress is not None:
            progress(1)
    seconds = time.perf_counter() - started
    if mismatch is not None and waveforms is not None:
        mismatch = _record(image, spikes, mismatch, stall_seed, waveforms)
    return LockstepReport(
        samples=begun,
        timesteps=pair.timesteps,
        neuron_steps=pair.timesteps * image.groups_used * image.spec.lanes,
        spikes=pair.spikes,
        cycles=pair.cycles,
        seconds=seconds,
        mismatch=mismatch,
    )


class _Pair:
    """Golden model and RTL with the same image in them, and what they did so far."""

    def __init__(
        self, model: GoldenModel, simulator: CoreSimulator, stall_seed: int | None
    ) -> None:
        self._model = model
        self._simulator = simulator
        self._stall_seed = stall_seed
        self.timesteps = self.spikes = self.cycles = 0

    def run(self, sample: int, stimulus: npt.NDArray[np.bool_]) -> Mismatch | None:
        """Run one sample from a cleared state, up to the first difference."""
        self._model.clear()
        self._simulator.clear()
        spec = self._model.image.spec
        size = max(BEFORE + 1, _CHUNK_VALUES // (spec.neurons * (spec.delay_slots + len(UPDATED))))
        before: list[tuple[Trace, Trace]] = []
        for first in range(0, len(stimulus), size):
            part = self._advance(stimulus[first : first + size])
            found = first_difference(*part)
            if found is None:
                before = [part]
                continue
            after = []
            with suppress(MismatchError):
                if found[0] == size - 1 and first + size < len(stimulus):
                    after = [self._advance(stimulus[first + size : first + size + 1])]
            golden, rtl = map(_join, zip(*before, part, *after, strict=True))
            skipped = len(before) * size
            row, at = found[0] + skipped, found[1:]
            return describe(sample, first - skipped, row, at, golden, rtl)
        self._simulator.check_read_back()
        return None

    def _advance(self, stimulus: npt.NDArray[np.bool_]) -> tuple[Trace, Trace]:
        golden = _golden_trace(self._model, stimulus)
        rtl = _rtl_trace(self._simulator, stimulus, self._stall_seed)
        self.timesteps += len(stimulus)
        self.spikes += int(np.count_nonzero(rtl["spike"]))
        self.cycles += int(rtl["cycles"].sum())
        return golden, rtl


def _golden_trace(model: GoldenModel, stimulus: npt.NDArray[np.bool_]) -> Trace:
    spec = model.image.spec
    steps, slots = len(stimulus), (spec.neurons,)
    trace: Trace = {"v": np.empty((steps, *slots), np.int32)}
    if spec.synapse_current:
        trace["i"] = np.empty_like(trace["v"])
    if spec.refractory_bits:
        trace["refractory"] = np.empty_like(trace["v"])
    trace["acc"] = np.empty((steps, spec.delay_slots, *slots), np.int32)
    results = []
    for t in range(steps):
        results.append(model.step(stimulus[None, t]))
        for name, values in trace.items():
            values[t] = getattr(model, name)[0]
    trace["spike"] = np.array([r.spikes[0] for r in results])
    trace["cycles"] = np.array([r.cycles[0] for r in results])
    trace["synapses"] = np.array([r.synaptic_operations[0] for r in results])
    trace["saturations"] = np.array([r.saturations[0] for r in results])
    return trace


def _rtl_trace(
    simulator: CoreSimulator, stimulus: npt.NDArray[np.bool_], stall_seed: int | None
) -> Trace:
    run = simulator.run(stimulus, record=True, stall_seed=stall_seed)
    trace: Trace = {"spike": run.spikes} | {name: getattr(run, name) for name in COUNTED}
    for name in ("v", "i", "refractory", "acc"):
        if getattr(run, name) is not None:
            trace[name] = getattr(run, name)
    return trace


def _join(traces: tuple[Trace, ...]) -> Trace:
    return {name: np.concatenate([trace[name] for trace in traces]) for name in traces[0]}


def _record(
    image: CoreImage,
    spikes: npt.NDArray[np.bool_],
    mismatch: Mismatch,
    stall_seed: int | None,
    folder: Path,
) -> Mismatch:
    """Run up to the mismatch once more, in a core of its own, and write a waveform of its rows."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"sample{mismatch.sample}-timestep{mismatch.timestep}.vcd"
    first, last = mismatch.rows[0][0], mismatch.rows[-1][0]
    recurred = False
    with CoreSimulator(image.spec, trace="vcd") as simulator, suppress(MismatchError):
        simulator.load(image)
        for earlier in spikes[: mismatch.sample]:
            simulator.run(earlier, stall_seed=stall_seed)
            simulator.clear()
        stimulus = spikes[mismatch.sample]
        simulator.run(stimulus[:first], stall_seed=stall_seed)
        simulator.start_trace(path)
        trace = _rtl_trace(simulator, stimulus[first : last + 1], stall_seed)
        index = [where for where in (mismatch.slot, mismatch.neuron) if where is not None]
        recurred = trace[mismatch.variable][mismatch.timestep - first, *index] == mismatch.rtl
    return replace(mismatch, waveform=path, recurred=bool(recurred))
