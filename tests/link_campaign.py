"""Fault campaign of the link: `make link`. Every result is the golden model's or a typed error.

A host of the runtime loads, runs, learns and reads back over a line with faults. The device is the
byte-level model or the Verilated design; time is simulated, so that waiting costs nothing.
"""

import copy
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import cache
from unittest.mock import patch

from link_cases import draw_case
from link_faults import SIMPLE, Earlier, Fault, FaultLine, OtherDevice
from link_host import BAUD_HZ, Host, WrongError, expect

from spikewright.errors import SpikewrightError
from spikewright.frames import Command, LinkSpec
from spikewright.runtime.device import Device
from spikewright.runtime.link import Link
from spikewright.runtime.protocol import Request
from spikewright.runtime.session import Session
from spikewright.runtime.stream import worst_timestep_cycles
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.line import SimulatedPort
from spikewright.sim.terminal import Line
from spikewright.spec import CoreSpec

CLOCK_HZ = 320_000
"""So slow that timesteps are longer than the shortest period, and overruns a matter of course."""
OTHER = CoreSpec(axons=4, neurons=4, lanes=2)
LINK = LinkSpec(clock_hz=CLOCK_HZ, baud_hz=CLOCK_HZ // 4, max_payload=128, window=8)


@dataclass
class Tally:
    """What came of the operations under a class of faults.

    Attributes
    ----------
    slowest_s, limit_s : float
        The longest wait for a reply, in vain or not, and what the runtime states [s on the line].
    seconds : float
        Of wall-clock time.
    """

    frames: int = 0
    bytes: int = 0
    faults: int = 0
    right: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    slowest_s: float = 0.0
    limit_s: float = 0.0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def attempt(host: Host, tally: Tally) -> None:
    """One operation, and what came of it."""
    operation, began = host.step(), host.port.now()
    try:
        try:
            operation()
        finally:
            check_wait(host, tally, host.port.now() - began)
        tally.right += 1
    except SpikewrightError as error:
        tally.errors[type(error).__name__] += 1
        try:
            host.failed(error)
        except WrongError as wrong:
            found_wrong(tally, operation.__name__, wrong)
    except Exception as error:
        found_wrong(tally, operation.__name__, error)
        host.is_loaded = False
        host.close()


def check_wait(host: Host, tally: Tally, opening_s: float) -> None:
    """See that no wait was longer than stated, nor that for a device that could not be opened."""
    if host.device is None:
        waited_s, limit_s = opening_s, opening_limit_s()
    else:
        session = host.device.session
        cycles = host.timesteps * worst_timestep_cycles(host.case.image)
        waited_s = session.slowest_s
        limit_s = session.limit_s(Request(Command.COUNTERS, cycles=cycles))
    tally.slowest_s, tally.limit_s = max(tally.slowest_s, waited_s), max(tally.limit_s, limit_s)
    expect(waited_s <= limit_s, f"a wait of {waited_s} s, not {limit_s} s at most")


@cache
def opening_limit_s() -> float:
    """The longest wait for a device that does not answer when a port is opened [s]."""
    link = Link(SimulatedPort(DeviceModel(OTHER, LINK), BAUD_HZ), baud_hz=BAUD_HZ)
    return Session(link).limit_s(Request(Command.HELLO))


def found_wrong(tally: Tally, operation: str, why: object) -> None:
    tally.wrong += 1
    if len(tally.failures) < 5:
        tally.failures.append(f"{operation}: {type(why).__name__} {why}")


CLASSES = (*SIMPLE, "replies of an earlier session", "another device")
EPISODE_FRAMES = 3000
FOREIGN = ("two hosts", "another device")
"""Classes in which somebody else may change what a board learned."""


@cache
def loaded(learns: bool, seed: int) -> DeviceModel:
    """A device that holds an image."""
    image = draw_case(learns, seed).image
    model = DeviceModel(image.spec, LINK)
    with Device(SimulatedPort(model, BAUD_HZ)) as device:
        device.load(image)
    return model


def draw_fault(
    name: str, rng: random.Random, past: deque[tuple[str, bytes]], learns: bool = False
) -> Fault:
    """A fault of a class; ``past`` is what earlier sessions left."""

    def other() -> Line:
        which = rng.randrange(4)
        if which < 2:
            return copy.deepcopy(loaded(learns, which))
        return DeviceModel(OTHER if which == 3 else draw_case(learns, 0).image.spec, LINK)

    if name == "another device":
        return OtherDevice(rng, 0.01, other)
    if name == "replies of an earlier session":
        return Earlier(rng, 0.05, past)
    return SIMPLE[name](rng)


def batch(name: str, seed: int, frames: int) -> Tally:
    """Operations under a class of faults, until so many frames went over lines to a model."""
    rng = random.Random(f"{name} {seed}")
    past: deque[tuple[str, bytes]] = deque(maxlen=3000)
    tally, learns = Tally(), False
    started = time.monotonic()
    with patch("spikewright.runtime.session.secrets.randbelow", rng.randrange):
        while tally.frames < frames:
            learns = not learns
            case = draw_case(learns, 0)
            fault = draw_fault(name, rng, past, learns)
            line = FaultLine(DeviceModel(case.image.spec, LINK), fault)
            host = Host(SimulatedPort(line, BAUD_HZ), case, rng, trusts_board=name not in FOREIGN)
            enough = min(EPISODE_FRAMES, frames - tally.frames)
            while line.frames < enough:
                attempt(host, tally)
            tally.frames += line.frames
            tally.bytes += line.bytes
            tally.faults += fault.count
    tally.seconds = round(time.monotonic() - started, 1)
    return tally
