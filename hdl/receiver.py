"""Whole, undamaged requests out of the bytes of a line."""

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.memory import Memory, ReadPort, WritePort
from amaranth.lib.wiring import In, Out

from spikewright.frames import CRC_SIZE, REQUEST, LinkSpec

from .cobs import COBSDecoder
from .crc import CRC32C
from .layouts import struct
from .uart import RECEIVED_BYTE

__all__ = ["FrameReceiver", "frame_layout"]


def frame_layout(link: LinkSpec) -> data.StructLayout:
    """A request without its payload: header, and the payload's ``length`` in bytes."""
    return data.StructLayout({**struct(REQUEST).members, "length": range(link.max_payload + 1)})


class FrameReceiver(wiring.Component):
    """Decode and check frames; buffer those that are whole until they are taken.

    Payloads stand in a ring of ``window * max_payload`` bytes, frames in a queue of ``window``. A
    frame shows only once its end has come and its length and CRC were right. Otherwise its bytes
    are overwritten by those of the next.

    Parameters
    ----------
    link : LinkSpec

    Members
    -------
    i : In(stream), ``data`` and ``error``
        Bytes from the line. Ready within nine cycles.
    o_frame : Out(stream), ``sequence``, ``command`` and ``length``
        The oldest frame. When it is taken what is left of its payload is withdrawn. Not in the
        cycle of a transfer on ``o``.
    o : Out(stream), 8 bits
        Payload of the frame in ``o_frame``, byte by byte, one in four cycles.
    end : Out(1)
        ``o`` has no more bytes; told when the next byte would come.
    mark : In(1)
        Remember how many bytes of ``o`` were taken (at first: none). Only while a frame is shown;
        not in the cycle of a transfer on ``o`` nor in the next.
    rewind : In(1)
        Go back to there; a byte offered on ``o`` is withdrawn. Not when ``mark`` may not be.
    error : Out(1)
        A pulse for each frame dropped: damaged, too long, too short, or no room for it.
    active : Out(1)
        A byte is being worked on, or frames wait.
    """

    def __init__(self, link: LinkSpec) -> None:
        self._link = link
        super().__init__({
            "i": In(stream.Signature(RECEIVED_BYTE)),
            "o_frame": Out(stream.Signature(frame_layout(link))),
            "o": Out(stream.Signature(8)),
            "end": Out(1),
            "mark": In(1),
            "rewind": In(1),
            "error": Out(1),
            "active": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        link = self._link
        depth = link.window * link.max_payload
        m.submodules.ring = ring = Memory(shape=8, depth=depth, init=[])
        m.submodules.frames = frames = SyncFIFOBuffered(
            width=frame_layout(link).size, depth=link.window
        )
        # Positions count modulo twice the depth, to tell a full ring from an empty one.
        head = Signal(range(2 * depth))
        tail = Signal(range(2 * depth))
        self._receive(m, ring.write_port(), frames, head, tail)
        self._present(m, ring.read_port(), frames, tail)
        return m

    def _receive(
        self,
        m: Module,
        w_port: WritePort,
        frames: SyncFIFOBuffered,
        head: Signal,
        tail: Signal,
    ) -> None:
        """Write payloads from `head` on, and move it on only for a good frame."""
        header = REQUEST.size
        longest = header + self._link.max_payload + CRC_SIZE
        finished = Signal()
        decoder, crc = self._decode(m, finished)
        frame = Signal(frame_layout(self._link))
        size = Signal(range(longest + 2))
        in_order = Signal()
        good = Signal()
        byte = decoder.o.payload
        taken = decoder.o.valid & decoder.o.ready
        begin = taken & (size == 0)
        more = taken & ~byte.end & (size >= header) & (size <= longest)
        room = self._write(m, w_port, byte.data, begin, more, head, tail)
        m.d.comb += [
            frames.w_data.eq(frame),
            self.active.eq(
                self.i.valid | ~crc.i.ready | finished | (frames.level != 0) | self.o_frame.valid
            ),
            # The CRC needs no place: the frame fits if all but CRC_SIZE bytes found room.
            in_order.eq((size >= header + CRC_SIZE) & (size <= longest) & (room >= -CRC_SIZE)),
        ]
        m.d.sync += finished.eq(0)
        with m.If(taken):
            with m.If(byte.end):
                m.d.sync += [
                    finished.eq(1),
                    good.eq(~byte.error & crc.intact & in_order & frames.w_rdy),
                    frame.length.eq(size - (header + CRC_SIZE)),
                ]
            with m.Elif(size <= longest):
                m.d.sync += size.eq(size + 1)
            for k in range(header):
                with m.If(~byte.end & (size == k)):
                    m.d.sync += frame.as_value().word_select(k, 8).eq(byte.data)
        with m.If(finished):
            m.d.sync += size.eq(0)
            m.d.comb += [frames.w_en.eq(good), self.error.eq(~good)]
            with m.If(good):
                m.d.sync += head.eq(head + frame.length)

    def _decode(self, m: Module, clear: Signal) -> tuple[COBSDecoder, CRC32C]:
        """Bytes of frames and the CRC over them; they wait for the CRC, and while it is cleared."""
        m.submodules.decoder = decoder = COBSDecoder()
        m.submodules.crc = crc = CRC32C()
        wiring.connect(m, wiring.flipped(self.i), decoder.i)
        byte = decoder.o.payload
        m.d.comb += [
            decoder.o.ready.eq(crc.i.ready & ~clear),
            crc.i.payload.eq(byte.data),
            crc.i.valid.eq(decoder.o.valid & ~byte.end & ~clear),
            crc.clear.eq(clear),
        ]
        return decoder, crc

    def _write(
        self,
        m: Module,
        port: WritePort,
        byte: Value,
        begin: Value,
        more: Value,
        head: Signal,
        tail: Signal,
    ) -> Signal:
        """Write bytes from `head` on while there is room; return it, negative for those without."""
        depth = self._link.window * self._link.max_payload
        w_addr = Signal(range(depth))
        room = Signal(signed(depth.bit_length() + 1))
        m.d.comb += [port.addr.eq(w_addr), port.data.eq(byte), port.en.eq(more & (room > 0))]
        with m.If(begin):
            m.d.sync += [room.eq(depth - (head - tail)[: len(head)]), w_addr.eq(head)]
        with m.Elif(more):
            m.d.sync += [w_addr.eq(w_addr + 1), room.eq(room - 1)]
        return room

    def _present(self, m: Module, r_port: ReadPort, frames: SyncFIFOBuffered, tail: Signal) -> None:
        """Show the oldest frame and its bytes, which pass the memory and a register."""
        frame = self.o_frame
        offset = Signal(range(self._link.max_payload + 1))
        marked = Signal.like(offset)
        settled = Signal()
        taken = Signal()
        moved = Signal()
        is_end = Signal()
        m.d.comb += [
            frames.r_en.eq(~frame.valid),
            is_end.eq(offset == frame.payload.length),
            moved.eq(taken | self.rewind | ~frame.valid | frame.ready),
            r_port.addr.eq(tail + offset),
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
            m.d.sync += self.o.payload.eq(r_port.data)
        with m.If(self.mark):
            m.d.sync += marked.eq(offset)
        with m.If(self.rewind):
            m.d.sync += offset.eq(marked)

        with m.If(~frame.valid):
            m.d.sync += [frame.valid.eq(frames.r_rdy), frame.payload.eq(frames.r_data)]
        with m.Elif(frame.ready):
            m.d.sync += [
                frame.valid.eq(0),
                tail.eq(tail + frame.payload.length),
                offset.eq(0),
                marked.eq(0),
            ]
