"""A recorded session as a device: drivers are tested without hardware."""

from collections import deque
from dataclasses import dataclass

from cobs import cobs
from fastcrc import crc32

from spikewright.errors import DataError, MismatchError, SpecError
from spikewright.frames import (
    CRC_SIZE,
    REPLY,
    REPLY_PAYLOADS,
    REQUEST,
    SEQUENCES,
    Command,
    LinkSpec,
    Status,
)
from spikewright.layout import Layout
from spikewright.recording import Recording
from spikewright.spec import CoreSpec

from .device_model import Answer, DeviceModel

__all__ = ["Replay"]

_FIRST = REPLY_PAYLOADS[Command.HELLO].fields[0].width // 8
"""Bytes of the number that HELLO's reply begins with, that of the session's first request."""
_LONGEST_FRAME = 2048
"""More bytes than any frame has: what goes on longer without a zero is noise."""
_MOST_WAITING = 256
"""Requests without a reply, more than any window has."""
_HINT = "Replay with the driver, image, spikes and options that were recorded."


@dataclass(slots=True)
class _Exchange:
    """A request, in the order in which the host first sent them, and the reply that it got."""

    time_s: float
    sequence: int
    command: int
    payload: bytes
    reply: Answer | None = None


class Replay(DeviceModel):
    """Answers a host as the device answered that was recorded; :meth:`exchange` is its line.

    Requests must come in the recorded order, with the recorded contents. What differs from session
    to session is free: sequence numbers, what is sent again and when.
    Whatever harm the line did when it was recorded is left out.

    Behind a pseudo-terminal it is a port like any other, ``Terminal(Replay(recording))``; in
    process it is driven through :class:`spikewright.sim.line.SimulatedPort`.

    Parameters
    ----------
    recording : Recording

    Attributes
    ----------
    done : int
        Requests answered so far.

    Raises
    ------
    DataError
        There is no session in the recording.
    MismatchError
        From :meth:`exchange`: the host sent something else than was recorded, and where.
    """

    def __init__(self, recording: Recording) -> None:
        self._script = _Script(recording).exchanges
        self.done = 0
        super().__init__(CoreSpec(), _limits(self._script))

    def __len__(self) -> int:
        """Requests of the recording."""
        return len(self._script)

    def _do(self, code: int, payload: bytes) -> Answer:
        number = self.done + 1
        if self.done == len(self._script):
            raise MismatchError(
                f"The recording ends after {self.done} requests; the host sent another: "
                f"{_name(code)}.",
                hint=_HINT,
            )
        recorded = self._script[self.done]
        differs = _difference(recorded, code, payload)
        if differs:
            raise MismatchError(
                f"Request {number} of {len(self)} differs from the recording "
                f"(at {recorded.time_s:.6f} s): {differs}.",
                hint=_HINT,
            )
        if recorded.reply is None:
            raise MismatchError(
                f"The recording has no reply to request {number} of {len(self)}, {_name(code)}.",
                hint="The recorded session ended there, or its device did not answer.",
            )
        self.done = number
        status, answer = recorded.reply
        if code == Command.HELLO:
            answer = self._expected.to_bytes(_FIRST, "little") + answer[_FIRST:]
        return status, answer


def _difference(recorded: _Exchange, code: int, payload: bytes) -> str:
    """What a request has that the recorded one has not; empty if they are equal."""
    if code != recorded.command:
        return f"it is {_name(code)}, recorded was {_name(recorded.command)}"
    if len(payload) != len(recorded.payload):
        return f"{_name(code)} has {len(payload)} bytes, recorded were {len(recorded.payload)}"
    for place, (byte, was) in enumerate(zip(payload, recorded.payload, strict=True)):
        if byte != was:
            return f"byte {place} of {_name(code)} is {byte:#04x}, recorded was {was:#04x}"
    return ""


def _name(code: int) -> str:
    return Command(code).name if code in list(Command) else f"command {code:#04x}"


class _Script:
    """Requests and their replies, without what was sent again, damaged or out of order.

    Attributes
    ----------
    exchanges : list
        In the order in which the host first sent the requests.
    """

    def __init__(self, recording: Recording) -> None:
        self.exchanges: list[_Exchange] = []
        self._opened: _Exchange | None = None
        self._next = 0
        self._waiting: deque[_Exchange] = deque(maxlen=_MOST_WAITING)
        lines = {True: b"", False: b""}
        for piece in recording.pieces:
            *frames, rest = (lines[piece.to_device] + piece.data).split(b"\0")
            lines[piece.to_device] = rest if len(rest) <= _LONGEST_FRAME else b""
            for body in filter(None, map(_body, frames)):
                if piece.to_device:
                    self._request(piece.time_s, body)
                else:
                    self._reply(body)

    def _request(self, time_s: float, body: bytes) -> None:
        """Note a request that was not sent before: a HELLO, or the next in order."""
        if len(body) < REQUEST.size:
            return
        sequence, command, payload = _split(REQUEST, body)
        request = _Exchange(time_s, sequence, command, payload)
        if command == Command.HELLO:
            if self._opened and sequence == self._opened.sequence:
                return
            self._opened = request
            self._waiting.clear()
        elif sequence != self._next:
            return
        else:
            self._next = (sequence + 1) % SEQUENCES
        self.exchanges.append(request)
        self._waiting.append(request)

    def _reply(self, body: bytes) -> None:
        """Give a reply to the request that it answers."""
        if len(body) < REPLY.size or body[REPLY.size - 1] not in list(Status):
            return
        sequence, command, rest = _split(REQUEST, body)
        status, payload = Status(rest[0]), rest[1:]
        for request in self._waiting:
            if request.reply is None and (request.sequence, request.command) == (sequence, command):
                if status is not Status.OUT_OF_ORDER:
                    request.reply = status, payload
                    if command == Command.HELLO:
                        self._next = int.from_bytes(payload[:_FIRST], "little")
                return


def _split(layout: Layout, body: bytes) -> tuple[int, int, bytes]:
    """Sequence number, command and what follows the head of a body."""
    head = {name: int(column[0]) for name, column in layout.unpack(body[: layout.size]).items()}
    return head["sequence"], head["command"], body[layout.size :]


def _body(frame: bytes) -> bytes:
    """The body of an encoded frame; empty if that is damaged."""
    try:
        content = bytes(cobs.decode(frame))
    except cobs.DecodeError:
        return b""
    body, crc = content[:-CRC_SIZE], content[-CRC_SIZE:]
    return body if crc32.iscsi(body).to_bytes(CRC_SIZE, "little") == crc else b""


def _limits(script: list[_Exchange]) -> LinkSpec:
    """The recorded device's, as its first HELLO told them."""
    layout = REPLY_PAYLOADS[Command.HELLO]
    for each in script:
        if each.command == Command.HELLO and each.reply and len(each.reply[1]) == layout.size:
            values = {name: int(column[0]) for name, column in layout.unpack(each.reply[1]).items()}
            try:
                return LinkSpec(window=values["window"], max_payload=values["max_payload"])
            except SpecError as error:
                raise DataError(f"The recorded device is none: {error.what}") from None
    raise DataError(
        "No session is in the recording: no HELLO with its reply.",
        hint="Record from the opening of the port on, as `spikewright run --record` does.",
    )
