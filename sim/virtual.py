"""The virtual board: the whole Verilated design, UART pins included, on a pseudo-terminal."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikewright.closing import Closing
from spikewright.errors import SpikewrightError
from spikewright.frames import BITS_A_BYTE, LinkSpec
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec
from spikewright.target import Progress, RealTimeTarget, RunResult

from .driver import bind
from .terminal import Line, Terminal
from .verilate import Build, Report, build_library

__all__ = ["VIRTUAL_LINK", "Pins", "VirtualBoard", "VirtualTarget"]

VIRTUAL_LINK = LinkSpec(clock_hz=100_000_000, baud_hz=25_000_000)
"""Four clock cycles a bit, so that simulation spends its time on the core."""
_DRIVER = Path(__file__).with_name("virtual.cpp")
_SLICE_CYCLES = 20_000


class Pins:
    """The Verilated design as a :class:`spikewright.sim.terminal.Line`, down to its pins.

    Attributes
    ----------
    slice_cycles : int
        Simulated between two looks at the terminal.
    """

    def __init__(self, library: Path, seed: int, bit_cycles: int) -> None:
        pointer, u64 = ctypes.c_void_p, ctypes.c_uint64
        self._library = bind(
            library,
            (
                ("board_open", pointer, ctypes.c_uint32),
                ("board_close", None, pointer),
                ("board_cycles", u64, pointer),
                ("board_active", ctypes.c_int, pointer),
                ("board_run", ctypes.c_size_t, pointer, pointer, ctypes.c_size_t, u64, pointer),
                ("board_rate", None, pointer, ctypes.c_double),
                ("board_hold", None, pointer, ctypes.c_int, u64),
            ),
        )
        self.slice_cycles = _SLICE_CYCLES
        self._byte_cycles = BITS_A_BYTE * bit_cycles
        self._board: int | None = self._library.board_open(seed)

    @property
    def is_active(self) -> bool:
        """Whether anything may happen without another byte."""
        return bool(self._library.board_active(self._board))

    @property
    def cycles(self) -> int:
        """Clock cycles simulated so far."""
        return int(self._library.board_cycles(self._board)) if self._board else 0

    def set_rate(self, bits: float) -> None:
        """Let the host's bits be so many times as long as the device's."""
        self._library.board_rate(self._board, bits)

    def hold(self, level: int, bits: int) -> None:
        """Keep the device's input at a level for so many bit times, whatever is sent."""
        self._library.board_hold(self._board, level, bits * self._byte_cycles // BITS_A_BYTE)

    def exchange(self, data: bytes) -> bytes:
        """Send bytes, go on for a slice of time, and give the bytes that came meanwhile."""
        out = ctypes.create_string_buffer(len(data) + self.slice_cycles // self._byte_cycles + 3)
        size = self._library.board_run(self._board, data, len(data), self.slice_cycles, out)
        return out.raw[:size]

    def close(self) -> None:
        """Give back the model's memory."""
        if self._board is not None:
            self._library.board_close(self._board)
            self._board = None


class VirtualBoard(Closing):
    """A board that is simulated, down to the bits on its pins, and a serial port to it.

    It runs in a thread of this process and uses no processor time while nothing is going on.
    Registers and memories start with seeded random content.

    Parameters
    ----------
    spec : CoreSpec
    link : LinkSpec
        The baud rate only counts in simulated time; hosts may open the port with any.
    seed : int
        Of the content at power-up.
    wire : callable
        Makes the line that the serial port leads to, around the design's pins: one with faults.
    verilog : str, optional
        The design as a module ``board``, such as a netlist after synthesis; by default its RTL.
    report : callable
        Given one line of text when the build takes longer than two seconds.

    Raises
    ------
    ToolError
        Verilator or the compiler is missing or refuses.

    Examples
    --------
    >>> with VirtualBoard(image.spec) as board, Device(board.path) as device:
    ...     device.load(image)
    """

    def __init__(
        self,
        spec: CoreSpec,
        link: LinkSpec = VIRTUAL_LINK,
        *,
        seed: int = 1,
        wire: Callable[[Pins], Line] | None = None,
        verilog: str | None = None,
        report: Report | None = None,
    ) -> None:
        self.spec = spec
        if verilog is None:
            # Here, so that the runtime and the golden model do without the RTL's tools.
            from spikewright.hdl.emit import to_verilog
            from spikewright.hdl.top import Top

            verilog = to_verilog(Top(spec, link), name="board")
        build = Build(defines={"DIVISOR": link.divisor, "BITS_A_BYTE": BITS_A_BYTE})
        library = build_library(verilog, _DRIVER, top="board", build=build, report=report)
        self._simulation = Pins(library, seed, link.divisor)
        self._terminal = Terminal(wire(self._simulation) if wire else self._simulation)

    @property
    def path(self) -> str:
        """The serial port that a host opens."""
        return self._terminal.path

    @property
    def cycles(self) -> int:
        """Clock cycles simulated so far, those of the link included."""
        return self._simulation.cycles

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the board is closed from another thread; whether that was in time.

        Raises what ended the simulation, if it failed.
        """
        return self._terminal.wait(timeout_s)

    def close(self) -> None:
        """End the simulation; its port vanishes. Harmless if done twice.

        Raises what ended the simulation, if it failed.
        """
        try:
            self._terminal.close()
        finally:
            self._simulation.close()


class VirtualTarget:
    """A virtual board as a :class:`spikewright.target.Target`, started once an image is loaded.

    Parameters
    ----------
    connect : callable
        Opens a target on a serial port, given its name: what a real board is used through.
    report : callable
        As for :class:`VirtualBoard`.
    """

    name = "virtual"

    def __init__(
        self, connect: Callable[[str], RealTimeTarget], *, report: Report | None = None
    ) -> None:
        self._connect = connect
        self._report = report
        self._board: VirtualBoard | None = None
        self._target: RealTimeTarget | None = None

    def load(self, image: CoreImage) -> None:
        """Start a board of the image's spec, unless it runs already, and load the image."""
        if self._board is None or self._board.spec != image.spec:
            self.close()
            self._board = VirtualBoard(image.spec, report=self._report)
            self._target = self._connect(self._board.path)
        if self._target is not None:
            self._target.load(image)

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
        """Run samples as :meth:`spikewright.target.RealTimeTarget.run`, in simulated time."""
        return self._loaded().run(
            spikes,
            record_v=record_v,
            learn=learn,
            rewards=rewards,
            period_s=period_s,
            progress=progress,
        )

    @property
    def clock_hz(self) -> int:
        """Clock of the board's design."""
        return VIRTUAL_LINK.clock_hz

    def learned_image(self) -> CoreImage:
        """See :meth:`spikewright.target.LearningTarget.learned_image`."""
        return self._loaded().learned_image()

    def _loaded(self) -> RealTimeTarget:
        if self._target is None:
            raise SpikewrightError("No image is loaded.", hint="Call load(image) before run().")
        return self._target

    def close(self) -> None:
        """Close the port and end the board. Harmless if done twice."""
        target, board = self._target, self._board
        self._target = self._board = None
        if target is not None:
            target.close()
        if board is not None:
            board.close()
