"""A simulated or replayed device in place of a serial port, in this process."""

import time
from typing import Protocol

__all__ = ["Line", "LinePort"]

_POLL_S = 0.001


class Line(Protocol):
    """A device's end of the line."""

    @property
    def is_active(self) -> bool:
        """Whether something may happen without another byte from the host."""

    def exchange(self, data: bytes) -> bytes:
        """Take bytes from the host, go on for a while, and give what is sent to it meanwhile."""


class LinePort:
    """A device's line as a port that :class:`Link` opens: no pseudo-terminal, no thread.

    Whatever the line raises, whoever writes or reads gets it.

    Parameters
    ----------
    line : Line
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._replies = bytearray()

    @property
    def in_waiting(self) -> int:
        """Bytes that can be read at once."""
        return len(self._replies)

    def write(self, data: bytes) -> None:
        """Send bytes to the device."""
        self._replies += self._line.exchange(data)

    def read(self, size: int) -> bytes:
        """Up to so many bytes from the device; none if it says nothing for a moment."""
        if not self._replies and self._line.is_active:
            self._replies += self._line.exchange(b"")
        elif not self._replies and size:
            time.sleep(_POLL_S)
        data = bytes(self._replies[:size])
        del self._replies[:size]
        return data

    def close(self) -> None:
        """Nothing is held."""
