"""Bytes that a load and a run take on the line, known before there is a line."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cobs import cobs

from spikewright.frames import (
    COUNTERS,
    CRC_SIZE,
    REPLY,
    REPLY_PAYLOADS,
    Command,
    LinkSpec,
    Status,
    ring_bytes,
    worst_timestep_bytes,
)
from spikewright.image import CoreImage
from spikewright.layout import Layout
from spikewright.spec import Region

from .coding import encode_spikes
from .loading import load_requests
from .protocol import Reply, Request
from .readback import read_requests
from .stream import RunStream

__all__ = ["Traffic", "load_traffic", "run_traffic", "wire_sizes"]

Bools = npt.NDArray[np.bool_]

_SEQUENCE_SIZE = 4


@dataclass(frozen=True)
class Traffic:
    """Bytes on a line without errors, frames, COBS and CRC included.

    Attributes
    ----------
    sent, received : int
        To the device, and from it: the least that it can be [bytes].
    slack : int
        Most bytes that may come on top, both ways together: COBS takes a byte more where 254 bytes
        follow one another without a zero, and a session begins at a random sequence number, which
        is in every frame and its CRC. Frames of up to 254 bytes have none.
    is_exact : bool
        Whether the frames are certainly these: not where the sequence number decides whether one
        more fits the window.
    """

    sent: int
    received: int
    slack: int = 0
    is_exact: bool = True


def load_traffic(image: CoreImage, link: LinkSpec, *, verify: bool = True) -> Traffic:
    """Traffic of opening a :class:`~spikewright.runtime.device.Device` and its ``load``.

    Parameters
    ----------
    image : CoreImage
    link : LinkSpec
        The device's limits.
    verify : bool
        Read the weights back, as ``load`` does by default.
    """
    line = _Line(image, link)
    for _ in range(2):  # the device says hello when it is opened, and again before a load
        line.open()
    line.finish(load_requests(image, link.max_payload))
    words = len(image.weights) if verify else 0
    line.finish(read_requests(image.spec, Region.WEIGHTS, words, link.max_payload))
    return line.traffic()


def run_traffic(
    image: CoreImage, spikes: Bools, fired: Bools, link: LinkSpec
) -> tuple[Traffic, ...]:
    """Traffic of each sample's run, one after the other from a cleared state after a load.

    Parameters
    ----------
    image : CoreImage
    spikes : bool[samples, timesteps, axons]
        Spikes in.
    fired : bool[samples, timesteps, neurons]
        Spikes out, all of them recorded.
    link : LinkSpec
        The device's limits.
    """
    rate: float | None = None
    found = []
    for sample, outputs in zip(spikes, fired, strict=True):
        line = _Line(image, link, outputs)
        stream = RunStream(
            image, sample, first_timestep=None, max_payload=link.max_payload, rate=rate
        )
        while not stream.is_finished:
            for request, reply in line.exchange(stream.requests()):
                stream.take(request, reply)
        rate = stream.rate
        found.append(line.traffic())
    return tuple(found)


class _Line:
    """Both ends of a session, down to frames: the host's window, and what a device replies.

    Parameters
    ----------
    image : CoreImage
        What the device holds, or gets.
    link : LinkSpec
    fired : bool[timesteps, neurons]
        Spikes out of the run.
    """

    def __init__(self, image: CoreImage, link: LinkSpec, fired: Bools | None = None) -> None:
        self._image = image
        self._link = link
        self._sent = self._received = self._slack = 0
        self._is_exact = True
        none = np.zeros((0, image.spec.neurons), np.bool_)
        self._out, self._start = encode_spikes(none if fired is None else fired)
        self._timestep = 0  # that the device is at
        self._read = 0  # bytes of spikes out that the host has
        self._room = ring_bytes(image.spec) - worst_timestep_bytes(image.spec)

    def traffic(self) -> Traffic:
        """What went over the line so far."""
        return Traffic(self._sent, self._received, self._slack, self._is_exact)

    def open(self) -> None:
        """HELLO, and the zero in front of it."""
        self._sent += 1
        self._request(Request(Command.HELLO))

    def finish(self, requests: Iterable[Request]) -> None:
        """Do requests to whose replies nobody listens."""
        for request in requests:
            self._request(request)

    def exchange(self, requests: Iterator[Request]) -> Iterator[tuple[Request, Reply]]:
        """Do requests as :meth:`.session.Session.exchange`: drawn while the window has room."""
        window: deque[tuple[Request, Reply, int, int]] = deque()
        drawn = next(requests, None)
        while drawn or window:
            while drawn and self._has_room(drawn, window):
                reply, low, high = self._request(drawn)
                window.append((drawn, reply, low, high))
                drawn = next(requests, None)
            request, reply, _, _ = window.popleft()
            yield request, reply

    def _has_room(self, request: Request, window: deque[tuple[Request, Reply, int, int]]) -> bool:
        if len(window) in (0, self._link.window):
            return not window
        room = self._link.window * self._link.max_payload
        low, high = wire_sizes(request.body(0))
        fits = sum(entry[3] for entry in window) + high <= room
        self._is_exact &= fits == (sum(entry[2] for entry in window) + low <= room)
        return fits

    def _request(self, request: Request) -> tuple[Reply, int, int]:
        """Let a request and its reply pass; the reply, and the request's least and most bytes."""
        status, head, data = self._answer(request)
        layout = REPLY_PAYLOADS[request.command]
        header = _pack(REPLY, {"sequence": 0, "command": request.command, "status": status})
        low_out, high_out = wire_sizes(request.body(0))
        low_in, high_in = wire_sizes(header + _pack(layout, head) + data)
        self._sent += low_out
        self._received += low_in
        self._slack += high_out - low_out + high_in - low_in
        return Reply(0, request.command, status, head, data), low_out, high_out

    # The device

    def _answer(self, request: Request) -> tuple[Status, Mapping[str, int], bytes]:
        if request.command is Command.RUN:
            return self._run(request)
        if request.command is Command.READ:
            first, count = request.head["index"], request.head["count"]
            records = self._image.records[Region(request.head["region"])]
            return Status.OK, {}, records[first : first + count].tobytes()
        if request.command is Command.CLEAR:
            self._timestep = self._read = 0
        if request.command is Command.COUNTERS:
            return Status.OK, dict.fromkeys(COUNTERS, 0), b""
        # What HELLO answers takes as many bytes whatever it says.
        return Status.OK, dict.fromkeys(_names(REPLY_PAYLOADS[request.command]), 0), b""

    def _run(self, request: Request) -> tuple[Status, Mapping[str, int], bytes]:
        """Run while there is room; then give as many bytes of spikes out as fit."""
        status = Status.OK
        if request.head["timestep"] != self._timestep:
            status = Status.BAD_TIMESTEP
        else:
            for _ in range(request.head["count"]):
                if self._start[self._timestep] - self._read > self._room:
                    status = Status.PAUSED
                    break
                self._timestep += 1
        made = int(self._start[self._timestep])
        fit = self._link.max_payload - REPLY_PAYLOADS[Command.RUN].size
        data = self._out[self._read : min(made, self._read + fit)]
        self._read += len(data)
        return status, {"timestep": self._timestep, "pending": made - self._read}, data


def _names(layout: Layout) -> list[str]:
    return [field.name for field in layout.fields]


def _pack(layout: Layout, values: Mapping[str, int]) -> bytes:
    return b"".join(values[f.name].to_bytes(f.width // 8, "little") for f in layout.fields)


def wire_sizes(body: bytes) -> tuple[int, int]:
    """Least and most bytes of a frame, whatever its sequence number, the first bytes, and CRC.

    COBS never takes fewer bytes when a byte becomes other than zero.
    """
    least, most = (
        len(cobs.encode(filler * _SEQUENCE_SIZE + body[_SEQUENCE_SIZE:] + filler * CRC_SIZE)) + 1
        for filler in (b"\0", b"\1")
    )
    return least, most
