# amaranth: UnusedElaboratable=no

"""The frame receiver: whatever comes, it stays inside its buffers."""

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import CRC_SIZE, REQUEST, LinkSpec
from spikewright.hdl.receiver import frame_layout

from .blocks import Block, Checker, Inside, free_inputs, moves

__all__ = ["AnyCRC", "BoundsChecker"]


class AnyCRC(wiring.Component):
    """In place of :class:`CRC32C`: ready and satisfied whenever it likes."""

    i: In(stream.Signature(8))
    clear: In(1)
    intact: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [self.i.ready.eq(AnySeq(1)), self.intact.eq(AnySeq(1))]
        return m


class BoundsChecker(Checker):
    """Whatever comes, no byte is written over one of a frame that waits, nor read past a frame.

    That the frame shown is one of those that were queued is the queue's own proof, and assumed.

    Parameters
    ----------
    block : Block
        Of :class:`FrameReceiver`, best with :class:`AnyCRC` for its ``CRC32C``.
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
        depth = self._link.window * self._link.max_payload
        waiting = Signal(range(2 * depth))
        oldest = Signal(range(depth))
        shown = receiver.o_frame
        queued = data.View(frame_layout(self._link), parts.frames.w_data)
        comes = Mux(parts.frames.w_en & parts.frames.w_rdy, queued.length, 0)
        goes = Mux(moves(shown), shown.payload.length, 0)
        m.d.sync += [waiting.eq(waiting + comes - goes), oldest.eq(oldest + goes)]
        write = parts.ring.write_ports[0]
        m.d.comb += [
            Assume(~shown.valid | (shown.payload.length <= waiting)),
            Assert(waiting <= depth),
            Assert(~write.en | ((write.addr - oldest)[: len(oldest)] >= waiting)),
            Assert(~write.en | (waiting < depth)),
        ]
        if self.invariants:
            self._account(m, inside, depth, waiting, oldest)
        return m

    def _take(self, m: Module, inside: Inside) -> None:
        """Take frames and their bytes, in the ways that :class:`FrameReceiver` allows."""
        receiver, frame, byte = self._receiver, self._receiver.o_frame, self._receiver.o
        transfer = moves(byte)
        before, stays = Signal(), Signal()
        shown = Signal.like(frame.payload)
        given, marked = Signal.like(frame.payload.length), Signal.like(frame.payload.length)
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
            m.d.sync += [given.eq(0), marked.eq(0)]
        moves_place = receiver.mark | receiver.rewind
        m.d.comb += [
            Assume(~(transfer & frame.ready)),
            Assume(~(transfer | before | ~frame.valid) | ~moves_place),
            Assert(~stays | (frame.valid & (frame.payload == shown))),
            Assert(~(byte.valid | receiver.end) | frame.valid),
            Assert(~byte.valid | (given < frame.payload.length)),
            Assert(~receiver.end | ((given == frame.payload.length) & ~before)),
        ]
        if self.invariants:
            most = Mux(frame.valid, frame.payload.length, 0)
            m.d.comb += [
                Assert((given <= most) & (given == inside["offset"] + inside["taken"])),
                Assert((marked <= most) & (marked == inside["marked"])),
            ]

    def _account(
        self, m: Module, inside: Inside, depth: int, waiting: Signal, oldest: Signal
    ) -> None:
        """What waits, what the frame being received has taken, and its room are all there is."""
        head, tail, size, room = (inside[name] for name in ("head", "tail", "size", "room"))
        frame = inside["frame"]
        beyond_header = Mux(size > REQUEST.size, size - REQUEST.size, 0)
        length = data.View(frame_layout(self._link), frame).length
        m.d.comb += [
            Assert(oldest == tail[: len(oldest)]),
            Assert((head - tail)[: len(head)] == waiting),
        ]
        with m.If(size != 0):
            m.d.comb += [
                Assert(size <= REQUEST.size + self._link.max_payload + CRC_SIZE + 1),
                Assert(room + beyond_header + waiting <= depth),
                Assert(room + beyond_header >= 0),
                Assert(inside["w_addr"] == (head + beyond_header)[: len(oldest)]),
            ]
        with m.If(inside["finished"] & inside["good"]):
            m.d.comb += Assert((size != 0) & (length + waiting <= depth))
