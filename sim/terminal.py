"""A pseudo-terminal in front of a simulated device: to a program it is a serial port."""

import os
import select
import threading
import tty
from contextlib import suppress
from typing import Protocol

from spikewright.closing import Closing

__all__ = ["Line", "Terminal"]

_READ_BYTES = 128
"""Taken at a time: few, so that replies to the first do not wait for the last."""
_KEEP_BYTES = 1 << 20
"""Replies kept for a host that does not read; what comes on top is lost, as on a wire."""


class Line(Protocol):
    """A device's end of the line."""

    @property
    def is_active(self) -> bool:
        """Whether something may happen without another byte from the host."""

    def exchange(self, data: bytes) -> bytes:
        """Take bytes from the host, go on for a while, and give what is sent to it meanwhile."""


class Terminal(Closing):
    """Serve a device on a pseudo-terminal in raw mode, from a thread, until closed.

    Hosts may open and close it as they like. While nothing is going on, the thread sleeps. If the
    line raises an exception, hosts see the port vanish; :meth:`wait` and :meth:`close` raise it.

    Parameters
    ----------
    line : Line
        Only used by the thread until :meth:`close` has returned.

    Attributes
    ----------
    path : str
        The port that a host opens.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        # This end of the slave stays open, so that a host that leaves does not hang up the line.
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._wake_out, self._wake_in = os.pipe()
        self._is_closed = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._live, name=self.path, daemon=True)
        self._thread.start()

    def _live(self) -> None:
        """Serve until closed or the line fails, then hang up."""
        try:
            self._serve()
        except Exception as error:
            self._error = error
        finally:
            os.close(self._master)
            os.close(self._slave)

    def _serve(self) -> None:
        replies = bytearray()
        readers = [self._master, self._wake_out]
        while True:
            writers = [self._master] if replies else []
            ready, free, _ = select.select(
                readers, writers, [], 0 if self._line.is_active else None
            )
            if self._wake_out in ready:
                return
            # What select saw may be gone: a host may drop what is on the line at any time.
            data = b""
            with suppress(BlockingIOError):
                data = os.read(self._master, _READ_BYTES) if self._master in ready else b""
            if data or self._line.is_active:
                replies += self._line.exchange(data)
                del replies[_KEEP_BYTES:]
            with suppress(BlockingIOError):
                del replies[: os.write(self._master, replies) if free else 0]

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until somebody closes it; whether in time. Raises what a line that failed did."""
        self._thread.join(timeout_s)
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()

    def close(self) -> None:
        """End the thread and hang up. Harmless if done twice. Raises as :meth:`wait`, once."""
        if self._is_closed:
            return
        self._is_closed = True
        os.write(self._wake_in, b"\0")
        self._thread.join()
        os.close(self._wake_out)
        os.close(self._wake_in)
        if self._error is not None:
            raise self._error
