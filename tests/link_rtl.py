"""Faults on the line to the Verilated design, which is behind its pseudo-terminal."""

import math
import random
import time
from collections import deque
from functools import cache
from typing import Any
from unittest.mock import patch

from link_campaign import FOREIGN, LINK, Tally, attempt, draw_fault, found_wrong
from link_cases import Expected, bulk, draw_case
from link_faults import Break, Fault, FaultLine, Severed, Stuck
from link_host import BAUD_HZ, Host

from spikewright.closing import Closing
from spikewright.errors import BoardError, LinkError
from spikewright.frames import Command
from spikewright.hdl.emit import to_verilog
from spikewright.hdl.top import Top
from spikewright.runtime.device import Device
from spikewright.runtime.link import Port, SerialPort
from spikewright.runtime.loading import load_requests
from spikewright.runtime.protocol import Request
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.line import SimulatedPort
from spikewright.sim.virtual import Pins, VirtualBoard
from spikewright.spec import CoreSpec

POLL_S = 0.001
SLICE_CYCLES = 2000
"""Simulated at a time: few, as a board whose timer runs goes on until the host gets its replies."""
RARE = ("bit flips 1e-06", "bit flips 1e-05")
"""Classes that take long: a fault in hundreds of frames."""


class PinBreak(Break):
    """The line to the device is low for one to five bytes, at the pin."""

    def __init__(self, rng: random.Random, pins: Pins) -> None:
        super().__init__(rng, 0.05)
        self.pins = pins

    def request(self, frame: bytes) -> bytes:
        if self.rng.random() < self.rate:
            self.count += 1
            self.pins.hold(0, self.rng.randint(3, 50))
        return frame


class PinStuck(Stuck):
    """The line to the device stays high or low, at the pin, or is dead for some frames."""

    def __init__(self, rng: random.Random, pins: Pins) -> None:
        super().__init__(rng, 0.02)
        self.pins = pins

    def request(self, frame: bytes) -> bytes:
        if self.rng.random() < self.rate / 2:
            self.count += 1
            self.pins.hold(self.rng.getrandbits(1), self.rng.choice((100, 1000, 5000)))
            return frame
        return super().request(frame)


class PinBaud(Fault):
    """The host's rate is off by up to 2 %, either way, another with each strike."""

    def __init__(self, rng: random.Random, pins: Pins) -> None:
        super().__init__(rng, 0.1)
        self.pins = pins

    def request(self, frame: bytes) -> bytes:
        if self.rng.random() < self.rate:
            self.count += 1
            self.pins.set_rate(self.rng.choice((0.98, 1.02, self.rng.uniform(0.98, 1.02))))
        return frame

    def reply(self, frame: bytes) -> bytes:
        return frame


PINS: dict[str, Any] = {"break": PinBreak, "stuck line": PinStuck, "baud off": PinBaud}


def rtl_case(name: str, learns: bool) -> Expected:
    """What the RTL runs under a class of faults."""
    return bulk() if name in RARE else draw_case(learns, 0)


@cache
def board_verilog(spec: CoreSpec) -> str:
    """The design, made once for many boards."""
    return to_verilog(Top(spec, LINK), name="board")


class Watched:
    """A board's line, and how much went in and has come out.

    The host takes none of the board's time: the board goes on while the host waits for it.

    Attributes
    ----------
    taken, given : int
        Bytes from the host that the line is done with, and bytes to it.
    is_busy : bool
    awaited : tuple of int or None
        What ``taken`` and ``given`` are when the host has nothing to do but wait.
    """

    def __init__(self, line: FaultLine) -> None:
        self.taken = self.given = 0
        self.is_busy = False
        self.awaited: tuple[int, int] | None = None
        self._line = line

    @property
    def is_active(self) -> bool:
        return self._line.is_active

    def exchange(self, data: bytes) -> bytes:
        if not data and self.awaited != (self.taken, self.given):
            time.sleep(POLL_S / 5)
            return b""
        self.is_busy = True
        out = self._line.exchange(data)
        self.given += len(out)
        self.taken += len(data)
        self.is_busy = False
        return out


class BoardPort:
    """The pseudo-terminal of a simulated board, in the board's time.

    Time goes by as the board is simulated, and while nothing is on its way, at once: to wait for
    a reply that will not come takes no time, and a busy machine makes none late.

    Parameters
    ----------
    path : str
        The serial port, which stays open.
    pins : Pins
    line : Watched
        What the serial port leads to.
    """

    def __init__(self, path: str, pins: Pins, line: Watched) -> None:
        self.name = path
        with patch("spikewright.runtime.link._POLL_S", POLL_S):
            self._serial = SerialPort(path, BAUD_HZ)
        self._pins = pins
        self._line = line
        self._passed_s = 0.0  # while nothing was on its way
        self._sent = self._came = 0

    def now(self) -> float:
        """The time [s], in which a bit takes as long as the host believes."""
        return self._passed_s + self._pins.cycles / (LINK.divisor * BAUD_HZ)

    def write(self, data: bytes) -> None:
        self._sent += len(data)
        self._serial.write(data)

    def read(self, wait_s: float) -> bytes:
        data = b""
        end = self.now() + wait_s
        while not data and self.now() < end:
            if self._is_quiet():
                self._passed_s += wait_s + 1e-6  # surely past what the sum is rounded to
            else:
                self._line.awaited = (self._sent, self._came)
                data = self._serial.read(wait_s)
                self._line.awaited = None
        self._came += len(data)
        return data

    def _is_quiet(self) -> bool:
        """Whether nothing comes unless the host sends something; in this order."""
        line = self._line
        is_idle = line.taken == self._sent and not line.is_active and not line.is_busy
        return is_idle and line.given == self._came

    def close(self) -> None:
        """Do nothing: the next host uses it."""

    def hang_up(self) -> None:
        """Close the serial port."""
        self._serial.close()


