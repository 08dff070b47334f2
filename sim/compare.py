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
from .cases_learning import draw_learn, draw_rewards
from .golden import GoldenModel
from .mismatch import BEFORE, UPDATED, Mismatch, Trace, describe, first_difference
from .traces import Stimulus, golden_trace, rtl_trace, run_rtl, stimuli, synapse_variables
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
    updates : int
        Synapses whose weight or eligibility changed in a timestep of the RTL, in all.
    seconds : float
        Wall-clock time, without building.
    mismatch : Mismatch or None
    """

    samples: int
    timesteps: int
    neuron_steps: int
    spikes: int
    cycles: int
    updates: int
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

    Where the spec has plasticity the core learns, with random switches and rewards.

    Parameters
    ----------
    image : CoreImage
        Its spec's core is built, or taken from the cache.
    spikes : bool[samples, timesteps, axons], optional
        Input spikes; without them random ones of many rates, of the shape that follows.
    timesteps, samples : int
        Shape of random input spikes.
    seed : int
        Of random input spikes and stalls, of switches and rewards.
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
    spec, rng = image.spec, np.random.default_rng((seed, 1))
    with CoreSimulator(spec, report=report) as simulator:
        return lockstep(
            image,
            spikes,
            simulator,
            learn=draw_learn(rng, spikes.shape[:2]) if spec.plastic else None,
            rewards=draw_rewards(rng, spikes.shape[:2]) if spec.reward else None,
            stall_seed=seed,
            waveforms=waveforms,
            progress=progress,
        )


def lockstep(
    image: CoreImage,
    spikes: npt.NDArray[np.bool_],
    simulator: CoreSimulator,
    *,
    learn: npt.NDArray[np.bool_] | None = None,
    rewards: npt.NDArray[np.int64] | None = None,
    stall_seed: int | None = None,
    waveforms: Path | None = None,
    progress: Progress | None = None,
) -> LockstepReport:
    """Run golden model and RTL side by side up to the first difference.

    Compared after every timestep: v, i, refractory counter, every accumulator slot and spike of
    every neuron slot, in use or not; cycles, synaptic operations and saturations of the timestep.
    With plasticity every weight word and eligibility, all traces, offsets and the random register
    as well. After every sample what the host port reads is compared too.

    Parameters
    ----------
    image : CoreImage
        What both run.
    spikes : bool[samples, timesteps, axons]
        Input spikes; each sample starts from a cleared state.
    simulator : CoreSimulator
        Of the image's spec; the image is loaded into it.
    learn : bool[samples, timesteps], optional
        When the core learns; never without it. What one sample changed the next one has.
    rewards : int64[samples, timesteps], optional
        Q1.6, -128 to 127; 0 without them.
    stall_seed : int, optional
        Draw stalls from this seed; None stalls nowhere.
    waveforms : Path, optional
        Folder for a waveform of the first difference; it costs a second build.
    progress : callable
        Told how many samples were finished, as they are.

    Raises
    ------
    SpikewrightError
        The core cannot learn so, or ``learn`` or ``rewards`` have another dtype, shape or range.
    MismatchError
        The RTL broke its port protocol, did not finish a timestep, or its host port reads another
        state than there is.
    """
    given = stimuli(image, spikes, learn, rewards)
    started = time.perf_counter()
    simulator.load(image)
    pair = _Pair(GoldenModel(image), simulator, stall_seed)
    mismatch = None
    begun = 0
    while begun < len(given) and mismatch is None:
        mismatch = pair.run(begun, given[begun])
        begun += 1
        if progress is not None:
            progress(1)
    seconds = time.perf_counter() - started
    if mismatch is not None and waveforms is not None:
        mismatch = _record(image, given, mismatch, stall_seed, waveforms)
    return LockstepReport(
        samples=begun,
        timesteps=pair.timesteps,
        neuron_steps=pair.timesteps * image.groups_used * image.spec.lanes,
        spikes=pair.spikes,
        cycles=pair.cycles,
        updates=pair.updates,
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
        self._synapses = {name: model.image.arrays[name] for name in synapse_variables(model.image)}
        self.timesteps = self.spikes = self.cycles = self.updates = 0

    def run(self, sample: int, stimulus: Stimulus) -> Mismatch | None:
        """Run one sample from a cleared state, up to the first difference."""
        self._model.clear()
        self._simulator.clear()
        image, timesteps = self._model.image, stimulus.timesteps
        size = max(BEFORE + 1, _CHUNK_VALUES // _values(image))
        before: list[tuple[Trace, Trace]] = []
        for first in range(0, timesteps, size):
            part = self._advance(stimulus.part(first, first + size))
            found = first_difference(*part)
            if found is None:
                before = [part]
                continue
            after = []
            with suppress(MismatchError):
                if found[0] == size - 1 and first + size < timesteps:
                    after = [self._advance(stimulus.part(first + size, first + size + 1))]
            golden, rtl = map(_join, zip(*before, part, *after, strict=True))
            skipped = len(before) * size
            row, at = found[0] + skipped, found[1:]
            return describe(sample, first - skipped, row, at, golden, rtl, image)
        self._simulator.check_read_back()
        return None

    def _advance(self, stimulus: Stimulus) -> tuple[Trace, Trace]:
        golden = golden_trace(self._model, stimulus)
        rtl = rtl_trace(self._simulator, self._model.image, stimulus, self._stall_seed)
        self.timesteps += stimulus.timesteps
        self.spikes += int(np.count_nonzero(rtl["spike"]))
        self.cycles += int(rtl["cycles"].sum())
        self.updates += self._count_updates(rtl)
        return golden, rtl

    def _count_updates(self, rtl: Trace) -> int:
        """Synapses whose weight or eligibility changed, timestep by timestep."""
        changed = np.zeros((), np.bool_)
        for name, before in self._synapses.items():
            values = np.concatenate([before[None], rtl[name]])
            changed = changed | (np.diff(values, axis=0) != 0)
            self._synapses[name] = values[-1]
        return int(np.count_nonzero(changed))


def _values(image: CoreImage) -> int:
    """How many are compared in a timestep, about."""
    spec = image.spec
    return spec.neurons * (spec.delay_slots + len(UPDATED)) + (
        len(synapse_variables(image)) * image.weights.size + spec.sources * spec.plastic
    )


def _join(traces: tuple[Trace, ...]) -> Trace:
    return {name: np.concatenate([trace[name] for trace in traces]) for name in traces[0]}


def _record(
    image: CoreImage,
    given: list[Stimulus],
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
        for earlier in given[: mismatch.sample]:
            run_rtl(simulator, earlier, stall_seed)
            simulator.clear()
        stimulus = given[mismatch.sample]
        run_rtl(simulator, stimulus.part(0, first), stall_seed)
        simulator.start_trace(path)
        trace = rtl_trace(simulator, image, stimulus.part(first, last + 1), stall_seed)
        at = mismatch.timestep - first, *mismatch.index
        recurred = trace[mismatch.variable][at] == mismatch.rtl
    return replace(mismatch, waveform=path, recurred=bool(recurred))
