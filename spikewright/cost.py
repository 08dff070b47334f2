"""What a network costs on hardware, from the user's own spikes, before there is any."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.console import Table
from spikewright.errors import SpikewrightError
from spikewright.frames import LinkSpec
from spikewright.image import CoreImage
from spikewright.runtime.traffic import Traffic, load_traffic, run_traffic
from spikewright.sim.golden import GoldenTarget
from spikewright.sim.workload import NeuroBench, neurobench, reads
from spikewright.target import Progress

__all__ = [
    "ENERGY_SOURCES",
    "Cost",
    "Distribution",
    "Energy",
    "Weights",
    "cost",
    "cost_summary",
    "cost_tables",
]

_PICOJOULE = 1e-12

ENERGY_SOURCES = {
    50.0: "F. Corradi et al., Gyro: A Digital Spiking Neural Network Architecture for "
    "Multi-Sensory Data Analytics, DroneSE and RAPIDO 2021, doi:10.1145/3444950.3444951",
    21_000.0: "B. A. Lindqvist and A. Podobas, Algorithms for Fast Spiking Neural Network "
    "Simulation on FPGAs, IEEE Access 12, 2024, doi:10.1109/ACCESS.2024.3479933",
}
"""Energy of a synaptic operation on an FPGA [pJ] and who published it in an abstract: an
event-driven core, and a simulator of a cortical microcircuit. No design is like another, nor do
authors count alike, so the band is wide."""


@dataclass(frozen=True)
class Distribution:
    """Mean of some counts, and values among them: half, 95 % and all are at most these."""

    mean: float
    median: int
    p95: int
    worst: int

    @classmethod
    def of(cls, counts: npt.NDArray[np.int64]) -> "Distribution":
        """That of an array of any shape, not empty."""
        median, p95 = np.quantile(counts, [0.5, 0.95], method="inverted_cdf")
        return cls(float(counts.mean()), int(median), int(p95), int(counts.max()))


@dataclass(frozen=True)
class Weights:
    """How well the weight memory is used.

    Attributes
    ----------
    words, words_there : int
        Weight words that the image fills, and those of the core.
    filled : float
        Lanes of the image's words that hold a synapse, as a share.
    words_read : Distribution
        Weight words read in an inference.
    read_filled : float
        Lanes of the words read, as often as they are read, that hold a synapse, as a share.
    """

    words: int
    words_there: int
    filled: float
    words_read: Distribution
    read_filled: float


@dataclass(frozen=True)
class Energy:
    """An estimate, not a measurement: synaptic operations times what others published [J].

    Attributes
    ----------
    low_j, high_j : float
        Mean of an inference, by the least and the most of :data:`ENERGY_SOURCES`.
    """

    low_j: float
    high_j: float


@dataclass(frozen=True)
class Cost:
    """What an image costs with some samples of input spikes; an inference is one sample.

    Attributes
    ----------
    samples, timesteps : int
    clock_hz : float
    timestep_cycles, inference_cycles : Distribution
        Clock cycles, exactly those of the RTL, of a core that does not learn meanwhile.
    learning_cycles : Distribution or None
        Clock cycles of a timestep if the core learns all samples, one after the other, without
        rewards; None if it learns nothing.
    clear_cycles : int
        Clock cycles that clearing the state takes on top, before each inference.
    weights : Weights
    load : Traffic
        Bytes on the line to open the device, load the image and read its weights back.
    inferences : tuple of Traffic
        Bytes on the line of each inference: clear, spikes in and out, and counters.
    energy : Energy
    neurobench : NeuroBench
    """

    samples: int
    timesteps: int
    clock_hz: float
    timestep_cycles: Distribution
    inference_cycles: Distribution
    learning_cycles: Distribution | None
    clear_cycles: int
    weights: Weights
    load: Traffic
    inferences: tuple[Traffic, ...]
    energy: Energy
    neurobench: NeuroBench


def cost(
    image: CoreImage,
    spikes: npt.NDArray[np.bool_],
    *,
    clock_hz: float = 100e6,
    link: LinkSpec | None = None,
    progress: Progress | None = None,
) -> Cost:
    """Run samples on the golden model and say what they would cost on hardware.

    Parameters
    ----------
    image : CoreImage
    spikes : bool[samples, timesteps, axons]
        Each sample from a cleared state.
    clock_hz : float
        The core's clock.
    link : LinkSpec
        The device's limits; by default those that boards are built with.
    progress : callable
        Told how many samples were finished, as they are.

    Raises
    ------
    SpikewrightError
        No samples or timesteps, spikes of another dtype or shape or of too many axons, or a clock
        that is none.
    """
    if not (math.isfinite(clock_hz) and clock_hz > 0):
        raise SpikewrightError(
            f"The clock must be a frequency above 0 Hz, not {clock_hz}.",
            hint="Give it in Hz: 100e6 is 100 MHz.",
        )
    target = GoldenTarget()
    target.load(image)
    result = target.run(spikes, progress=progress)
    if result.cycles is None or not result.cycles.size:
        raise SpikewrightError(
            f"There is nothing to run in spikes of shape {list(spikes.shape)}.",
            hint="Give at least one sample of one timestep.",
        )
    metrics = neurobench(image, spikes, result.spikes)
    low, high = (pj * _PICOJOULE * metrics.effective_acs for pj in ENERGY_SOURCES)
    link = link or LinkSpec()
    return Cost(
        samples=spikes.shape[0],
        timesteps=spikes.shape[1],
        clock_hz=clock_hz,
        timestep_cycles=Distribution.of(result.cycles),
        inference_cycles=Distribution.of(result.total_cycles),
        learning_cycles=_learning(target, image, spikes),
        clear_cycles=image.spec.clear_cycles,
        weights=_weights(image, spikes, result.spikes),
        load=load_traffic(image, link),
        inferences=run_traffic(image, spikes, result.spikes, link),
        energy=Energy(low, high),
        neurobench=metrics,
    )


def _learning(
    target: GoldenTarget, image: CoreImage, spikes: npt.NDArray[np.bool_]
) -> Distribution | None:
    if not image.learns.any():
        return None
    result = target.run(spikes, learn=True)
    return None if result.cycles is None else Distribution.of(result.cycles)


def _weights(
    image: CoreImage, spikes: npt.NDArray[np.bool_], fired: npt.NDArray[np.bool_]
) -> Weights:
    read, lanes = reads(image, spikes, fired), image.spec.lanes
    words, synapses = int(read.words.sum()), int(read.synaptic_operations.sum())
    return Weights(
        words=len(image.weights),
        words_there=image.spec.weight_words,
        filled=int(np.count_nonzero(image.weights)) / max(1, image.weights.size),
        words_read=Distribution.of(read.words),
        read_filled=synapses / max(1, words * lanes),
    )


def cost_summary(found: Cost) -> dict[str, Any]:
    """A cost as JSON."""
    runs, learning = found.inferences, found.learning_cycles
    return {
        "samples": found.samples,
        "timesteps": found.timesteps,
        "clock_hz": found.clock_hz,
        "cycles": {
            "timestep": asdict(found.timestep_cycles),
            "inference": asdict(found.inference_cycles),
            "learning": None if learning is None else asdict(learning),
            "clear": found.clear_cycles,
        },
        "seconds": {
            name: {key: value / found.clock_hz for key, value in asdict(counts).items()}
            for name, counts in (
                ("timestep", found.timestep_cycles),
                ("inference", found.inference_cycles),
            )
        },
        "weights": asdict(found.weights),
        "link_bytes": {
            "load": asdict(found.load),
            "inference": {
                "sent": asdict(Distribution.of(np.array([run.sent for run in runs]))),
                "received": asdict(Distribution.of(np.array([run.received for run in runs]))),
                "slack": max(run.slack for run in runs),
                "is_exact": all(run.is_exact for run in runs),
            },
        },
        "energy": {
            "is_estimate": True,
            **asdict(found.energy),
            "sources": [
                {"pj_per_synaptic_operation": pj, "source": source}
                for pj, source in ENERGY_SOURCES.items()
            ],
        },
        "neurobench": asdict(found.neurobench),
    }


def cost_tables(found: Cost) -> list[Table | str]:
    """The same for people."""
    data = cost_summary(found)
    columns = ("", "mean", "median", "95 %", "worst")
    runs, load = data["link_bytes"]["inference"], found.load
    rows = [
        _row(f"{what} of {article} {name}", values, form)
        for article, name in (("a", "timestep"), ("an", "inference"))
        for what, values, form in (
            ("cycles", data["cycles"][name], _count),
            ("time", data["seconds"][name], _seconds),
        )
    ]
    if found.learning_cycles is not None:
        rows.append(_row("cycles of a timestep that learns", data["cycles"]["learning"], _count))
    rows.append(_row("weight words read, an inference", data["weights"]["words_read"], _count))
    rows += [_row(f"bytes {way}, an inference", runs[way], _count) for way in ("sent", "received")]
    weights, bench = found.weights, found.neurobench
    facts = [
        ("cycles to clear, before each inference", str(found.clear_cycles)),
        ("weight words", f"{weights.words} of {weights.words_there}"),
        ("lanes that hold a synapse", f"{weights.filled:.1%} of all words"),
        ("", f"{weights.read_filled:.1%} of the words read, as often as they are"),
        ("bytes to load, once", f"{load.sent} sent, {load.received} received"),
        ("energy of an inference, estimate", _band(found.energy)),
    ]
    metrics = [
        ("footprint", f"{bench.footprint} bytes"),
        ("connection sparsity", f"{bench.connection_sparsity:.4f}"),
        ("activation sparsity", f"{bench.activation_sparsity:.4f}"),
        ("synaptic operations, dense", f"{bench.dense:.1f}"),
        ("synaptic operations, effective MACs", f"{bench.effective_macs:.1f}"),
        ("synaptic operations, effective ACs", f"{bench.effective_acs:.1f}"),
    ]
    return [
        Table(
            columns,
            rows,
            title=f"{found.samples} inferences of {found.timesteps} timesteps "
            f"at {found.clock_hz / 1e6:g} MHz",
        ),
        Table(("on the core", ""), facts),
        Table(("NeuroBench, an inference", ""), metrics),
        *_notes(found),
    ]


def _row(name: str, values: dict[str, float], form: Callable[[float], str]) -> tuple[str, ...]:
    return (name, *(form(values[key]) for key in ("mean", "median", "p95", "worst")))


def _count(value: float) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _seconds(value: float) -> str:
    return f"{value * 1e6:.2f} us"


def _band(energy: Energy) -> str:
    return f"{energy.low_j * 1e6:.3g} to {energy.high_j * 1e6:.3g} uJ"


def _notes(found: Cost) -> list[str]:
    notes = [
        f"Energy is an estimate, {pj:g} pJ a synaptic operation: {source}."
        for pj, source in ENERGY_SOURCES.items()
    ]
    slack = max(run.slack for run in (found.load, *found.inferences))
    if slack:
        notes.append(
            f"Up to {slack} bytes more, of a load or an inference, by the sequence number that a "
            "session begins with."
        )
    inexact = sum(not run.is_exact for run in found.inferences)
    if inexact:
        notes.append(
            f"Bytes of {inexact} of {found.samples} inferences may differ: the sequence number "
            "that a session begins with decides when a frame is sent."
        )
    return notes