class RTL(Closing):
    """The Verilated design behind a pseudo-terminal, and a line to it that may be harmed.

    Parameters
    ----------
    case : Expected
        What hosts load and run.
    """

    def __init__(self, case: Expected) -> None:
        self.case = case
        lines: list[tuple[Pins, FaultLine, Watched]] = []

        def wire(pins: Pins) -> Watched:
            line = FaultLine(pins, Severed())
            lines.append((pins, line, Watched(line)))
            return lines[0][2]

        spec = case.image.spec
        self.board = VirtualBoard(spec, LINK, wire=wire, verilog=board_verilog(spec))
        ((self.pins, self.line, watched),) = lines
        self.pins.slice_cycles = SLICE_CYCLES
        self.port = BoardPort(self.board.path, self.pins, watched)

    def batch(self, name: str, seed: int, faults: int, most_frames: float = math.inf) -> Tally:
        """Operations under a class of faults, until so many struck, or so many frames went."""
        rng = random.Random(f"RTL {name} {seed}")
        kind, past = PINS.get(name), deque[tuple[str, bytes]](maxlen=3000)
        learns = bool(self.case.learned)
        fault = kind(rng, self.pins) if kind else draw_fault(name, rng, past, learns)
        if name in FOREIGN:
            fault.rate *= 3  # still most sessions get as far as to run
        tally = Tally()
        started, first, first_byte = time.monotonic(), self.line.frames, self.line.bytes
        self.line.fault = fault
        host = Host(self.port, self.case, rng, trusts_board=name not in FOREIGN, is_model=False)
        with patch("spikewright.runtime.session.secrets.randbelow", rng.randrange):
            while fault.count < faults and self.line.frames - first < most_frames:
                attempt(host, tally)
                self.board.wait(0)  # raises what ended the simulation, if anything did
        host.close()
        self.line.fault = Severed()
        self.pins.set_rate(1.0)
        tally.frames, tally.faults = self.line.frames - first, fault.count
        tally.bytes = self.line.bytes - first_byte
        tally.seconds = round(time.monotonic() - started, 1)
        return tally

    def close(self) -> None:
        """End the simulation."""
        self.port.hang_up()
        self.board.close()


# Interrupted loads


def interrupted_load(
    port: Port, line: FaultLine, cases: tuple[Expected, Expected], cut: int, tally: Tally
) -> str:
    """Cut the line after frame ``cut`` of a load, from 1; what is wrong then, if anything."""
    (before, case), severed = cases, Severed(cut)
    frames = len(list(load_requests(case.image, LINK.max_payload)))
    held = case.image.id[:16] if cut == frames else None
    with Device(port, baud_hz=BAUD_HZ) as device:
        device.load(before.image)
        line.fault = severed
        try:
            device.load(case.image)
            return "loaded over a cut line"
        except LinkError:
            line.fault = Severed()
        tally.errors["LinkError"] += 1
        longest = Request(Command.COUNTERS, cycles=case.image.spec.clear_cycles)  # a COMMIT
        tally.slowest_s = max(tally.slowest_s, device.session.slowest_s)
        tally.limit_s = device.session.limit_s(longest)
        if tally.slowest_s > tally.limit_s:
            return f"a wait of {tally.slowest_s} s, not {tally.limit_s} s at most"
        try:
            device.run(case.spikes[0])
            return "runs after a load that failed"
        except BoardError:
            pass
    with Device(port, baud_hz=BAUD_HZ) as device:
        if device.hello().image_id != held:
            return f"holds image {device.hello().image_id}, not {held}"
        try:
            device.session.request(Request(Command.RUN, timestep=0, count=1))
            if held is None:
                return "runs without an image"
        except BoardError:
            if held is not None:
                return "refuses to run an image that is whole"
        device.load(case.image)
        rewards = None if case.rewards is None else case.rewards[0]
        run = device.run(case.spikes[0], learn=rewards is not None, rewards=rewards)
        return "" if (run.spikes == case.results.spikes[0]).all() else "runs wrong"


def interrupt_everywhere(cases: tuple[Expected, Expected], rtl: RTL | None = None) -> Tally:
    """Cut a load after each of its frames: to the RTL, or to the byte-level model."""
    tally, started = Tally(), time.monotonic()
    line = rtl.line if rtl else FaultLine(DeviceModel(cases[0].image.spec, LINK), Severed())
    port = rtl.port if rtl else SimulatedPort(line, BAUD_HZ)
    first, first_byte = line.frames, line.bytes
    for cut in range(1, len(list(load_requests(cases[1].image, LINK.max_payload))) + 1):
        wrong = interrupted_load(port, line, cases, cut, tally)
        tally.faults += 1
        tally.right += not wrong
        if wrong:
            found_wrong(tally, "load", f"cut after frame {cut}: {wrong}")
    tally.frames, tally.bytes = line.frames - first, line.bytes - first_byte
    tally.seconds = round(time.monotonic() - started, 1)
    return tally
