"""Whole frames out and in, over a serial port."""

import errno
import time
from pathlib import Path
from typing import Protocol

import serial
from cobs import cobs
from fastcrc import crc32

from spikewright.closing import Closing
from spikewright.errors import DataError, LinkError
from spikewright.frames import BITS_A_BYTE, CRC_SIZE, LinkSpec
from spikewright.recording import Recorder

from .ports import access, available_ports

__all__ = [
    "BAUD_HZ",
    "Link",
    "Port",
    "SerialPort",
    "decode_frame",
    "encode_frame",
    "parse_port",
]

BAUD_HZ = (9_600, 50_000_000)
"""Line rates: on a slower one nobody would wait for an image."""
_BAUD_DIGITS = 9
_POLL_S = 0.02
_WRITE_TIMEOUT_S = 10.0
_PIECE_S = 0.5
"""Written at a time: what the line carries in this time, however slow it is."""
_LONGEST_FRAME = 2048
"""More bytes than any frame has: what goes on longer without a zero is noise."""


def encode_frame(body: bytes) -> bytes:
    """A body as it goes over the line: with its CRC-32C, COBS, and the zero that ends it."""
    return bytes(cobs.encode(body + crc32.iscsi(body).to_bytes(CRC_SIZE, "little"))) + b"\0"


def decode_frame(frame: bytes) -> bytes | None:
    """The body of a frame without its zero, or None if it is damaged."""
    try:
        content = bytes(cobs.decode(frame))
    except cobs.DecodeError:
        return None
    body, crc = content[:-CRC_SIZE], content[-CRC_SIZE:]
    intact = len(content) > CRC_SIZE and crc32.iscsi(body) == int.from_bytes(crc, "little")
    return body if intact else None


def parse_port(name: str) -> tuple[str, int]:
    """A port and its baud rate, 1,000,000 unless it is named as in ``/dev/ttyUSB1@115200``.

    Raises
    ------
    LinkError
        The baud rate is no number.
    """
    port, _, baud = name.rpartition("@") if "@" in name else (name, "", "")
    if baud and not (baud.isdecimal() and len(baud) <= _BAUD_DIGITS):
        raise LinkError(
            f"The baud rate of {port} must be a number of up to {_BAUD_DIGITS} digits, "
            f"not {baud[:20]!r}.",
            hint="Name a port and its baud rate as in /dev/ttyUSB1@115200.",
        )
    return port, int(baud) if baud else LinkSpec.baud_hz


class Port(Protocol):
    """The host's end of a line: bytes out and in, and the time.

    A port that is gone raises ``OSError``, one that takes no bytes ``TimeoutError``.
    """

    name: str

    def write(self, data: bytes) -> None:
        """Put bytes on the line."""

    def read(self, wait_s: float) -> bytes:
        """What came; if nothing did, wait a while for the first byte, at most so long [s]."""

    def now(self) -> float:
        """The time [s], since any moment."""

    def close(self) -> None:
        """Give the line back. Harmless if done twice."""


class SerialPort:
    """A serial port as a :class:`Port`: exclusive, 8N1.

    Parameters
    ----------
    name : str
        Such as ``/dev/ttyUSB1`` or ``COM3``.
    baud_hz : int

    Raises
    ------
    LinkError
        No such port (those that there are get listed), in use, not allowed, or no serial port.
    """

    def __init__(self, name: str, baud_hz: int) -> None:
        self.name = name
        self._piece = max(1, int(_PIECE_S * baud_hz / BITS_A_BYTE))
        try:
            self._serial = serial.Serial(
                name, baud_hz, timeout=_POLL_S, write_timeout=_WRITE_TIMEOUT_S, exclusive=True
            )
        except (OSError, ValueError) as error:
            raise _cannot_open(name, baud_hz, error) from None

    def write(self, data: bytes) -> None:
        """Put bytes on the line."""
        try:
            for first in range(0, len(data), self._piece):
                self._serial.write(data[first : first + self._piece])
        except serial.SerialTimeoutException:
            raise TimeoutError from None

    def read(self, wait_s: float) -> bytes:
        """What came; waits 20 ms at most, so that a deadline is not missed by more."""
        data: bytes = self._serial.read(1)
        data += self._serial.read(self._serial.in_waiting)
        return data

    def now(self) -> float:
        """The time [s]."""
        return time.monotonic()

    def close(self) -> None:
        """Give the port back. Harmless if done twice."""
        self._serial.close()


