"""Spikes as bytes on the link, both ways, whole arrays at a time; the coding is in ``frames``."""

import numpy as np
import numpy.typing as npt

from spikewright.errors import LinkError
from spikewright.frames import END, SKIP

__all__ = ["decode_spikes", "encode_spikes", "trim"]

Bools = npt.NDArray[np.bool_]


def encode_spikes(spikes: Bools) -> tuple[bytes, npt.NDArray[np.int64]]:
    """Code spikes; timestep t's bytes are ``data[start[t] : start[t + 1]]``, END included.

    Parameters
    ----------
    spikes : bool[timesteps, lines]

    Returns
    -------
    data : bytes
    start : int64[timesteps + 1]
    """
    timestep, line = np.nonzero(spikes)
    previous = np.roll(line, 1)
    previous[np.diff(timestep, prepend=-1) > 0] = -1
    gap = line - previous - 1
    size = gap // SKIP + 1
    sizes = np.bincount(timestep, size, minlength=len(spikes)).astype(np.int64) + 1
    start = np.concatenate([[0], np.cumsum(sizes)])
    data = np.full(start[-1], SKIP, np.uint8)
    data[start[1:] - 1] = END
    data[np.cumsum(size) + timestep - 1] = gap % SKIP
    return data.tobytes(), start


def trim(data: bytes) -> bytes:
    """Leave out the ENDs of empty timesteps at the end: a device runs those anyway."""
    kept = data.rstrip(bytes([END]))
    return kept + bytes([END]) if kept else b""


def decode_spikes(data: bytes | bytearray, timesteps: int, lines: int) -> Bools:
    """Decode whole timesteps: ``bool[timesteps, lines]``.

    Parameters
    ----------
    data : bytes
        What a device sent, all of it.
    timesteps, lines : int
        How many there must be, and the number of lines that can spike.

    Raises
    ------
    LinkError
        Bytes that are no code of that many timesteps with lines in range.
    """
    codes = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(codes == END)
    whole = len(ends) == timesteps and (len(codes) == 0 or codes[-1] == END)
    if not whole or (codes[ends[ends > 0] - 1] == SKIP).any():
        raise LinkError(f"Spikes out are not the code of {timesteps} whole timesteps.", hint=_HINT)
    step = codes.astype(np.int64) + 1
    step[codes == SKIP] = SKIP
    step[ends] = 0
    reached = np.cumsum(step)
    timestep = np.cumsum(codes == END)
    before = np.concatenate([[0], reached[ends]])
    line = reached - before[timestep] - 1
    is_spike = codes < SKIP
    timestep, line = timestep[is_spike], line[is_spike]
    if line.size and line.max() >= lines:
        raise LinkError(
            f"Spikes out must be of lines 0 to {lines - 1}, not {line.max()}.", hint=_HINT
        )
    spikes = np.zeros((timesteps, lines), np.bool_)
    spikes[timestep, line] = True
    return spikes


_HINT = "The device is not of this version of Spikewright, or faulty: flash it again."
