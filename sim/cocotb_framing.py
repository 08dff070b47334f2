"""cocotb bench of framing: COBS both ways, the frame receiver and the reply transmitter."""

from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from cobs import cobs
from cocotb.triggers import FallingEdge, ReadOnly

from spikewright.frames import REQUEST, SEQUENCES, LinkSpec
from spikewright.hdl.cobs import COBSDecoder, COBSEncoder
from spikewright.hdl.receiver import FrameReceiver
from spikewright.hdl.transmitter import Reply, ReplyTransmitter

from .cocotb_host import decode_body, encode_frame, request_body
from .cocotb_streams import Sink, Source, reset

__all__ = ["LINK", "Framing"]

LINK = LinkSpec(max_payload=64, window=2)
_SLOTS = 2 * LINK.max_payload * LINK.window
_ERROR = 1 << 8
_END = 1 << 8
_BAD_END = 1 << 9 | _END
_STALLS = ((0.0, 0.0), (0.7, 0.0), (0.0, 0.7), (0.5, 0.5))
_FETCH_CYCLES = 4
"""From a byte of a payload to the next, or to its end."""
_IDLE_CYCLES = 60
"""More than anything takes without a stall."""


class Framing(wiring.Component):
    """The parts side by side, for one build."""

    def __init__(self) -> None:
        self._parts: dict[str, wiring.Component] = {
            "encoder": COBSEncoder(),
            "decoder": COBSDecoder(),
            "receiver": FrameReceiver(LINK),
            "transmitter": ReplyTransmitter(LINK),
        }
        super().__init__({name: wiring.Out(part.signature) for name, part in self._parts.items()})

    def elaborate(self, platform: object) -> Module:
        """Connect each part to its ports."""
        m = Module()
        for name, part in self._parts.items():
            m.submodules[name] = part
            wiring.connect(m, part, wiring.flipped(getattr(self, name)))
        return m


def _corners(rng: np.random.Generator) -> list[bytes]:
    """Frames in which something about COBS or length is special."""
    lengths = (1, 2, 253, 254, 255, 256, 508, 509)
    frames = [bytes([fill]) * length for length in lengths for fill in (0x00, 0x01, 0xFF)]
    frames += [bytes([1] * length + [0]) for length in lengths]
    frames += [bytes([0] + [1] * length) for length in lengths]
    frames += [rng.choice([0, 1, 255], int(n)).astype(np.uint8).tobytes() for n in range(1, 20)]
    return frames + [rng.bytes(int(n)) for n in rng.integers(1, 300, 10)]


@cocotb.test()
async def encode(dut: Any) -> None:
    """Frames as an independent encoder makes them, with stalls on both sides."""
    source = Source(dut, "encoder__i")
    sink = Sink(dut, "encoder__o")
    await reset(dut)
    frames = _corners(np.random.default_rng(1))
    for k, frame in enumerate(frames):
        source.stalls, sink.stalls = _STALLS[k % len(_STALLS)]
        source.items.extend([*frame[:-1], frame[-1] | 1 << 8])
        want = cobs.encode(frame) + b"\0"
        assert bytes(await sink.get(len(want))) == want


@cocotb.test()
async def decode(dut: Any) -> None:
    """Frames back to back, with stalls on both sides."""
    source = Source(dut, "decoder__i")
    sink = Sink(dut, "decoder__o")
    await reset(dut)
    frames = _corners(np.random.default_rng(2))
    for k, frame in enumerate(frames):
        source.stalls, sink.stalls = _STALLS[k % len(_STALLS)]
        source.items.extend(cobs.encode(frame) + b"\0" * (1 + k % 3))
        assert await sink.get(len(frame) + 1) == [*frame, _END]


@cocotb.test()
async def decode_noise(dut: Any) -> None:
    """Whatever came, the frame after a zero is right; damaged ones end with an error."""
    rng = np.random.default_rng(3)
    source = Source(dut, "decoder__i")
    sink = Sink(dut, "decoder__o")
    await reset(dut)
    sink.stalls = 0.3
    for _ in range(150):
        noise = rng.bytes(int(rng.integers(1, 12))).replace(b"\0", b"\1")
        try:
            want = [*cobs.decode(noise), _END]
        except cobs.DecodeError:
            want = [_BAD_END]
        source.items.extend(noise + b"\0" + cobs.encode(b"\0next") + b"\0")
        items = await sink.get(1)
        while not items[-1] & _END:
            items += await sink.get(1)
        assert items[-1:] == want[-1:]
        assert items == want or want == [_BAD_END]
        assert await sink.get(6) == [*b"\0next", _END]
    source.items.extend([_ERROR | 0x55, 0, *cobs.encode(b"x"), _ERROR, 0])
    assert await sink.get(3) == [_BAD_END, ord("x"), _BAD_END]


