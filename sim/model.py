"""A Verilated module in Python's hands, with PyVerilator's familiar ``io``, ``clock``, traces."""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING

from spikewright.errors import ToolError
from spikewright.target import Report

from .driver import Instance
from .verilate import Build, TraceFormat, build_library

__all__ = ["Clock", "Model", "Port", "Ports", "build_model"]

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

_DRIVER = Path(__file__).with_name("model.cpp")
_CLOCKS = ("clk", "clock")
_POINTER, _U32 = ctypes.c_void_p, ctypes.c_uint32
_FUNCTIONS = (
    ("model_port_count", _U32),
    ("model_port_name", ctypes.c_char_p, _U32),
    ("model_port_width", _U32, _U32),
    ("model_port_input", _U32, _U32),
    ("model_get", None, _POINTER, _U32, ctypes.c_char_p),
    ("model_set", None, _POINTER, _U32, ctypes.c_char_p),
    ("model_tick", None, _POINTER, _U32, ctypes.c_uint64),
)


@dataclass(frozen=True)
class Port:
    """One port of a model: position in the driver's table, name, width [bits], direction."""

    index: int
    name: str
    width: int
    is_input: bool


class Model(Instance):
    """One instance of a Verilog module; several may live side by side.

    Registers and memories that nothing initializes start with seeded random content, all words of
    a memory with the same.

    Parameters
    ----------
    verilog : str
        Verilog text.
    top : str
        Name of the module.
    clock : str, optional
        Name of the clock input; by default ``clk`` or ``clock`` where there is one.
    trace : {"vcd", "fst", None}
        Format of the waveforms; None compiles and runs faster, without any.
    seed : int
        Of the content that nothing initializes.
    report : callable
        Given one line of text when a build takes longer than two seconds.

    Attributes
    ----------
    ports : tuple of Port
    io : Ports
    clock : Clock

    Raises
    ------
    ToolError
        Verilator or the compiler is missing or refuses; see :mod:`spikewright.sim.verilate`.

    Examples
    --------
    >>> sim = Model(text, top="counter")
    >>> sim.io.en = 1
    >>> sim.clock.tick()
    >>> sim.io.count
    1
    """

    def __init__(
        self,
        verilog: str,
        *,
        top: str,
        clock: str | None = None,
        trace: TraceFormat | None = "vcd",
        seed: int = 1,
        report: Report | None = None,
    ) -> None:
        build = Build(trace=trace)
        library = build_library(verilog, _DRIVER, top=top, build=build, report=report)
        super().__init__(library, _FUNCTIONS, trace=trace, seed=seed)
        self.ports = tuple(self._port(k) for k in range(self._library.model_port_count()))
        self.io = Ports(self)
        self.clock = Clock(self, clock)

    def _port(self, index: int) -> Port:
        library = self._library
        name = library.model_port_name(index).decode()
        width, is_input = library.model_port_width(index), library.model_port_input(index)
        return Port(index, name, width, bool(is_input))

    def get(self, port: Port) -> int:
        """The value of a port, unsigned."""
        data = ctypes.create_string_buffer((port.width + 7) // 8)
        self._library.model_get(self._handle, port.index, data)
        return int.from_bytes(data.raw, "little")

    def set(self, port: Port, value: int) -> None:
        """Set an input and let it take effect; a negative value in two's complement.

        Raises
        ------
        ValueError
            The value does not fit, or the port is an output.
        """
        if not port.is_input:
            raise ValueError(f"Port {port.name!r} is an output and cannot be set.")
        low, high = -(1 << port.width >> 1), (1 << port.width) - 1
        if not low <= value <= high:
            raise ValueError(f"Port {port.name!r} must fit {port.width} bits, not {value}.")
        data = (value & high).to_bytes((port.width + 7) // 8, "little")
        self._library.model_set(self._handle, port.index, data)

    def tick(self, port: Port, cycles: int) -> None:
        """Let an input rise and fall so many times."""
        self._library.model_tick(self._handle, port.index, cycles)

    start_vcd_trace = Instance.start_trace
    stop_vcd_trace = Instance.stop_trace


class Ports:
    """A model's ports as attributes or items: plain unsigned integers of any width.

    Where a port's name is a Python keyword, the attribute ends in an underscore.
    """

    _model: Model
    _by_name: dict[str, Port]

    def __init__(self, model: Model) -> None:
        self.__dict__.update(_model=model, _by_name={port.name: port for port in model.ports})

    def _find(self, name: str) -> Port:
        keyword = name.endswith("_") and iskeyword(name[:-1])
        port = self._by_name.get(name[:-1] if keyword else name)
        if port is None:
            raise AttributeError(f"Model has no port {name!r}; it has {', '.join(self)}.")
        return port

    def __getitem__(self, name: str) -> int:
        return self._model.get(self._find(name))

    def __setitem__(self, name: str, value: int) -> None:
        self._model.set(self._find(name), value)

    def __getattr__(self, name: str) -> int:
        return self[name]

    def __setattr__(self, name: str, value: int) -> None:
        self[name] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __dir__(self) -> list[str]:
        return sorted(self)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __repr__(self) -> str:
        ports = self._by_name.values()
        return "\n".join(f"{port.name} = {port.width}'h{self[port.name]:x}" for port in ports)


class Clock:
    """The model's clock input."""

    def __init__(self, model: Model, name: str | None) -> None:
        inputs = {port.name: port for port in model.ports if port.is_input and port.width == 1}
        names = _CLOCKS if name is None else (name,)
        self._model = model
        self._port = next((inputs[name] for name in names if name in inputs), None)
        if name is not None and self._port is None:
            raise ValueError(f"Clock must be an input of one bit, not {name!r}.")

    def tick(self, cycles: int = 1) -> None:
        """Let the clock rise and fall. Raises ``ToolError`` for a model that has no clock."""
        if self._port is None:
            raise ToolError("Model has no clock.", hint="Name its clock input: clock='...'.")
        self._model.tick(self._port, cycles)


def build_model(
    source: "Component | Path | str",
    *,
    top: str | None = None,
    clock: str | None = None,
    trace: TraceFormat | None = "vcd",
    seed: int = 1,
    report: Report | None = None,
) -> Model:
    """Build an Amaranth component or a Verilog file, to be driven from Python port by port.

    Parameters
    ----------
    source : amaranth.lib.wiring.Component, Path or str
        The component, or the file's path. Ports of a component's nested interfaces are joined by
        two underscores: ``sim.io.o__payload``.
    top : str, optional
        Name of the top module; by default ``top`` for a component, the file's stem for a file.
    clock, trace, seed, report
        See :class:`Model`.

    Raises
    ------
    ToolError
        The file cannot be read, a tool is missing, or Verilator refuses it.
    """
    if isinstance(source, Path | str):
        top = top or Path(source).stem
        try:
            verilog = Path(source).read_text()
        except OSError as error:
            raise ToolError(
                f"Cannot read {str(source)!r}: {error.strerror}.", hint="Name a Verilog file."
            ) from None
    else:
        from spikewright.hdl.emit import to_verilog

        top = top or "top"
        verilog = to_verilog(source, name=top)
    return Model(verilog, top=top, clock=clock, trace=trace, seed=seed, report=report)
