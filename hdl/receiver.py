"""Whole, undamaged requests out of the bytes of a line."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory, ReadPort, WritePort
from amaranth.lib.wiring import In, Out

from spikewright.frames import CRC_SIZE, REQUEST, LinkSpec

from .cobs import COBSDecoder
from .crc import CRC32C
from .uart import RECEIVED_BYTE

__all__ = ["FrameReceiver", "frame_length"]


def frame_length(link: LinkSpec) -> range:
    """Bytes that a request can have: header and payload."""
    return range(REQUEST.size + link.max_payload + 1)


class FrameReceiver(wiring.Component):
    """Decode and check frames; buffer those that are whole until they are taken.

    Frames stand in ``window`` slots of ``2 * max_payload`` bytes, one behind the other. A frame
    shows only once its end has come and its length and CRC were right. Otherwise its bytes are
    overwritten by those of the next.

    Parameters
    ----------
    link : LinkSpec

    Members
    -------
    i : In(stream), ``data`` and ``error``
        Bytes from the line. Ready within nine cycles.
    o_frame : Out(stream)
        Length of the oldest frame in bytes: header and payload. When it is taken what is left of
        its bytes is withdrawn. Not in the cycle of a transfer on ``o``.
    o : Out(stream), 8 bits
        Header and payload of the frame in ``o_frame``, byte by byte, one in four cycles.
    end : Out(1)
        ``o`` has no more bytes; told when the next byte would come.
    mark : In(1)
        Remember how many bytes of ``o`` were taken (at first: the header). Only while a frame is
        shown; not in the cycle of a transfer on ``o`` nor in the next.
    rewind : In(1)
        Go back to there; a byte offered on ``o`` is withdrawn. Not when ``mark`` may not be.
    error : Out(1)
        A pulse for each frame dropped: damaged, too long, too short, or no slot for it.
    active : Out(1)
        A byte is being worked on, or frames wait.
    """

    def __init__(self, link: LinkSpec) -> None:
        self._link = link
        super().__init__({
            "i": In(stream.Signature(RECEIVED_BYTE)),
            "o_frame": Out(stream.Signature(frame_length(link))),
            "o": Out(stream.Signature(8)),
            "end": Out(1),
            "mark": In(1),
            "rewind": In(1),
            "error": Out(1),
            "active": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        window, place = self._link.window, range(2 * self._link.max_payload)
        m.submodules.slots = slots = Memory(shape=8, depth=window * len(place), init=[])
        m.submodules.lengths = lengths = Memory(
            shape=frame_length(self._link), depth=window, init=[]
        )
        # Slots count modulo twice their number, to tell all full from all empty.
        head = Signal(range(2 * window))
        tail = Signal(range(2 * window))
        size = Signal(place)
        offset = Signal(place)
        finished, good = self._receive(m, slots.write_port(), size, head, tail)
        w_port, r_port = lengths.write_port(), lengths.read_port()
        m.d.comb += [
            w_port.addr.eq(head),
            w_port.data.eq(size - CRC_SIZE),
            w_port.en.eq(finished & good),
            r_port.addr.eq(tail),
            self.o_frame.payload.eq(r_port.data),
            self.error.eq(finished & ~good),
            self.active.eq(self.i.valid | finished | (head != tail)),
        ]
        with m.If(finished & good):
            m.d.sync += head.eq(head + 1)
        with m.If(~self.o_frame.valid):
            m.d.sync += self.o_frame.valid.eq(head != tail)
        with m.Elif(self.o_frame.ready):
            m.d.sync += [self.o_frame.valid.eq(0), tail.eq(tail + 1)]
        self._present(m, slots.read_port(), offset, tail)
        return m

    def _receive(
        self, m: Module, port: WritePort, size: Signal, head: Signal, tail: Signal
    ) -> tuple[Signal, Signal]:
        """Write a frame to the slot at `head`; whether it has ended, and is good."""
        m.submodules.decoder = decoder = COBSDecoder()
        m.submodules.crc = crc = CRC32C()
        wiring.connect(m, wiring.flipped(self.i), decoder.i)
        byte = decoder.o.payload
        shortest = REQUEST.size + CRC_SIZE
        longest = shortest + self._link.max_payload
        finished = Signal()
        good = Signal()
        had_slot = Signal()
        has_slot = Signal()
        m.d.comb += [
            crc.i.payload.eq(byte.data),
            crc.i.valid.eq(decoder.o.valid & ~byte.end & ~finished),
            crc.clear.eq(finished),
            decoder.o.ready.eq((crc.i.ready | byte.end) & ~finished),
            # One that is free as the frame begins is free until it ends.
            has_slot.eq(Mux(size == 0, head ^ tail != self._link.window, had_slot)),
            port.addr.eq(Cat(size, head[:-1])),
            port.data.eq(byte.data),
            port.en.eq(crc.i.valid & crc.i.ready & has_slot),
        ]
        m.d.sync += [had_slot.eq(has_slot), finished.eq(0)]
        with m.If(crc.i.valid & crc.i.ready & ~size.all()):
            m.d.sync += size.eq(size + 1)
        with m.If(decoder.o.valid & decoder.o.ready & byte.end):
            m.d.sync += [
                finished.eq(1),
                good.eq(
                    ~byte.error & crc.intact & has_slot & (size >= shortest) & (size <= longest)
                ),
            ]
        with m.If(finished):
            m.d.sync += size.eq(0)
        return finished, good

    def _present(self, m: Module, port: ReadPort, offset: Signal, tail: Signal) -> None:
        """Show the bytes of the slot at `tail`, which pass the memory and a register."""
        frame = self.o_frame
        marked = Signal.like(offset, init=REQUEST.size)
        settled = Signal()
        taken = Signal()
        moved = Signal()
        is_end = Signal()
        m.d.comb += [
            is_end.eq(offset == frame.payload),
            moved.eq(taken | self.rewind | ~frame.valid | frame.ready),
            port.addr.eq(Cat(offset, tail[:-1])),
        ]
        # Whoever takes a byte decides late in the cycle: only two flip-flops hang on that.
        m.d.sync += taken.eq(self.o.valid & self.o.ready)
        with m.If(taken):
            m.d.sync += offset.eq(offset + 1)
        m.d.sync += settled.eq(~moved)
        with m.If(moved | (self.o.valid & self.o.ready)):
            m.d.sync += [self.o.valid.eq(0), self.end.eq(0)]
        with m.Elif(settled):
            m.d.sync += [self.o.valid.eq(~is_end), self.end.eq(is_end)]
        with m.If(settled):
            m.d.sync += self.o.payload.eq(port.data)
        with m.If(self.mark):
            m.d.sync += marked.eq(offset)
        with m.If(self.rewind):
            m.d.sync += offset.eq(marked)
        with m.If(frame.valid & frame.ready):
            m.d.sync += [offset.eq(0), marked.eq(marked.init)]
