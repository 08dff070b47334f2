"""Faults on the line to the Verilated design, which is behind its pseudo-terminal."""

import math
import random
import time
from collections import deque
from functools import cache
from typing import Any

from link_campaign import FOREIGN, LINK, Tally, attempt, draw_fault, found_wrong
from link_cases import Expected, bulk, draw_case
from link_faults import Break, Fault, FaultLine, Severed, Stuck
from link_host import BAUD_HZ, Host

from spikewright.closing import Closing
from spikewright.errors import BoardError, LinkError
from spikewright.frames import Command, LinkSpec
from spikewright.hdl.emit import to_verilog
from spikewright.hdl.top import Top
from spikewright.runtime.device import Device
from spikewright.runtime.link import Port
from spikewright.runtime.loading import load_requests
from spikewright.runtime.protocol import Request
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.line import SimulatedPort
from spikewright.sim.virtual import VIRTUAL_LINK, Pins, VirtualBoard
from spikewright.spec import CoreSpec

RTL_LINK = LinkSpec(
    clock_hz=VIRTUAL_LINK.clock_hz,
    baud_hz=VIRTUAL_LINK.baud_hz,
    max_payload=LINK.max_payload,
    window=LINK.window,
)
RETRY_S = 0.005
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

    FRAMES = (3, 10, 30)  # a host that opens a port gives up after 6

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
    return to_verilog(Top(spec, RTL_LINK), name="board")


class RTL(Closing):
    """The Verilated design behind a pseudo-terminal, and a line to it that may be harmed.

    Parameters
    ----------
    case : Expected
        What hosts load and run.
    """

    def __init__(self, case: Expected) -> None:
        self.case = case
        lines: list[tuple[Pins, FaultLine]] = []

        def wire(pins: Pins) -> FaultLine:
            lines.append((pins, FaultLine(pins, Severed())))
            return lines[0][1]

        spec = case.image.spec
        self.board = VirtualBoard(spec, RTL_LINK, wire=wire, verilog=board_verilog(spec))
        ((self.pins, self.line),) = lines

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
        host = Host(
            self.board.path, self.case, rng, retry_s=RETRY_S, trusts_board=name not in FOREIGN
        )
        while fault.count < faults and self.line.frames - first < most_frames:
            attempt(host, tally)
        host.close()
        self.line.fault = Severed()
        self.pins.set_rate(1.0)
        tally.frames, tally.faults = self.line.frames - first, fault.count
        tally.bytes = self.line.bytes - first_byte
        tally.seconds = round(time.monotonic() - started, 1)
        return tally

    def close(self) -> None:
        """End the simulation."""
        self.board.close()


# Interrupted loads


def interrupted_load(
    port: str | Port, line: FaultLine, cases: tuple[Expected, Expected], cut: int, tally: Tally
) -> str:
    """Cut the line after frame ``cut`` of a load, from 1; what is wrong then, if anything."""
    (before, case), severed = cases, Severed(cut)
    frames = len(list(load_requests(case.image, LINK.max_payload)))
    held = case.image.id[:16] if cut == frames else None
    with Device(port, baud_hz=BAUD_HZ, retry_s=RETRY_S) as device:
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
    with Device(port, baud_hz=BAUD_HZ, retry_s=RETRY_S) as device:
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


def interrupt_everywhere(
    cases: tuple[Expected, Expected], port: str | Port = "", line: FaultLine | None = None
) -> Tally:
    """Cut a load after each of its frames: on a given line, or one to the byte-level model."""
    tally, started = Tally(), time.monotonic()
    if line is None:
        line = FaultLine(DeviceModel(cases[0].image.spec, LINK), Severed())
        port = SimulatedPort(line, BAUD_HZ)
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
