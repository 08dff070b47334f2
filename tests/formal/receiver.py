# amaranth: UnusedElaboratable=no

"""The frame receiver: whatever comes, it stays inside its buffers."""

from collections.abc import Iterable
from typing import Any

from amaranth.asserts import AnySeq
from amaranth.hdl import Array, Assert, Assume, Module, Mux, Shape, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import ReadPort, WritePort
from amaranth.lib.wiring import In, Out

from spikewright.frames import CRC_SIZE, REQUEST, LinkSpec
from spikewright.hdl.receiver import frame_length

from .blocks import Block, Checker, Inside, free_inputs, moves

__all__ = ["AnyCRC", "BoundsChecker", "FewWords"]

_FEW = 8


class AnyCRC(wiring.Component):
    """In place of :class:`CRC32C`: ready and satisfied whenever it likes."""

    i: In(stream.Signature(8))
    clear: In(1)
    intact: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [self.i.ready.eq(AnySeq(1)), self.intact.eq(AnySeq(1))]
        return m


class FewWords(wiring.Component):
    """In place of :class:`Memory`: a register each for few words, and anything for many.

    Parameters
    ----------
    shape, depth, init
        As of :class:`Memory`.
    """

    def __init__(self, *, shape: ShapeLike, depth: int, init: Iterable[int]) -> None:
        assert not list(init)
        self._depth = depth
        self.words = [Signal(shape, name=f"word{k}") for k in range(depth if depth <= _FEW else 0)]
        self._write = WritePort.Signature(
            addr_width=(depth - 1).bit_length(), shape=Shape.cast(shape)
        ).create()
        self._read = ReadPort.Signature(
            addr_width=(depth - 1).bit_length(), shape=Shape.cast(shape)
        ).create()
        super().__init__({})

    def write_port(self) -> Any:
        """The only one."""
        return self._write

    def read_port(self) -> Any:
        """The only one."""
        return self._read

    def elaborate(self, platform: object) -> Module:
        m = Module()
        write, read = self._write, self._read
        if not self.words:
            m.d.comb += read.data.eq(AnySeq(len(read.data)))
            return m
        words = Array(self.words)
        with m.If(write.en):
            m.d.sync += words[write.addr].eq(write.data)
        m.d.sync += read.data.eq(words[read.addr])
        return m


class BoundsChecker(Checker):
    """Whatever comes, no byte is written over one of a frame that waits, nor read past a frame.

    Parameters
    ----------
    block : Block
        Of :class:`FrameReceiver`, best with :class:`AnyCRC` for its ``CRC32C``, and with
        :class:`FewWords` for its memories.
    link : LinkSpec
        Or anything with its ``window`` and ``max_payload``, powers of two.
    """

    def __init__(self, block: Block, *, link: LinkSpec) -> None:
        self._receiver = block.load()(link)
        self._link = link
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = self.begin()
        receiver = self._receiver
        inside = Inside(receiver)
        m.submodules.receiver = inside.fragment
        parts = inside.module.submodules
        free_inputs(m, receiver)
        self._take(m, inside)
        window = self._link.window
        waiting = Signal(range(window + 1))
        oldest = Signal(range(window))
        lengths = Array(Signal(frame_length(self._link), name=f"length{k}") for k in range(window))
        count = Signal(range(2 * self._link.max_payload))  # bytes of the frame being written
        write, queue = parts.slots.write_port(), parts.lengths.write_port()
        goes = moves(receiver.o_frame)
        ends = inside["finished"]
        m.d.sync += [
            waiting.eq(waiting + queue.en - goes),
            oldest.eq(oldest + goes),
            count.eq(Mux(ends, 0, count + (write.en & ~count.all()))),
        ]
        with m.If(queue.en):
            m.d.sync += lengths[queue.addr].eq(queue.data)
            m.d.comb += [
                Assert(queue.data + CRC_SIZE == count),
                Assert((queue.addr - oldest)[: len(oldest)] >= waiting),
            ]
        slot = write.addr[-len(oldest) :]
        m.d.comb += [
            Assert(waiting <= window),
            Assert(~write.en | ((slot - oldest)[: len(oldest)] >= waiting)),
            Assert(~(write.en | queue.en) | (waiting < window)),
            Assert(~write.en | (write.addr[: len(count)] == count)),
            Assert(~receiver.o_frame.valid | (waiting != 0)),
            Assert(~receiver.o_frame.valid | (receiver.o_frame.payload == lengths[oldest])),
        ]
        if self.invariants:
            self._account(m, inside, parts, waiting, oldest, lengths, count)
        return m

    def _take(self, m: Module, inside: Inside) -> None:
        """Take frames and their bytes, in the ways that :class:`FrameReceiver` allows."""
        receiver, frame, byte = self._receiver, self._receiver.o_frame, self._receiver.o
        transfer = moves(byte)
        before, stays = Signal(), Signal()
        shown = Signal.like(frame.payload)
        given = Signal.like(frame.payload)
        marked = Signal.like(frame.payload, init=REQUEST.size)
        m.d.sync += [
            before.eq(transfer),
            stays.eq(frame.valid & ~frame.ready),
            shown.eq(frame.payload),
            given.eq(given + transfer),
        ]
        with m.If(receiver.mark):
            m.d.sync += marked.eq(given)
        with m.If(receiver.rewind):
            m.d.sync += given.eq(marked)
        with m.If(moves(frame)):
            m.d.sync += [given.eq(0), marked.eq(REQUEST.size)]
        moves_place = receiver.mark | receiver.rewind
        m.d.comb += [
            Assume(~(transfer & frame.ready)),
            Assume(~(transfer | before | ~frame.valid) | ~moves_place),
            Assert(~stays | (frame.valid & (frame.payload == shown))),
            Assert(~(byte.valid | receiver.end) | frame.valid),
            Assert(~byte.valid | (given < frame.payload)),
            Assert(~receiver.end | ((given == frame.payload) & ~before)),
        ]
        if self.invariants:
            most = Mux(frame.valid, frame.payload, REQUEST.size)
            m.d.comb += [
                Assert((given <= most) & (given == inside["offset"] + inside["taken"])),
                Assert((marked <= most) & (marked == inside["marked"])),
                Assert(frame.valid | (given == 0)),
            ]

    def _account(
        self,
        m: Module,
        inside: Inside,
        parts: Any,
        waiting: Signal,
        oldest: Signal,
        lengths: Array,
        count: Signal,
    ) -> None:
        """Slots and sizes are those counted here."""
        head, tail, size = (inside[name] for name in ("head", "tail", "size"))
        longest = REQUEST.size + self._link.max_payload
        m.d.comb += [
            Assert(oldest == tail[: len(oldest)]),
            Assert((head - tail)[: len(head)] == waiting),
            Assert((size == 0) | (count == Mux(inside["had_slot"], size, 0))),
            Assert((size != 0) | (count == 0)),
            Assert((size == 0) | ~inside["had_slot"] | (waiting != self._link.window)),
        ]
        with m.If(inside["finished"] & inside["good"]):
            m.d.comb += [
                Assert(inside["had_slot"] & (size != 0)),
                Assert((size >= REQUEST.size + CRC_SIZE) & (size <= longest + CRC_SIZE)),
            ]
        for k in range(self._link.window):
            with m.If((k - oldest)[: len(oldest)] < waiting):
                m.d.comb += [
                    Assert(parts.lengths.words[k] == lengths[k]),
                    Assert((lengths[k] >= REQUEST.size) & (lengths[k] <= longest)),
                ]
