"""Compiled models through ctypes: one instance of any, and the structures of the core's driver."""

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.closing import Closing
from spikewright.errors import SpikewrightError, ToolError

from .verilate import TraceFormat

__all__ = ["CORE_FUNCTIONS", "Column", "CoreRun", "Instance", "Run", "bind"]

_POINTER, _U32, _U64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
_BENCH = (
    ("bench_open", _POINTER, _U32),
    ("bench_close", None, _POINTER),
    ("bench_start_trace", ctypes.c_int, _POINTER, ctypes.c_char_p),
    ("bench_stop_trace", None, _POINTER),
    ("bench_memory", _POINTER, _POINTER, ctypes.c_char_p, ctypes.POINTER(_U32)),
)
_RECORDS = (_POINTER, _U32, _U32, _U32, _U32, _POINTER)
CORE_FUNCTIONS = (
    ("core_cycles", _U64, _POINTER),
    ("core_write", None, *_RECORDS),
    ("core_read", None, *_RECORDS),
    ("core_record", None, _POINTER, _POINTER, _U64),
    ("core_clear", ctypes.c_int, _POINTER, _U64),
    ("core_run", ctypes.c_int, _POINTER, _POINTER),
)
"""Of core.cpp."""


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
    weights, eligibility : int32[T, W, lanes] or None
        The weight memory after each timestep, W words of it or more than an image has; None unless
        recorded, or the spec has none.
    x : int32[T, A + N] or None
        Pre traces after each timestep, 0 for sources without plastic synapses; likewise.
    y, h : int32[T, N] or None
        Post traces and threshold offsets after each timestep; likewise.
    random : uint32[T] or None
        The random register after each timestep; likewise.
    """

    spikes: npt.NDArray[np.bool_]
    cycles: npt.NDArray[np.int64]
    synapses: npt.NDArray[np.int64]
    saturations: npt.NDArray[np.int64]
    v: npt.NDArray[np.int32] | None = None
    i: npt.NDArray[np.int32] | None = None
    refractory: npt.NDArray[np.int32] | None = None
    acc: npt.NDArray[np.int32] | None = None
    weights: npt.NDArray[np.int32] | None = None
    eligibility: npt.NDArray[np.int32] | None = None
    x: npt.NDArray[np.int32] | None = None
    y: npt.NDArray[np.int32] | None = None
    h: npt.NDArray[np.int32] | None = None
    random: npt.NDArray[np.uint32] | None = None


class Column(ctypes.Structure):
    """A field in consecutive words of a memory, and where its int32 values go."""

    _fields_ = [
        ("words", _POINTER),
        ("word_size", _U32),
        ("count", _U32),
        ("offset", _U32),
        ("width", _U32),
        ("is_signed", _U32),
        ("step", _U32),
        ("stride", _U64),
        ("values", _POINTER),
    ]


class Run(ctypes.Structure):
    """Timesteps to run and where their results go; ``timestep`` comes back as the finished ones."""

    _fields_ = [
        ("timesteps", _U64),
        ("counts", _POINTER),
        ("axons", _POINTER),
        ("neurons", _U64),
        ("cycle_limit", _U64),
        ("stall_seed", _U64),
        ("learn", _POINTER),
        ("rewards", _POINTER),
        ("spikes", _POINTER),
        ("cycles", _POINTER),
        ("synapses", _POINTER),
        ("saturations", _POINTER),
        ("columns", _POINTER),
        ("column_count", _U64),
        ("random", _POINTER),
        ("timestep", _U64),
    ]


def bind(path: Path, functions: Iterable[tuple[Any, ...]]) -> ctypes.CDLL:
    """Load a library and declare its functions: name, result, arguments."""
    library = ctypes.CDLL(str(path))
    for name, result, *arguments in functions:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Instance(Closing):
    """One instance of a compiled model; owns its memory and its waveform file.

    Parameters
    ----------
    library : Path
        Built from a driver with ``bench_open`` and ``bench_close``.
    functions : iterable of tuple
        The driver's other functions, as for :func:`bind`.
    trace : {None, "vcd", "fst"}
        What it was built for.
    seed : int
        Of the content of uninitialized registers and memories.
    """

    _pointer: int | None = None

    def __init__(
        self,
        library: Path,
        functions: Iterable[tuple[Any, ...]],
        *,
        trace: TraceFormat | None,
        seed: int,
    ) -> None:
        self._library = bind(library, (*_BENCH, *functions))
        self._trace = trace
        self._pointer = self._library.bench_open(seed & 0xFFFFFFFF)

    @property
    def _handle(self) -> int:
        if self._pointer is None:
            raise SpikewrightError(
                "Simulation is closed.", hint="Start another; the compiled model is kept."
            )
        return self._pointer

    def start_trace(self, path: Path | str) -> None:
        """Write a waveform of all that happens from now on, in the format that was built for.

        Raises
        ------
        ToolError
            The model was built without ``trace``, or the file cannot be written.
        """
        if self._trace is None:
            raise ToolError("Model was built without waveforms.", hint="Build it with trace='vcd'.")
        if not self._library.bench_start_trace(self._handle, str(path).encode()):
            raise ToolError(
                f"Cannot write waveform {str(path)!r}.", hint="Is its folder there, and writable?"
            )

    def stop_trace(self) -> None:
        """Finish the waveform file. Harmless if there is none."""
        self._library.bench_stop_trace(self._handle)

    def memory(self, path: str) -> tuple[int, int]:
        """Address of a memory's first word in this process, and the bytes from word to word.

        Raises
        ------
        ToolError
            The model has no memory of that path.
        """
        word_size = _U32()
        address = self._library.bench_memory(self._handle, path.encode(), ctypes.byref(word_size))
        if address is None:
            raise ToolError(
                f"Model has no memory {path!r}.", hint="Is this the pinned release of Verilator?"
            )
        return address, word_size.value

    def close(self) -> None:
        """Give back the memory and finish the waveform. Harmless if done twice."""
        if self._pointer is not None:
            self._library.bench_close(self._pointer)
            self._pointer = None

    def __del__(self) -> None:
        self.close()