class Link(Closing):
    """A line that carries frames.

    Parameters
    ----------
    port : str or Port
        Name of a serial port, such as ``/dev/ttyUSB1`` or ``COM3``; or whatever else carries
        bytes, which is closed with the link.
    baud_hz : int
        Line rate, 8N1.
    record : Path, optional
        A file that gets all that goes over the line; see :mod:`spikewright.recording`.

    Attributes
    ----------
    bytes_in, damaged : int
        Bytes that came so far, and frames that were dropped as damaged.

    Raises
    ------
    LinkError
        As :class:`SerialPort`, or a baud rate out of ``BAUD_HZ``.
    DataError
        The recording cannot be written.
    """

    def __init__(
        self, port: str | Port, *, baud_hz: int = LinkSpec.baud_hz, record: Path | None = None
    ) -> None:
        name = port if isinstance(port, str) else port.name
        low, high = BAUD_HZ
        if not low <= baud_hz <= high:
            raise LinkError(
                f"The baud rate of {name} must be in [{low}, {high}], not {baud_hz}.",
                hint="Give the baud rate that the board was built for, as in /dev/ttyUSB1@115200.",
            )
        self.port = name
        self.baud_hz = baud_hz
        self.bytes_in = 0
        self.damaged = 0
        self._buffer = bytearray()
        self._line: Port = SerialPort(port, baud_hz) if isinstance(port, str) else port
        try:
            self._recorder = Recorder(record, baud_hz=baud_hz) if record else None
        except DataError:
            self._line.close()
            raise

    def now(self) -> float:
        """The time that goes by on the line [s], since any moment."""
        return self._line.now()

    def send(self, frames: bytes) -> None:
        """Write encoded frames.

        Raises
        ------
        LinkError
            The port vanished or takes no bytes.
        """
        if self._recorder:
            self._recorder.sent(frames)
        try:
            self._line.write(frames)
        except TimeoutError:
            raise LinkError(
                f"Port {self.port} took no bytes for {_WRITE_TIMEOUT_S:g} s.",
                hint="Check that nothing holds the line (flow control, a stopped board).",
            ) from None
        except OSError as error:
            raise self._vanished(error) from None

    def receive(self, timeout_s: float) -> bytes | None:
        """Wait for the body of the next whole frame; None if none came in time.

        Damaged frames are counted and dropped.

        Raises
        ------
        LinkError
            The port vanished.
        """
        deadline = self.now() + timeout_s
        while (body := self._next_body()) is None:
            wait_s = deadline - self.now()
            if wait_s <= 0:
                return None
            try:
                data = self._line.read(wait_s)
            except OSError as error:
                raise self._vanished(error) from None
            if self._recorder:
                self._recorder.received(data)
            self.bytes_in += len(data)
            self._buffer += data
        return body

    def _next_body(self) -> bytes | None:
        """Take the next whole frame out of the buffer, past any that are damaged."""
        while (end := self._buffer.find(0)) >= 0:
            frame = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            if frame:
                body = decode_frame(frame)
                if body is not None:
                    return body
                self.damaged += 1
        if len(self._buffer) > _LONGEST_FRAME:
            self._buffer.clear()
            self.damaged += 1
        return None

    def _vanished(self, error: OSError) -> LinkError:
        self.close()
        return LinkError(
            f"Port {self.port} vanished ({error.strerror or error}).",
            hint="Plug the board in again, or start the virtual board again.",
        )

    def close(self) -> None:
        """Give the port back. Harmless if done twice."""
        self._line.close()
        if self._recorder:
            self._recorder.close()


def _cannot_open(port: str, baud_hz: int, error: OSError | ValueError) -> LinkError:
    if isinstance(error, ValueError):
        return LinkError(
            f"Port {port} cannot be opened at {baud_hz} baud: {error}.",
            hint="Take a baud rate that the port's driver has, such as 1000000 or 115200.",
        )
    code = error.errno
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        found = available_ports()
        there = f"Ports that there are: {', '.join(found)}." if found else "There are no ports."
        models = "" if "/" in port else " Targets without one: golden, verilator, virtual."
        return LinkError(
            f"There is no port {port}.", hint=f"{there} Is the board plugged in?{models}"
        )
    if code in (errno.EBUSY, errno.EAGAIN):
        use = access(port)
        by = f" ({use.reason})" if use.status == "busy" else ""
        return LinkError(f"Port {port} is in use.", hint=f"Close the program that has it open{by}.")
    if code in (errno.EACCES, errno.EPERM):
        return LinkError(
            f"Port {port} may not be opened by this user.",
            hint="On Linux: sudo usermod -aG dialout $USER, then log in again.",
        )
    return LinkError(
        f"Port {port} cannot be opened: {error}.",
        hint="Is it a serial port? A target is golden, verilator, virtual or a serial port.",
    )
