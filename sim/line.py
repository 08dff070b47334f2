"""A line to a device in simulated time, as a host's port: waiting for it takes no time."""

from collections import deque

from spikewright.frames import BITS_A_BYTE, LinkSpec

from .terminal import Line

__all__ = ["SimulatedPort"]

_POLL_S = 0.001
"""Let go by between two looks at a device that is at work without a byte from the host."""


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
