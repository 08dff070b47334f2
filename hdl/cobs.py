"""Consistent Overhead Byte Stuffing: frames as bytes without zeros, each ended by a zero.

Source: Cheshire and Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM ToN 7 (1999), section 3.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .uart import RECEIVED_BYTE

__all__ = ["DECODED", "LAST_BYTE", "COBSDecoder", "COBSEncoder"]

DECODED = data.StructLayout({"data": 8, "end": 1, "error": 1})
"""A byte of a frame, or where it ends (``end``; then ``error`` if it was damaged)."""

LAST_BYTE = data.StructLayout({"data": 8, "last": 1})
"""A byte of a frame; ``last`` is its last."""

_LONGEST = 0xFF
"""Code of a block of 254 bytes that no zero follows."""


class COBSDecoder(wiring.Component):
    """Decode bytes from the line into frames.

    Whatever came before, a zero ends it, and the next byte starts a frame. Frames without bytes
    are passed over. Combinational from ``i`` to ``o``; stalls only when ``o`` does.

    Members
    -------
    i : In(stream), ``data`` and ``error``
        Bytes from the line.
    o : Out(stream), ``data``, ``end`` and ``error``
        The frame's bytes, then one transfer with ``end``. It has ``error`` if a byte had, or if
        the zero came inside a block.
    """

    i: In(stream.Signature(RECEIVED_BYTE))
    o: Out(stream.Signature(DECODED))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(8, init=1)  # bytes of the block, its code included
        zero_due = Signal()
        inside = Signal()
        bad = Signal()
        is_code = Signal()
        byte = self.i.payload

        def forward(*fields):
            m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready), *fields]

        m.d.comb += [self.i.ready.eq(1), is_code.eq(left == 1)]
        with m.If(byte.error):
            pass
        with m.Elif(byte.data == 0), m.If(inside):
            forward(self.o.payload.end.eq(1), self.o.payload.error.eq(bad | ~is_code))
        with m.Elif(~is_code):
            forward(self.o.payload.data.eq(byte.data))
        with m.Elif(zero_due):
            forward(self.o.payload.data.eq(0))

        with m.If(self.i.valid & self.i.ready):
            with m.If(byte.error):
                m.d.sync += [bad.eq(1), inside.eq(1)]
            with m.Elif(byte.data == 0):
                m.d.sync += [bad.eq(0), inside.eq(0), left.eq(1), zero_due.eq(0)]
            with m.Elif(~is_code):
                m.d.sync += left.eq(left - 1)
            with m.Else():
                m.d.sync += [
                    inside.eq(1),
                    left.eq(byte.data),
                    zero_due.eq(byte.data != _LONGEST),
                ]
        return m


class COBSEncoder(wiring.Component):
    """Encode frames into bytes for the line, the zero that ends each included.

    A block is staged in a memory until its length is known, then sent: a byte takes two cycles.

    Members
    -------
    i : In(stream), ``data`` and ``last``
        A frame's bytes, at least one. Not ready while a block is being sent.
    o : Out(stream), 8 bits
    """

    i: In(stream.Signature(LAST_BYTE))
    o: Out(stream.Signature(8))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.block = block = Memory(
            shape=8, depth=256, init=[], attrs={"ram_style": "block"}
        )
        w_port = block.write_port()
        r_port = block.read_port()
        length = Signal(8)
        index = Signal(8)
        final = Signal()
        another = Signal()
        is_zero = Signal()
        m.d.comb += [
            is_zero.eq(self.i.payload.data == 0),
            w_port.addr.eq(length),
            w_port.data.eq(self.i.payload.data),
            w_port.en.eq(self.i.valid & self.i.ready),
            r_port.addr.eq(index),
        ]
        with m.FSM() as fsm:
            with m.State("stage"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += index.eq(0)
                with m.If(self.i.valid):
                    m.d.sync += [
                        final.eq(self.i.payload.last),
                        # A zero at the end of the frame leaves an empty block behind it.
                        another.eq(self.i.payload.last & is_zero),
                        length.eq(Mux(is_zero, length, length + 1)),
                    ]
                    with m.If(is_zero | self.i.payload.last | (length == _LONGEST - 2)):
                        m.next = "code"
            with m.State("code"):
                m.d.comb += self.o.valid.eq(1)
                m.d.comb += self.o.payload.eq(length + 1)
                with m.If(self.o.ready):
                    m.next = "fetch"
            with m.State("fetch"):
                m.d.sync += index.eq(index + 1)
                m.next = "copy"
                with m.If(index == length):
                    m.d.sync += [length.eq(0), index.eq(0), another.eq(0)]
                    with m.If(another):
                        m.next = "code"
                    with m.Elif(final):
                        m.next = "end"
                    with m.Else():
                        m.next = "stage"
            with m.State("copy"):
                m.d.comb += self.o.valid.eq(1)
                m.d.comb += self.o.payload.eq(r_port.data)
                with m.If(self.o.ready):
                    m.next = "fetch"
            with m.State("end"):
                m.d.comb += self.o.valid.eq(1)
                m.d.comb += self.o.payload.eq(0)
                with m.If(self.o.ready):
                    m.next = "stage"
        m.d.comb += r_port.en.eq(fsm.ongoing("fetch"))
        return m
