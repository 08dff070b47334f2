"""Requests, replies and who a device is: bytes from and to the fields of the frame table."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from struct import Struct

from spikewright.errors import BoardError, LinkError
from spikewright.frames import (
    ID_SIZE,
    PROTOCOL_VERSION,
    REPLY,
    REPLY_PAYLOADS,
    REQUEST,
    REQUEST_PAYLOADS,
    RUNS,
    Command,
    LinkSpec,
    Status,
)
from spikewright.layout import Layout

__all__ = ["Hello", "Reply", "Request", "parse_reply"]

_WITH_HEAD = dict.fromkeys(RUNS, (Status.OK, Status.BAD_TIMESTEP, Status.PAUSED, Status.BAD_SPIKES))
"""Statuses whose replies have a payload as for OK, where that is not only OK."""
_OTHER_VERSION = "Flash the board with a bitstream of this version of Spikewright."
_REFUSALS = {
    Status.BAD_COMMAND: ("it does not know that command", _OTHER_VERSION),
    Status.BAD_LENGTH: ("the payload has a length that it does not expect", _OTHER_VERSION),
    Status.BAD_ADDRESS: ("the records are out of its range", _OTHER_VERSION),
    Status.NO_IMAGE: ("it holds no valid image", "Load an image first."),
    Status.NOT_LOADING: ("no load was begun", "Load the image again, from one host only."),
    Status.BAD_DIGEST: ("the image did not arrive whole", "Load the image again."),
    Status.BAD_TIMESTEP: ("it is at another timestep", "Clear the state and run again."),
    Status.PAUSED: ("it has no room for more spikes", "Clear the state and run again."),
    Status.BAD_SPIKES: (
        "the spikes have an axon out of its range, or too many timesteps",
        "Run with clear=True: an earlier run may have left a part of a timestep.",
    ),
    Status.OUT_OF_ORDER: ("it expects another sequence number", "Use the port from one host only."),
    Status.NOT_PLASTIC: (
        "its core has no plasticity",
        "Flash a bitstream whose spec has plasticity 'window' or 'trace'.",
    ),
    Status.BAD_PERIOD: (
        "its timer cannot count that period",
        "Take a period of 100 us to 10 ms, or run on demand.",
    ),
}


@cache
def _struct(layout: Layout) -> Struct:
    """A header as a ``struct``: for single records NumPy is slow."""
    codes = {8: "B", 16: "H", 32: "I", 64: "Q"}
    named = ((codes[field.width], field.signed) for field in layout.fields)
    return Struct("<" + "".join(code.lower() if signed else code for code, signed in named))


def _pack(layout: Layout, values: Mapping[str, int]) -> bytes:
    return _struct(layout).pack(*(values[field.name] for field in layout.fields))


def _unpack(layout: Layout, data: bytes) -> dict[str, int]:
    names = (field.name for field in layout.fields)
    return dict(zip(names, _struct(layout).unpack_from(data), strict=True))


class Request:
    """A command and its payload.

    Parameters
    ----------
    command : Command
    data : bytes
        What follows the payload's fixed head: records or coded spikes.
    cycles : int
        Most clock cycles that the device takes for it; lengthens the wait for the reply.
    **head : int
        Fields of the payload's fixed head.
    """

    __slots__ = ("command", "cycles", "head", "payload")

    def __init__(
        self, command: Command, data: bytes = b"", *, cycles: int = 0, **head: int
    ) -> None:
        self.command = command
        self.cycles = cycles
        self.head = head
        self.payload = _pack(REQUEST_PAYLOADS[command], head) + data

    def body(self, sequence: int) -> bytes:
        """The frame's body under a sequence number."""
        return _pack(REQUEST, {"sequence": sequence, "command": self.command}) + self.payload


@dataclass(frozen=True, slots=True)
class Reply:
    """A device's answer.

    Attributes
    ----------
    sequence, command, status
        Its header.
    head : mapping of str to int
        The payload's fixed head; empty where the status leaves it out.
    data : bytes
        What follows.
    """

    sequence: int
    command: Command
    status: Status
    head: Mapping[str, int]
    data: bytes

    def check(self) -> "Reply":
        """Itself if the status is OK. Raises :class:`BoardError` that explains any other."""
        if self.status is not Status.OK:
            why, hint = _REFUSALS[self.status]
            raise BoardError(f"The device refused {self.command.name}: {why}.", hint=hint)
        return self


def parse_reply(body: bytes) -> Reply | None:
    """Read a frame's body; None if it is no reply of this protocol."""
    if len(body) < REPLY.size:
        return None
    header, payload = _unpack(REPLY, body), body[REPLY.size :]
    try:
        command, status = Command(header["command"]), Status(header["status"])
    except ValueError:
        return None
    layout = REPLY_PAYLOADS[command]
    if status not in _WITH_HEAD.get(command, (Status.OK,)):
        return Reply(header["sequence"], command, status, {}, payload)
    if len(payload) < layout.size:
        return None
    head = _unpack(layout, payload)
    return Reply(header["sequence"], command, status, head, payload[layout.size :])


@dataclass(frozen=True, slots=True)
class Hello:
    """Who a device is; hashes are their first 8 bytes in hexadecimal.

    Attributes
    ----------
    window, max_payload : int
        Limits of its link, see :class:`spikewright.frames.LinkSpec`.
    spec_hash, build_id : str
        Of the core in it and of its bitstream.
    image_id : str or None
        Of the image that it holds; None if it holds no valid one.
    timestep : int
        Timesteps since its state was cleared, modulo ``frames.TIMESTEPS``.
    first : int
        Sequence number of the session's first request.
    clock_hz : int
        The device's clock: what periods of timesteps are counted by.
    """

    window: int
    max_payload: int
    spec_hash: str
    build_id: str
    image_id: str | None
    timestep: int
    first: int
    clock_hz: int

    @classmethod
    def of(cls, reply: Reply) -> "Hello":
        """What a reply to HELLO says.

        Raises
        ------
        LinkError
            Another version of the protocol, or limits that cannot be.
        """
        head = reply.head
        if head["protocol"] != PROTOCOL_VERSION:
            raise LinkError(
                f"The device speaks protocol {head['protocol']}, this is {PROTOCOL_VERSION}.",
                hint=_OTHER_VERSION,
            )
        try:
            limits = LinkSpec(window=head["window"], max_payload=head["max_payload"])
        except ValueError as error:
            raise LinkError(f"The device's link cannot be: {error}.", hint=_OTHER_VERSION) from None
        if not head["clock_hz"]:
            raise LinkError(
                "The device's link cannot be: clock_hz must be at least 1, not 0.",
                hint=_OTHER_VERSION,
            )
        hashes = ("spec_hash", "build_id", "image_id")
        spec_hash, build_id, image_id = (head[h].to_bytes(ID_SIZE, "little").hex() for h in hashes)
        return cls(
            window=limits.window,
            max_payload=limits.max_payload,
            spec_hash=spec_hash,
            build_id=build_id,
            image_id=image_id if head["image_valid"] else None,
            timestep=head["timestep"],
            first=head["first"],
            clock_hz=head["clock_hz"],
        )