class Receiver:
    """The receiver and what feeds and empties it."""

    def __init__(self, dut: Any, seed: int) -> None:
        self.dut = dut
        self.rng = np.random.default_rng(seed)
        self.line = Source(dut, "receiver__i")
        self.payload = Sink(dut, "receiver__o")
        self.payload.stalls = 1.0
        self.frames: list[bytes] = []
        self.errors = 0
        self.want_errors = 0

    async def start(self) -> None:
        """Reset and count errors from now on."""
        await reset(self.dut, "receiver__o_frame__ready", "receiver__mark", "receiver__rewind")
        cocotb.start_soon(self._count())

    async def _count(self) -> None:
        while True:
            await ReadOnly()
            self.errors += int(self.dut.receiver__error.value)
            await FallingEdge(self.dut.clk)

    async def settle(self) -> None:
        """Wait until all that was sent is worked in."""
        await self.line.drain()
        for _ in range(_IDLE_CYCLES):
            await FallingEdge(self.dut.clk)

    async def pulse(self, name: str) -> None:
        """Raise an input for a cycle."""
        getattr(self.dut, f"receiver__{name}").value = 1
        await FallingEdge(self.dut.clk)
        getattr(self.dut, f"receiver__{name}").value = 0
        await FallingEdge(self.dut.clk)

    async def take(self, want: bytes, *, stalls: float = 0.3) -> None:
        """Read the oldest frame, and give it back."""
        assert self.dut.receiver__o_frame__valid.value == 1
        assert int(self.dut.receiver__o_frame__payload.value) == len(want)
        self.payload.stalls = stalls
        assert bytes(await self.payload.get(len(want))) == want
        self.payload.stalls = 1.0
        for _ in range(_FETCH_CYCLES):
            await FallingEdge(self.dut.clk)
        assert self.dut.receiver__end.value == 1
        await self.pulse("o_frame__ready")

    async def check(self, *frames: bytes) -> None:
        """See that exactly these frames stand there, and the errors so far."""
        for frame in frames:
            await self.take(frame)
        assert self.dut.receiver__o_frame__valid.value == 0
        assert self.errors == self.want_errors

    def body(self, length: int) -> bytes:
        """A random request with that much payload."""
        return self.rng.bytes(REQUEST.size + length)


@cocotb.test()
async def receive_frames(dut: Any) -> None:
    """Every length up to the longest, back to back, and the ring's wrap."""
    receiver = Receiver(dut, 4)
    await receiver.start()
    for k, length in enumerate([*range(LINK.max_payload + 1), LINK.max_payload, 0, 0]):
        receiver.line.stalls = 0.5 * (k % 2)
        bodies = [receiver.body(length) for _ in range(LINK.window)]
        receiver.line.items.extend(b"\0".join(encode_frame(body) for body in bodies))
        await receiver.settle()
        await receiver.check(*bodies)
    assert dut.receiver__active.value == 0


@cocotb.test()
async def receive_damaged(dut: Any) -> None:
    """Each byte flipped, lost or doubled, random bits: dropped, counted, and the next is right."""
    receiver = Receiver(dut, 5)
    await receiver.start()
    body = receiver.body(12)
    frame = encode_frame(body)
    damaged = [frame[:k] + bytes([frame[k] ^ 0x10]) + frame[k + 1 :] for k in range(len(frame) - 1)]
    damaged += [frame[:k] + frame[k + 1 :] for k in range(len(frame) - 1)]
    damaged += [frame[:k] + frame[k : k + 1] + frame[k:] for k in range(len(frame) - 1)]
    damaged += [frame[:k] + b"\0" for k in range(1, len(frame) - 1)]
    for _ in range(60):
        flips = receiver.rng.choice(8 * len(frame) - 8, int(receiver.rng.integers(1, 9)), False)
        bits = int.from_bytes(frame, "little")
        for flip in flips.tolist():
            bits ^= 1 << flip
        damaged.append(bits.to_bytes(len(frame), "little"))
    for wrong in damaged:
        assert wrong != frame
        receiver.want_errors += sum(1 for part in wrong.split(b"\0") if part)
        after = receiver.body(3)
        receiver.line.items.extend(wrong + encode_frame(after))
        await receiver.settle()
        await receiver.check(after)


@cocotb.test()
async def receive_wrong_lengths(dut: Any) -> None:
    """Too long or too short is an error even with a right CRC; frames of no bytes are nothing."""
    receiver = Receiver(dut, 6)
    await receiver.start()
    longest = REQUEST.size + LINK.max_payload
    for size in [*range(REQUEST.size), *range(longest + 1, longest + 10), 3 * _SLOTS]:
        wrong = encode_frame(receiver.rng.bytes(size))
        receiver.want_errors += 1
        after = receiver.body(LINK.max_payload)
        receiver.line.items.extend(b"\0\0" + wrong + b"\0\0\0" + encode_frame(after))
        await receiver.settle()
        await receiver.check(after)
    noisy = list(encode_frame(receiver.body(9)))
    for k in range(len(noisy)):
        # An error of the line, at the delimiter too, which then does not delimit.
        receiver.line.items.extend([*noisy[:k], noisy[k] | _ERROR, *noisy[k + 1 :], 0])
        receiver.want_errors += 1
        await receiver.settle()
        await receiver.check()


