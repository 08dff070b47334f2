"""The host's end of the link for cocotb benches: a serial line, frames and requests."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from cobs import cobs
from cocotb.queue import Queue
from cocotb.triggers import FallingEdge, SimTimeoutError, Timer, with_timeout
from fastcrc import crc32

from spikewright.frames import (
    CRC_SIZE,
    END,
    REPLY,
    REPLY_PAYLOADS,
    REQUEST,
    REQUEST_PAYLOADS,
    SEQUENCES,
    SKIP,
    Command,
    Status,
)

__all__ = [
    "Host",
    "Line",
    "Reply",
    "decode_body",
    "decode_spikes",
    "encode_frame",
    "encode_spikes",
    "payload",
    "request_body",
]


def encode_frame(body: bytes) -> bytes:
    """A body as it goes over the line."""
    return bytes(cobs.encode(body + crc32.iscsi(body).to_bytes(CRC_SIZE, "little"))) + b"\0"


def decode_body(frame: bytes) -> bytes:
    """The body of a frame without its zero, which must be undamaged."""
    content = bytes(cobs.decode(frame))
    body = content[:-CRC_SIZE]
    assert content[-CRC_SIZE:] == crc32.iscsi(body).to_bytes(CRC_SIZE, "little"), content.hex()
    return body


def payload(command: Command, *values: int, rest: bytes = b"") -> bytes:
    """A request's payload from the fields of its head, in order, and what follows."""
    fields = REQUEST_PAYLOADS[command].fields
    head = b"".join(
        value.to_bytes(field.width // 8, "little", signed=field.signed)
        for field, value in zip(fields, values, strict=True)
    )
    return head + rest


def request_body(sequence: int, command: int, content: bytes = b"") -> bytes:
    """A request's body; the sequence number is taken modulo ``SEQUENCES``."""
    number = (sequence % SEQUENCES).to_bytes(REQUEST.size - 1, "little")
    return number + bytes([command]) + content


def encode_spikes(timesteps: Iterable[Iterable[int]]) -> bytes:
    """Code the lines that spike in each timestep."""
    coded = bytearray()
    for lines in timesteps:
        previous = -1
        for line in lines:
            skips, rest = divmod(line - previous - 1, SKIP)
            coded += bytes([SKIP] * skips + [rest])
            previous = line
        coded.append(END)
    return bytes(coded)


@dataclass(frozen=True)
class Reply:
    """A reply, taken apart; ``rest`` is what follows the fixed head of an OK reply."""

    sequence: int
    command: int
    status: Status
    payload: bytes

    @classmethod
    def from_body(cls, body: bytes) -> "Reply":
        """Take a body apart."""
        header = REPLY.unpack(body[: REPLY.size])
        sequence, command, status = (int(values[0]) for values in header.values())
        return cls(sequence, command, Status(status), body[REPLY.size :])

    @property
    def head(self) -> dict[str, int]:
        """Fields of the fixed head."""
        fields = REPLY_PAYLOADS[Command(self.command)].fields
        values, offset = {}, 0
        for field in fields:
            end = offset + field.width // 8
            values[field.name] = int.from_bytes(self.payload[offset:end], "little")
            offset = end
        return values

    @property
    def rest(self) -> bytes:
        """What follows the fixed head."""
        return self.payload[REPLY_PAYLOADS[Command(self.command)].size :]


class Line:
    """Bytes over ``rx`` and ``tx``; what comes is split at zeros into :attr:`frames`.

    Parameters
    ----------
    rx, tx : object
        The device's pins.
    bit_ns : int
        Length of a bit that is sent.
    """

    def __init__(self, rx: Any, tx: Any, bit_ns: int) -> None:
        self.rx = rx
        self.tx = tx
        self.bit_ns = bit_ns
        self.gap_bits = 0
        """Idle bits before each byte that is sent."""
        self.frames: Queue[bytes] = Queue()
        rx.value = 1

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        for byte in data:
            if self.gap_bits:
                await Timer(self.gap_bits * self.bit_ns, "ns")
            await self.send_bits(byte << 1 | 1 << 9, 10)

    async def send_bits(self, bits: int, count: int) -> None:
        """Send bits, lowest first; the line stays at the last one."""
        done = 0
        while done < count:
            level = bits >> done & 1
            run = 1
            while done + run < count and bits >> (done + run) & 1 == level:
                run += 1
            self.rx.value = level
            await Timer(run * self.bit_ns, "ns")
            done += run

    async def listen(self) -> None:
        """Receive for ever."""
        frame, bit_ns = bytearray(), self.bit_ns
        while True:
            await FallingEdge(self.tx)
            await Timer(bit_ns // 2, "ns")
            assert self.tx.value == 0
            byte = 0
            for bit in range(8):
                await Timer(bit_ns, "ns")
                byte |= int(self.tx.value) << bit
            await Timer(bit_ns, "ns")
            assert self.tx.value == 1
            if byte:
                frame.append(byte)
            else:
                self.frames.put_nowait(bytes(frame))
                frame.clear()


class Host(Line):
    """Requests and replies, without any retry of its own."""

    sequence = 0
    opening = 0

    async def request(self, command: int, content: bytes = b"", *, sequence: int = -1) -> None:
        """Send a request with the next sequence number, or a given one."""
        if sequence < 0:
            sequence = self.sequence
            self.sequence = (sequence + 1) % SEQUENCES
        await self.send(encode_frame(request_body(sequence, command, content)))

    async def maybe_reply(self, *, timeout_us: int = 20) -> Reply | None:
        """Wait for the next reply; None if it does not come."""
        try:
            frame = await with_timeout(self.frames.get(), timeout_us, "us")
        except SimTimeoutError:
            return None
        return Reply.from_body(decode_body(frame))

    async def reply(self) -> Reply:
        """Wait for the next reply, which must come."""
        reply = await self.maybe_reply(timeout_us=1000)
        assert reply is not None
        return reply

    async def ask(
        self, command: Command, *values: int, rest: bytes = b"", status: Status = Status.OK
    ) -> Reply:
        """Send a well-formed request and check the reply's header."""
        sequence = self.sequence
        await self.request(command, payload(command, *values, rest=rest))
        reply = await self.reply()
        assert (reply.sequence, reply.command, reply.status) == (sequence, command, status), reply
        return reply

    async def hello(self) -> Reply:
        """Open a session."""
        self.opening = (self.opening * 0x9E37_79B1 + 1) % SEQUENCES
        self.sequence = self.opening
        reply = await self.ask(Command.HELLO)
        self.sequence = reply.head["first"]
        return reply

    async def quiet(self, bits: int = 400) -> None:
        """See that no frame comes for some bit times."""
        await Timer(bits * self.bit_ns, "ns")
        assert self.frames.empty()


def decode_spikes(coded: bytes, timesteps: int, lines: int) -> npt.NDArray[np.bool_]:
    """Decode whole timesteps: ``bool[timesteps, lines]``."""
    spikes = np.zeros((timesteps, lines), np.bool_)
    timestep, line = 0, 0
    for byte in coded:
        if byte == END:
            timestep, line = timestep + 1, 0
        else:
            line += byte
            if byte != SKIP:
                spikes[timestep, line] = True
                line += 1
    assert timestep == timesteps
    return spikes
