"""Replies: kept for retransmission, and sent as frames."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.frames import CRC_SIZE, REPLY, LinkSpec

from .cobs import LAST_BYTE, COBSEncoder
from .crc import CRC32C

__all__ = ["FrameSender", "Reply", "ReplyTransmitter"]

_REFUSAL_SIZE = 16
"""Bytes at the end of a slot for a refusal, at least; a power of two."""


class Reply(enum.Enum, shape=2):
    """What to send."""

    NEW = 0
    """The reply that was written; it is kept."""
    AGAIN = 1
    """The one that was kept."""
    REFUSAL = 2
    """The one that was written; it is not kept."""


class FrameSender(wiring.Component):
    """Append the CRC to a frame and encode it.

    Members
    -------
    i : In(stream), ``data`` and ``last``
        The frame's body. A byte takes eight cycles, as the CRC does.
    o : Out(stream), 8 bits
        Bytes for the line, the delimiter included.
    active : Out(1)
        A frame is on its way.
    """

    i: In(stream.Signature(LAST_BYTE))
    o: Out(stream.Signature(8))
    active: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC32C()
        m.submodules.encoder = encoder = COBSEncoder()
        wiring.connect(m, encoder.o, wiring.flipped(self.o))
        left = Signal(range(CRC_SIZE))
        m.d.comb += [
            crc.i.payload.eq(self.i.payload.data),
            encoder.i.payload.data.eq(self.i.payload.data),
        ]
        with m.FSM() as fsm:
            with m.State("body"):
                m.d.comb += [
                    crc.i.valid.eq(self.i.valid & encoder.i.ready),
                    encoder.i.valid.eq(self.i.valid & crc.i.ready),
                    self.i.ready.eq(crc.i.ready & encoder.i.ready),
                ]
                m.d.sync += left.eq(CRC_SIZE - 1)
                with m.If(self.i.valid & self.i.ready & self.i.payload.last):
                    m.next = "crc"
            with m.State("crc"):
                m.d.comb += [
                    encoder.i.payload.data.eq(crc.crc[:8]),
                    encoder.i.payload.last.eq(left == 0),
                    encoder.i.valid.eq(1),
                ]
                with m.If(encoder.i.ready):
                    m.next = "drain"
            with m.State("drain"):
                m.d.comb += [crc.i.valid.eq(1), crc.drain.eq(1)]
                with m.If(crc.i.ready):
                    m.d.sync += left.eq(left - 1)
                    m.next = "crc"
                    with m.If(left == 0):
                        m.d.comb += crc.clear.eq(1)
                        m.next = "body"
        m.d.comb += self.active.eq(
            ~fsm.ongoing("body") | self.i.valid | self.o.valid | ~encoder.i.ready
        )
        return m


class ReplyTransmitter(wiring.Component):
    """Keep the last ``window`` replies and send them, one at a time.

    Replies are kept in ``window`` slots of ``2 * max_payload`` bytes, that to sequence number s in
    slot ``s % window`` until that slot's next one. Refusals have the end of a slot. While one reply
    is being sent another may be written.

    Parameters
    ----------
    link : LinkSpec

    Members
    -------
    slot : In
        Of the reply being written, or sent by ``i_send``.
    i : In(stream), 8 bits
        A reply, header and payload, whole before ``i_send``; always ready. Not while ``locked``; a
        refusal only when ``i_send`` is ready.
    i_send : In(stream)
        :class:`Reply`, told from the first byte on. Ready when nothing is being sent.
    locked : Out(1)
        The slot is being sent.
    o : Out(stream), 8 bits
        Bytes for the line.
    active : Out(1)
        A reply is being sent.
    """

    def __init__(self, link: LinkSpec) -> None:
        self._link = link
        super().__init__({
            "slot": In(range(link.window)),
            "i": In(stream.Signature(8)),
            "i_send": In(stream.Signature(Reply)),
            "locked": Out(1),
            "o": Out(stream.Signature(8)),
            "active": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        link = self._link
        slot_size = 2 * link.max_payload
        length_shape = range(REPLY.size + link.max_payload + 1)
        m.submodules.sender = sender = FrameSender()
        m.submodules.slots = slots = Memory(shape=8, depth=link.window * slot_size, init=[])
        m.submodules.lengths = lengths = Memory(shape=length_shape, depth=link.window, init=[])
        w_port, r_port = slots.write_port(), slots.read_port()
        w_length, r_length = lengths.write_port(), lengths.read_port()
        sending = Signal.like(self.slot)
        is_refusal = Signal()
        written = Signal(length_shape)
        index = Signal(length_shape)
        length = Signal(length_shape)
        byte = Signal(8)
        refuses = self.i_send.payload == Reply.REFUSAL

        def address(slot, offset, is_refusal):
            place = offset | Mux(is_refusal, slot_size - _REFUSAL_SIZE, 0)
            return Cat(place[: (slot_size - 1).bit_length()], slot)

        wiring.connect(m, sender.o, wiring.flipped(self.o))
        m.d.comb += [
            self.i.ready.eq(1),
            w_length.en.eq(
                self.i_send.valid & self.i_send.ready & (self.i_send.payload == Reply.NEW)
            ),
            w_length.addr.eq(self.slot),
            w_length.data.eq(written),
            r_length.addr.eq(self.slot),
            r_port.addr.eq(address(sending, index, is_refusal)),
            sender.i.payload.data.eq(byte),
            sender.i.payload.last.eq(index == length),
        ]
        # What a byte is made of comes a long way: it is written a cycle later, and read no sooner.
        m.d.sync += [
            w_port.en.eq(self.i.valid),
            w_port.data.eq(self.i.payload),
            w_port.addr.eq(address(self.slot, written, refuses)),
        ]
        with m.If(self.i.valid):
            m.d.sync += written.eq(written + 1)
        with m.FSM() as fsm:
            with m.State("idle"):
                m.d.comb += self.i_send.ready.eq(1)
                m.d.sync += [
                    sending.eq(self.slot),
                    is_refusal.eq(refuses),
                    index.eq(0),
                    length.eq(written),
                ]
                with m.If(self.i_send.valid):
                    m.d.sync += written.eq(0)
                    m.next = "fetch"
                    with m.If(self.i_send.payload == Reply.AGAIN):
                        m.next = "recall"
            with m.State("recall"):
                m.d.sync += length.eq(r_length.data)
                m.next = "fetch"
            with m.State("fetch"):
                m.d.sync += index.eq(index + 1)
                m.next = "load"
            with m.State("load"):
                # A block RAM's output comes late in its cycle.
                m.d.sync += byte.eq(r_port.data)
                m.next = "byte"
            with m.State("byte"):
                m.d.comb += sender.i.valid.eq(1)
                with m.If(sender.i.ready):
                    m.next = "fetch"
                    with m.If(sender.i.payload.last):
                        m.next = "idle"
        m.d.comb += [
            r_port.en.eq(fsm.ongoing("fetch")),
            self.active.eq(~fsm.ongoing("idle") | sender.active),
            self.locked.eq(~fsm.ongoing("idle") & (sending == self.slot)),
        ]
        return m
