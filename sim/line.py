"""A line to a device in simulated time, as a host's port: waiting for it takes no time."""

import math
from collections import deque

from spikewright.frames import BITS_A_BYTE, LinkSpec

from .terminal import Line
from .timeline import TimelineClock

__all__ = ["BridgedPort", "SimulatedPort"]

_POLL_S = 0.001
"""Let go by between two looks at a device that is at work without a byte from the host."""
_PACKET_BYTES = 62
"""Payload of a packet of FTDI's bridges: 64 bytes less two of status."""
_MICROFRAME_S = 125e-6
"""Time in which a high-speed USB host asks for packets, or gives them."""


class SimulatedPort:
    """What :class:`spikewright.runtime.link.Port` asks for, around a simulated device.

    Bytes take their time on the line, both ways at once, and a device none.

    Parameters
    ----------
    line : Line
    baud_hz : int
        Line rate, 8N1.
    name : str
        What errors call it.
    """

    def __init__(
        self, line: Line, baud_hz: int = LinkSpec.baud_hz, *, name: str = "simulated"
    ) -> None:
        self.name = name
        self._line = line
        self._byte_s = BITS_A_BYTE / baud_hz
        self._now = 0.0
        self._sent = 0.0  # when the last byte to the device is over
        self._came = 0.0  # when the last one from it is
        self._coming: deque[tuple[float, bytes]] = deque()

    def now(self) -> float:
        """The simulated time [s]."""
        return self._now

    def write(self, data: bytes) -> None:
        """Put bytes on the line; the device takes each frame when its last byte has come."""
        *frames, rest = data.split(b"\0")
        self._sent = max(self._sent, self._now)
        for frame in frames:
            self._give(frame + b"\0")
        if rest:
            self._give(rest)

    def _give(self, data: bytes) -> None:
        self._sent += len(data) * self._byte_s
        self._take(self._line.exchange(data), self._sent)

    def _take(self, data: bytes, sent: float) -> None:
        """Queue bytes that the device began to send at a time."""
        if data:
            self._came = max(self._came, sent) + len(data) * self._byte_s
            self._coming.append((self._came, data))

    def read(self, wait_s: float) -> bytes:
        """What came; if nothing did, let time go by until something does, at most so long."""
        end = self._now + wait_s
        if not self._coming and self._line.is_active:
            self._take(self._line.exchange(b""), self._now)
            end = min(end, self._now + _POLL_S)
        if self._coming:
            end = min(end, self._coming[0][0])
        self._now = max(self._now, end)
        data = b""
        while self._coming and self._coming[0][0] <= self._now:
            data += self._coming.popleft()[1]
        return data

    def close(self) -> None:
        """Do nothing: nobody else may want the line."""


class BridgedPort(SimulatedPort):
    """A line behind a USB bridge, which keeps what the device sends for a while.

    As FTDI's bridges do, it gives a packet to the host when that is full, or when its latency
    timer, which runs all the time, is over. Nothing but the line takes time, and USB 125 us.

    Parameters
    ----------
    line : Line
    baud_hz : int
        Line rate, 8N1.
    latency_s : float
        Of the timer: 16 ms unless set otherwise.
    clock : TimelineClock
        Of the device's time: what it works it answers nothing in.

    Source: FTDI, AN232B-04 "Data Throughput, Latency and Handshaking".
    """

    def __init__(self, line: Line, baud_hz: int, *, latency_s: float, clock: TimelineClock) -> None:
        super().__init__(line, baud_hz, name=f"bridged at {baud_hz} baud")
        self._latency_s = latency_s
        self._clock = clock
        self._worked = clock.work_s
        self._ready = 0.0  # when the device is done with its work
        self._packet = 0.0  # when the last packet went to the host
        self._held = bytearray()
        self._times: deque[float] = deque()  # when each byte held has come

    def write(self, data: bytes) -> None:
        """Put bytes on the line, a microframe later."""
        self._sent = max(self._sent, self._now + _MICROFRAME_S)
        super().write(data)

    def _give(self, data: bytes) -> None:
        self._clock.arrive(self._sent + len(data) * self._byte_s)
        super()._give(data)

    def _take(self, data: bytes, sent: float) -> None:
        worked, self._worked = self._worked, self._clock.work_s
        self._ready = max(self._ready, sent) + self._worked - worked
        self._came = max(self._came, self._ready)
        self._held += data
        self._times.extend(self._came + (k + 1) * self._byte_s for k in range(len(data)))
        self._came += len(data) * self._byte_s

    def read(self, wait_s: float) -> bytes:
        """What came; if nothing did, let time go by until a packet does, at most so long."""
        end = self._now + wait_s
        data = b""
        while self._times and (at := self._next_packet()) + _MICROFRAME_S <= end:
            size = 0
            while size < min(_PACKET_BYTES, len(self._times)) and self._times[size] <= at:
                size += 1
            data += self._held[:size]
            del self._held[:size]
            for _ in range(size):
                self._times.popleft()
            self._packet = at
            self._now = end = max(self._now, at + _MICROFRAME_S)
        if not data:
            self._now = end
        return data

    def _next_packet(self) -> float:
        """When the next packet with a byte in it leaves the bridge."""
        late = max(0.0, self._times[0] - self._packet - self._latency_s)
        timer = self._packet + (1 + math.ceil(late / self._latency_s)) * self._latency_s
        is_full = len(self._times) >= _PACKET_BYTES
        return min(timer, self._times[_PACKET_BYTES - 1]) if is_full else timer
