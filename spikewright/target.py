"""One interface to everything that can run an image: golden model, Verilated core, boards."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from spikewright.errors import SpikewrightError
from spikewright.image import CoreImage
from spikewright.recording import read_recording
from spikewright.spec import CoreSpec

__all__ = [
    "Progress",
    "RealTimeTarget",
    "Report",
    "RunResult",
    "Target",
    "able_to_pace",
    "check_plastic",
    "check_rewards",
    "check_spikes",
    "no_timer",
    "not_plastic",
    "open_target",
]

Progress = Callable[[int], None]
"""Called with the number of samples that have just been finished."""
Report = Callable[[str], None]
"""Given one line of text when something takes longer than two seconds."""


@dataclass(frozen=True)
class RunResult:
    """What a run gives back, the same on every target.

    Attributes
    ----------
    spikes : bool[samples, timesteps, neurons]
        Spikes of every neuron slot of the spec.
    cycles : int64[samples, timesteps] or None
        Clock cycles of each timestep; None where the target does not tell them apart.
    total_cycles : int64[samples]
        Clock cycles of each sample's timesteps.
    v : int32[samples, timesteps, neurons] or None
        Membrane potentials after each timestep, if asked for.
    overruns : int64[samples] or None
        Of a run with a period: ticks of the target's timer on which no timestep could begin. The
        timeline of a sample is so many periods longer than its timesteps.
    """

    spikes: npt.NDArray[np.bool_]
    cycles: npt.NDArray[np.int64] | None
    total_cycles: npt.NDArray[np.int64]
    v: npt.NDArray[np.int32] | None
    overruns: npt.NDArray[np.int64] | None = None


def check_spikes(
    spikes: npt.NDArray[np.bool_], spec: CoreSpec, axes: str, samples: int | None = None
) -> None:
    """Check input spikes, the same way and with the same words on every target.

    Parameters
    ----------
    spikes : bool array
        Its last axis is axons; there may be fewer than the spec has.
    spec : CoreSpec
    axes : str
        The shape that is wanted, such as ``[samples, timesteps, axons]``.
    samples : int, optional
        Number of samples wanted; any if None.

    Raises
    ------
    SpikewrightError
        Another dtype or shape, or more axons than the spec has.
    """
    if not isinstance(spikes, np.ndarray) or spikes.dtype != np.bool_:
        given = getattr(spikes, "dtype", type(spikes).__name__)
        raise SpikewrightError(
            f"Input spikes must be a NumPy array of bool, not {given}.",
            hint="Convert them, for example with `spikes > 0`.",
        )
    if spikes.ndim != axes.count(",") + 1 or samples not in (None, spikes.shape[0]):
        wanted = axes if samples is None else f"{axes} with {samples} samples"
        raise SpikewrightError(
            f"Input spikes must have shape {wanted}, not {spikes.shape}.",
            hint="Its last axis is axons, True where one spikes.",
        )
    if spikes.shape[-1] > spec.axons:
        raise SpikewrightError(
            f"Input spikes must have at most {spec.axons} axons, not {spikes.shape[-1]}.",
            hint="Compile the network for a core with more axons, or pass fewer input lines.",
        )


def check_plastic(spec: CoreSpec) -> None:
    """Check that a core of that spec can learn. Raises :class:`SpikewrightError`."""
    if not spec.plastic:
        raise not_plastic()


def not_plastic() -> SpikewrightError:
    """The error of whoever asks a core without plasticity to learn."""
    return SpikewrightError(
        "This core cannot learn: its spec has no plasticity.",
        hint="Compile for a spec with plasticity 'window' or 'trace'.",
    )


def check_rewards(
    rewards: npt.NDArray[np.int64] | None, spikes: npt.NDArray[np.bool_], spec: CoreSpec
) -> npt.NDArray[np.int64]:
    """Rewards of a learning run, checked; zeros where none are given.

    Parameters
    ----------
    rewards : int64[samples, timesteps] or None
        Q1.6, -128 to 127.
    spikes : bool[samples, timesteps, axons]
    spec : CoreSpec

    Raises
    ------
    SpikewrightError
        The spec cannot learn or has no ``reward``, or another dtype, shape or range.
    """
    check_plastic(spec)
    if rewards is None:
        return np.zeros(spikes.shape[:2], np.int64)
    if not spec.reward:
        raise SpikewrightError(
            "This core's rule takes no rewards: its spec has no reward.",
            hint="Leave the rewards out, or compile for a spec with reward.",
        )
    given = np.asarray(rewards)
    if given.dtype.kind not in "iu" or given.shape != spikes.shape[:2]:
        raise SpikewrightError(
            f"Rewards must be integers of shape {spikes.shape[:2]}, "
            f"not {given.dtype} of shape {given.shape}.",
            hint="Give one for each timestep of each sample; 64 stands for 1.0.",
        )
    if given.size and (given.min() < -128 or given.max() > 127):
        raise SpikewrightError(
            f"Rewards must be in [-128, 127], not {given.min()} to {given.max()}.",
            hint="They are Q1.6: 64 stands for 1.0.",
        )
    return given.astype(np.int64)


class Target(Protocol):
    """A core that can be loaded with an image and run."""

    name: str

    def load(self, image: CoreImage) -> None:
        """Load an image. Raises ``SpecError`` where the target has another spec."""

    def run(
        self,
        spikes: npt.NDArray[np.bool_],
        *,
        record_v: bool = False,
        progress: Progress | None = None,
    ) -> RunResult:
        """Run samples, each from a cleared state.

        Parameters
        ----------
        spikes : bool[samples, timesteps, axons]
            Input spikes; axons that the spec has beyond these stay silent.
        record_v : bool
            Give back membrane potentials too.
        progress : callable
            Told how many samples were finished, as they are.
        """
        ...

    def close(self) -> None:
        """Give back processes and ports. Harmless if done twice."""


@runtime_checkable
class LearningTarget(Target, Protocol):
    """A target whose core can learn."""

    def run(
        self,
        spikes: npt.NDArray[np.bool_],
        *,
        record_v: bool = False,
        learn: bool = False,
        rewards: npt.NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> RunResult:
        """As :meth:`Target.run`; what a learning run changed stays for all that follows.

        Parameters
        ----------
        spikes, record_v, progress
            As for :meth:`Target.run`.
        learn : bool
            Let the core learn, one sample after the other.
        rewards : int64[samples, timesteps], optional
            Of a run that learns: rewards Q1.6, -128 to 127; 0 without them.
        """
        ...

    def learned_image(self) -> CoreImage:
        """The loaded image with all that the core learned since in it.

        Raises ``SpikewrightError`` where there is no image, or its spec has no plasticity.
        """
        ...


@runtime_checkable
class RealTimeTarget(LearningTarget, Protocol):
    """A target with a timer, on whose ticks timesteps can begin."""

    @property
    def clock_hz(self) -> int:
        """Its clock, in whose cycles the period is counted."""

    def run(
        self,
        spikes: npt.NDArray[np.bool_],
        *,
        record_v: bool = False,
        learn: bool = False,
        rewards: npt.NDArray[np.int64] | None = None,
        period_s: float | None = None,
        progress: Progress | None = None,
    ) -> RunResult:
        """As :meth:`LearningTarget.run`; the results are the same with every period.

        Parameters
        ----------
        spikes, record_v, learn, rewards, progress
            As for :meth:`LearningTarget.run`.
        period_s : float, optional
            Between the beginnings of timesteps [s], 100 us to 10 ms and a whole number of cycles;
            by default they are run on demand. Each sample has a timeline of its own.
        """
        ...


def able_to_pace(target: Target) -> RealTimeTarget:
    """The target, if it has a timer. Raises :class:`SpikewrightError` if not."""
    if not isinstance(target, RealTimeTarget):
        raise no_timer(target.name)
    return target


def no_timer(name: str) -> SpikewrightError:
    """The error of whoever asks a target without a timer for a period."""
    return SpikewrightError(
        f"Target {name!r} runs timesteps as fast as it can: it has no timer.",
        hint="Run with a period on target 'virtual' or a board.",
    )


def able_to_learn(target: Target) -> LearningTarget:
    """The target, if it can learn. Raises :class:`SpikewrightError` if not."""
    if not isinstance(target, LearningTarget):
        raise SpikewrightError(
            f"Target {target.name!r} cannot learn.",
            hint="Learn on target 'golden', 'verilator', 'virtual' or a board.",
        )
    return target


def open_target(name: str, *, report: Report | None = None, record: Path | None = None) -> Target:
    """Open a target by name.

    Parameters
    ----------
    name : str
        ``golden``, ``verilator``, ``virtual`` (the Verilated top behind a pseudo-terminal that is
        started for this target once an image is loaded), a serial port such as ``/dev/ttyUSB1``,
        or ``replay:FILE``: the device of a recorded session.
    report : callable
        Told when a model has to be compiled first.
    record : Path, optional
        Of a target behind a serial port: a file that gets all that goes over the line.

    Raises
    ------
    LinkError
        A serial port that is not there or does not answer.
    DataError
        A recording that cannot be read or written.
    SpikewrightError
        ``record`` for a target that has no line.
    """
    if record is not None and name in ("golden", "verilator"):
        raise SpikewrightError(
            f"Target {name!r} has no serial line to record.",
            hint="Record target 'virtual' or a serial port.",
        )
    if name == "golden":
        from spikewright.sim.golden import GoldenTarget

        return GoldenTarget()
    if name == "verilator":
        from spikewright.sim.rtl_target import VerilatorTarget

        return VerilatorTarget(report=report)
    from spikewright.runtime.board import SerialTarget

    if name == "virtual":
        from spikewright.sim.virtual import VirtualTarget

        return VirtualTarget(partial(SerialTarget, record=record), report=report)
    scheme, _, file = name.partition(":")
    if scheme == "replay" and file:
        from spikewright.sim.line import SimulatedPort
        from spikewright.sim.replay import Replay

        line = Replay(read_recording(file))
        return SerialTarget(SimulatedPort(line, name=name), record=record)
    return SerialTarget(name, record=record)
