"""Recorded sessions: every byte of a serial line, both ways, with its time.

A recording is a text file. Its first line is ``spikewright session 1``, then comes ``baud_hz`` and
the line rate; each line after that is a piece that a program wrote or read at once::

    spikewright session 1
    baud_hz 1000000
    0.000000 > 0007a30169d3...
    0.001210 < 26a30100...

Time in seconds since the port was opened, never going back; ``>`` to the device or ``<`` from it;
the bytes in hexadecimal. There is no code in it, and nothing that needs more than one pass.
"""

import re
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TextIO

from spikewright.closing import Closing
from spikewright.errors import DataError
from spikewright.storage import read_file

__all__ = ["MAX_BYTES", "MAX_PIECES", "Piece", "Recorder", "Recording", "read_recording"]

MAX_BYTES = 1 << 28
MAX_PIECES = 1_000_000
"""Largest recording that is read, and most lines of one."""
_FIRST = "spikewright session 1"
_BAUD = re.compile(r"baud_hz ([0-9]{1,9})")
_PIECE = re.compile(r"([0-9]{1,9}\.[0-9]{6}) ([<>]) ((?:[0-9a-f]{2})+)")
_HINT = "Name a file that `spikewright run --record` wrote."


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that were written or read at once.

    Attributes
    ----------
    time_s : float
        Since the port was opened.
    to_device : bool
        Which way they went.
    data : bytes
    line : int
        Of the file, from 1.
    """

    time_s: float
    to_device: bool
    data: bytes
    line: int


@dataclass(frozen=True, slots=True)
class Recording:
    """All that went over a line, in order."""

    baud_hz: int
    pieces: tuple[Piece, ...]


class Recorder(Closing):
    """Writes a recording, line by line: what a program that dies has written so far can be read.

    Parameters
    ----------
    path : Path or str
        A file that is there is begun anew.
    baud_hz : int
        Line rate.

    Raises
    ------
    DataError
        It cannot be written; of its methods too.
    """

    def __init__(self, path: Path | str, *, baud_hz: int) -> None:
        self._path = Path(path)
        self._start = time.monotonic()
        try:
            self._file: TextIO = self._path.open("w", encoding="ascii", buffering=1)
        except OSError as error:
            raise self._refused(error) from None
        self._write(f"{_FIRST}\nbaud_hz {baud_hz}\n")

    def sent(self, data: bytes) -> None:
        """Bytes went to the device."""
        self._piece(">", data)

    def received(self, data: bytes) -> None:
        """Bytes came from the device."""
        self._piece("<", data)

    def _piece(self, way: str, data: bytes) -> None:
        if data:
            self._write(f"{time.monotonic() - self._start:.6f} {way} {data.hex()}\n")

    def _write(self, text: str) -> None:
        try:
            self._file.write(text)
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> DataError:
        return DataError(
            f"Cannot write {str(self._path)!r}: {error.strerror}.",
            hint="Name a file in a folder that is there and that you may write to.",
        )

    def close(self) -> None:
        """End the recording. Harmless if done twice."""
        self._file.close()


def read_recording(path: Path | str) -> Recording:
    """Read a recording, whoever made it.

    Raises
    ------
    DataError
        It cannot be read, is larger than ``MAX_BYTES`` or has more lines than ``MAX_PIECES``, or
        is no recording: with the line that is wrong.
    """
    name = str(Path(path))
    try:
        text = read_file(path, MAX_BYTES).decode("ascii")
    except OSError as error:
        raise DataError(f"Cannot read {name!r}: {error.strerror}.", hint=_HINT) from None
    except UnicodeDecodeError:
        raise DataError(f"{name!r} is no recorded session: it is not text.", hint=_HINT) from None
    if text.count("\n") > MAX_PIECES:
        raise DataError(f"{name!r} has more than {MAX_PIECES} lines.", hint="Record shorter runs.")
    lines = text.split("\n")
    if lines.pop() or lines[:1] != [_FIRST]:
        wrong = 1 if lines[:1] != [_FIRST] else len(lines) + 1
        raise _damaged(name, wrong, f"{_FIRST!r} first, and whole lines to the end")
    baud = _BAUD.fullmatch(lines[1]) if len(lines) > 1 else None
    if baud is None:
        raise _damaged(name, 2, "'baud_hz' and a line rate")
    pieces = [_read_piece(name, number, line) for number, line in enumerate(lines[2:], start=3)]
    for before, after in pairwise(pieces):
        if after.time_s < before.time_s:
            raise _damaged(name, after.line, "a time that is not before the last one")
    return Recording(int(baud[1]), tuple(pieces))


def _read_piece(name: str, number: int, line: str) -> Piece:
    match = _PIECE.fullmatch(line)
    if match is None:
        raise _damaged(name, number, "a time, > or <, and bytes in hexadecimal")
    return Piece(float(match[1]), match[2] == ">", bytes.fromhex(match[3]), number)


def _damaged(name: str, number: int, wanted: str) -> DataError:
    return DataError(f"{name!r}, line {number}: must be {wanted}.", hint=_HINT)
