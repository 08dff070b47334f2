"""A line that harms what goes over it, to put between a host and a device."""

from dataclasses import dataclass, fields

import numpy as np

from spikewright.frames import REQUEST, Command
from spikewright.runtime.link import decode_frame
from spikewright.sim.terminal import Line


@dataclass(frozen=True)
class Rates:
    """How often each fault happens: the first three a byte, the others a frame."""

    flip: float = 0
    drop: float = 0
    double: float = 0
    lose: float = 0
    repeat: float = 0
    junk: float = 0
    late: float = 0

    @classmethod
    def all(cls, rate: float) -> "Rates":
        """Every fault, with so many a frame of 100 bytes."""
        return cls(**{f.name: rate / 100 if n < 3 else rate for n, f in enumerate(fields(cls))})


class FaultyLine:
    """A device's line with faults both ways; ``late`` ones reach the host three exchanges later.

    Attributes
    ----------
    requests, replies : list of bytes
        All encoded frames as they were before harm was done to them.
    faults : int
        How many there were.
    """

    def __init__(self, line: Line, rates: Rates, seed: int) -> None:
        self.requests: list[bytes] = []
        self.replies: list[bytes] = []
        self.faults = 0
        self._line = line
        self._rates = rates
        self._rng = np.random.default_rng(seed)
        self._open_in, self._open_out = b"", b""
        self._held: list[tuple[int, bytes]] = []
        self._now = 0

    @property
    def is_active(self) -> bool:
        return bool(self._held) or self._line.is_active

    def exchange(self, data: bytes) -> bytes:
        self._now += 1
        *frames, self._open_in = (self._open_in + data).split(b"\0")
        self.requests += filter(None, frames)
        harmed = b"".join(self._harm(frame + b"\0") for frame in frames)
        *frames, self._open_out = (self._open_out + self._line.exchange(harmed)).split(b"\0")
        self.replies += filter(None, frames)
        for frame in frames:
            wait = 3 if self._happens(self._rates.late) else 0
            self._held.append((self._now + wait, self._harm(frame + b"\0")))
        due = [frame for when, frame in self._held if when <= self._now]
        self._held = [(when, frame) for when, frame in self._held if when > self._now]
        return b"".join(due)

    def _happens(self, rate: float) -> bool:
        happens = bool(rate and self._rng.random() < rate)
        self.faults += happens
        return happens

    def _harm(self, frame: bytes) -> bytes:
        rates, harmed = self._rates, bytearray()
        if self._happens(rates.lose):
            return b""
        for byte in frame:
            if self._happens(rates.drop):
                continue
            if self._happens(rates.flip):
                byte ^= 1 << int(self._rng.integers(8))
            harmed += bytes([byte] * (2 if self._happens(rates.double) else 1))
        if self._happens(rates.repeat):
            harmed *= 2
        if self._happens(rates.junk):
            harmed = bytearray(self._rng.bytes(int(self._rng.integers(1, 30)))) + harmed
        return bytes(harmed)


def command_of(frame: bytes) -> int | None:
    """The command of an encoded request; None if that is damaged."""
    body = decode_frame(frame)
    return None if body is None else body[REQUEST.size - 1]


class Cut:
    """Goes dead after so many LEARNs; its device lives on."""

    is_active = False

    def __init__(self, device: Line, learns: int) -> None:
        self.device = device
        self.left = learns
        self.open = b""

    def exchange(self, data: bytes) -> bytes:
        out = b""
        *frames, self.open = (self.open + data).split(b"\0")
        for frame in filter(None, frames):
            self.left -= command_of(frame) == Command.LEARN
            out += self.device.exchange(frame + b"\0") if self.left > 0 else b""
        return out
