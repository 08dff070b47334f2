"""The C interface of the core's driver, core.cpp: structures and functions, for ctypes."""

import ctypes
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["Column", "Run", "Sweep", "bind", "bind_core"]

_POINTER, _U32, _U64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64


class Column(ctypes.Structure):
    """One field of a sweep's records: where its int32 values go, and its bits in the record."""

    _fields_ = [
        ("values", _POINTER),
        ("stride", _U64),
        ("offset", _U32),
        ("width", _U32),
        ("is_signed", _U32),
    ]


class Sweep(ctypes.Structure):
    """Consecutive records that are read through the host port after every timestep."""

    _fields_ = [
        ("region", _U32),
        ("first", _U32),
        ("count", _U32),
        ("columns", _U32),
        ("column", Column * 3),
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
        ("spikes", _POINTER),
        ("cycles", _POINTER),
        ("synapses", _POINTER),
        ("saturations", _POINTER),
        ("sweeps", _POINTER),
        ("sweep_count", _U64),
        ("timestep", _U64),
    ]


def bind(path: Path, functions: Iterable[tuple[Any, ...]]) -> ctypes.CDLL:
    """Load a library and declare its functions: name, result, arguments."""
    library = ctypes.CDLL(str(path))
    for name, result, *arguments in functions:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def bind_core(path: Path) -> ctypes.CDLL:
    """Load a library that was built from core.cpp."""
    records = (_POINTER, _U32, _U32, _U32, _U32, _POINTER)
    return bind(
        path,
        (
            ("core_open", _POINTER, _U32),
            ("core_close", None, _POINTER),
            ("core_cycles", _U64, _POINTER),
            ("core_write", None, *records),
            ("core_read", None, *records),
            ("core_clear", ctypes.c_int, _POINTER, _U64),
            ("core_run", ctypes.c_int, _POINTER, ctypes.POINTER(Run)),
            ("core_start_trace", ctypes.c_int, _POINTER, ctypes.c_char_p),
            ("core_stop_trace", None, _POINTER),
        ),
    )