@cocotb.test()
async def receive_without_room(dut: Any) -> None:
    """Frames that find no room are dropped and counted; none that stood there is touched."""
    receiver = Receiver(dut, 7)
    await receiver.start()
    for _ in range(20):
        waiting: list[bytes] = []
        for length in receiver.rng.integers(LINK.max_payload + 1, size=8).tolist():
            body = receiver.body(length)
            receiver.line.items.extend(encode_frame(body))
            await receiver.settle()
            if len(waiting) < LINK.window:
                waiting.append(body)
            else:
                receiver.want_errors += 1
            if waiting and receiver.rng.random() < 0.2:
                await receiver.take(waiting.pop(0))
        await receiver.check(*waiting)


@cocotb.test()
async def rewind(dut: Any) -> None:
    """Bytes are shown again from the mark, or the payload's first; frames may be left half read."""
    receiver = Receiver(dut, 8)
    receiver.payload.may_change = True
    await receiver.start()
    for _ in range(20):
        body = receiver.body(20)
        receiver.line.items.extend(encode_frame(body) + encode_frame(body))
        await receiver.settle()
        marked = int(receiver.rng.integers(REQUEST.size, 15))
        header = REQUEST.size
        for first, last in (
            (0, 3),
            (header, 16),
            (header, marked),
            (marked, 20),
            (marked, len(body)),
            (marked, 18),
        ):
            if first:
                await receiver.pulse("rewind")
            receiver.payload.stalls = 0.3
            assert bytes(await receiver.payload.get(last - first)) == body[first:last]
            receiver.payload.stalls = 1.0
            await FallingEdge(dut.clk)
            assert not receiver.payload.items
            if last == marked:
                await receiver.pulse("mark")
        await receiver.pulse("o_frame__ready")
        await receiver.check(body)


class Transmitter:
    """The transmitter and what feeds and empties it."""

    def __init__(self, dut: Any, seed: int) -> None:
        self.dut = dut
        self.rng = np.random.default_rng(seed)
        self.payload = Source(dut, "transmitter__i")
        self.send = Source(dut, "transmitter__i_send")
        self.line = Sink(dut, "transmitter__o")
        self.kept: dict[int, bytes] = {}
        self.want: list[bytes] = []

    async def reply(self, kind: Reply, sequence: int) -> None:
        """Have a reply sent, after its payload was written."""
        dut = self.dut
        dut.transmitter__slot.value = sequence % LINK.window
        dut.transmitter__i_send__payload.value = kind.value
        body = request_body(sequence, self.rng.bytes(1)[0]) + self.rng.bytes(1)
        if kind is Reply.AGAIN:
            body = self.kept[sequence]
        else:
            lengths = (4,) if kind is Reply.REFUSAL else (0, 1, LINK.max_payload, 9)
            body += self.rng.bytes(int(self.rng.choice(lengths)))
            if kind is Reply.NEW:
                self.kept[sequence] = body
            busy = dut.transmitter__locked if kind is Reply.NEW else dut.transmitter__i_send__ready
            await FallingEdge(dut.clk)
            while bool(busy.value) == (kind is Reply.NEW):
                await FallingEdge(dut.clk)
            self.payload.items.extend(body)
            await self.payload.drain()
        self.want.append(body)
        self.send.items.append(kind.value)
        await self.send.drain()

    async def frame(self) -> bytes:
        """The next frame that was sent, without its zero."""
        encoded: list[int] = []
        while True:
            (byte,) = await self.line.get(1)
            if byte == 0:
                return bytes(encoded)
            encoded.append(byte)


@cocotb.test()
async def send_replies(dut: Any) -> None:
    """New replies, kept ones and refusals in any order, written while others are being sent."""
    sender = Transmitter(dut, 9)
    await reset(dut, "transmitter__slot")
    sender.payload.stalls = 0.3
    expected = SEQUENCES - 10

    async def collect(count: int) -> None:
        for k in range(count):
            sender.line.stalls = (0.0, 0.7, 0.9)[k % 3]
            frame = await sender.frame()
            assert decode_body(frame) == sender.want[k]

    collected = cocotb.start_soon(collect(80))
    for k in range(80):
        kind = list(Reply)[int(sender.rng.integers(3)) if k >= LINK.window else 0]
        sequence = expected
        if kind is Reply.AGAIN:
            sequence = expected - 1 - int(sender.rng.integers(LINK.window))
        await sender.reply(kind, sequence % SEQUENCES)
        expected += kind is Reply.NEW
    await collected
    for _ in range(_IDLE_CYCLES):
        await FallingEdge(dut.clk)
    assert dut.transmitter__active.value == 0
