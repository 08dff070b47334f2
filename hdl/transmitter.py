"""Replies: kept for retransmission, and sent as frames."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.frames import CRC_SIZE, REPLY, LinkSpec

from .cobs import LAST_BYTE, COBSEncoder
from .crc import CRC32C
from .layouts import struct

__all__ = ["SEND", "FrameSender", "Reply", "ReplyTransmitter"]


class Reply(enum.Enum, shape=2):
    """What to send."""

    NEW = 0
    """Keep this reply, with the payload that was written, and send it."""
    AGAIN = 1
    """Send the kept reply of this sequence number."""
    REFUSAL = 2
    """Send this reply, with the expected number as payload, and do not keep it."""


_SEQUENCE = struct(REPLY)["sequence"].shape
SEND = data.StructLayout({"reply": Reply, "command": 8, "status": 8, "expected": _SEQUENCE})
"""A reply to send; ``expected`` is the payload of a ``REFUSAL``."""


class FrameSender(wiring.Component):
    """Append the CRC to a frame and encode it.

    Members
    -------
    i : In(stream), ``data`` and ``last``
        The frame's body. A byte takes nine cycles, as the CRC does.
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
        index = Signal(range(CRC_SIZE))
        m.d.comb += crc.i.payload.eq(self.i.payload.data)
        with m.FSM() as fsm:
            with m.State("body"):
                m.d.comb += [
                    encoder.i.payload.data.eq(self.i.payload.data),
                    encoder.i.valid.eq(self.i.valid & crc.i.ready),
                    crc.i.valid.eq(self.i.valid & encoder.i.ready),
                    self.i.ready.eq(crc.i.ready & encoder.i.ready),
                ]
                with m.If(self.i.valid & self.i.ready & self.i.payload.last):
                    m.next = "crc"
            with m.State("crc"):
                is_end = index == CRC_SIZE - 1
                m.d.comb += [
                    encoder.i.payload.data.eq(crc.crc.word_select(index, 8)),
                    encoder.i.payload.last.eq(is_end),
                    encoder.i.valid.eq(crc.i.ready),
                ]
                with m.If(encoder.i.valid & encoder.i.ready):
                    m.d.sync += index.eq(index + 1)
                    with m.If(is_end):
                        m.d.comb += crc.clear.eq(1)
                        m.next = "body"
        m.d.comb += self.active.eq(
            fsm.ongoing("crc") | self.i.valid | self.o.valid | ~encoder.i.ready
        )
        return m


class ReplyTransmitter(wiring.Component):
    """Keep the last ``window`` replies and send them, one at a time.

    The reply to sequence number s is kept in slot ``s % window`` until that slot's next one. While
    one is being sent the payload of another may be written.

    Parameters
    ----------
    link : LinkSpec

    Members
    -------
    sequence : In
        Of the reply being written, or sent by ``i_send``.
    i : In(stream), 8 bits
        Payload of the reply, at most ``max_payload`` bytes; always ready. Not while ``locked``.
    i_send : In(stream), ``reply``, ``command``, ``status`` and ``expected``
        Ready when nothing is being sent.
    locked : Out(1)
        The slot of ``sequence`` is being sent.
    o : Out(stream), 8 bits
        Bytes for the line.
    active : Out(1)
        A reply is being sent.
    """

    def __init__(self, link: LinkSpec) -> None:
        self._link = link
        super().__init__({
            "sequence": In(_SEQUENCE),
            "i": In(stream.Signature(8)),
            "i_send": In(stream.Signature(SEND)),
            "locked": Out(1),
            "o": Out(stream.Signature(8)),
            "active": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        link = self._link
        m.submodules.sender = sender = FrameSender()
        wiring.connect(m, sender.o, wiring.flipped(self.o))
        length_shape = range(link.max_payload + 1)
        kept_layout = data.StructLayout({"command": 8, "status": 8, "length": length_shape})
        m.submodules.payloads = payloads = Memory(
            shape=8, depth=link.window * link.max_payload, init=[]
        )
        m.submodules.kept = kept = Memory(shape=kept_layout, depth=link.window, init=[])
        payload_w, payload_r = payloads.write_port(), payloads.read_port()
        kept_w, kept_r = kept.write_port(), kept.read_port()
        offset_bits = (link.max_payload - 1).bit_length()
        slot = self.sequence[: (link.window - 1).bit_length()]
        sending = Signal.like(slot)
        header = Signal(struct(REPLY))
        length = Signal(length_shape)
        written = Signal(length_shape)
        expected = Signal(_SEQUENCE)
        is_refusal = Signal()
        request = self.i_send.payload
        index = Signal(length_shape)
        m.d.comb += [
            self.i.ready.eq(1),
            payload_w.en.eq(self.i.valid),
            payload_w.data.eq(self.i.payload),
            payload_w.addr.eq(Cat(written[:offset_bits], slot)),
            payload_r.addr.eq(Cat(index[:offset_bits], sending)),
            kept_w.en.eq(self.i_send.valid & self.i_send.ready & (request.reply == Reply.NEW)),
            kept_w.addr.eq(slot),
            kept_w.data.command.eq(request.command),
            kept_w.data.status.eq(request.status),
            kept_w.data.length.eq(written),
            kept_r.addr.eq(slot),
        ]
        with m.If(self.i.valid):
            m.d.sync += written.eq(written + 1)

        with m.FSM() as fsm:
            with m.State("idle"):
                m.d.comb += self.i_send.ready.eq(1)
                m.d.sync += [
                    sending.eq(slot),
                    index.eq(0),
                    header.sequence.eq(self.sequence),
                    header.command.eq(request.command),
                    header.status.eq(request.status),
                    length.eq(Mux(request.reply == Reply.REFUSAL, len(expected) // 8, written)),
                    expected.eq(request.expected),
                    is_refusal.eq(request.reply == Reply.REFUSAL),
                ]
                with m.If(self.i_send.valid):
                    m.d.sync += written.eq(0)
                    m.next = "header"
                    with m.If(request.reply == Reply.AGAIN):
                        m.next = "recall"
            with m.State("recall"):
                m.d.sync += [
                    header.command.eq(kept_r.data.command),
                    header.status.eq(kept_r.data.status),
                    length.eq(kept_r.data.length),
                ]
                m.next = "header"
            with m.State("header"):
                is_end = index == REPLY.size - 1
                m.d.comb += [
                    sender.i.valid.eq(1),
                    sender.i.payload.data.eq(header.as_value().word_select(index[:3], 8)),
                    sender.i.payload.last.eq(is_end & (length == 0)),
                ]
                with m.If(sender.i.ready):
                    m.d.sync += index.eq(Mux(is_end, 0, index + 1))
                    with m.If(is_end):
                        m.next = "fetch"
            with m.State("fetch"):
                m.next = "stage"
                with m.If(index == length):
                    m.next = "idle"
            with m.State("stage"):
                staged = Signal(8)
                m.d.sync += staged.eq(payload_r.data)
                with m.If(is_refusal):
                    m.d.sync += staged.eq(expected.word_select(index[:2], 8))
                m.d.sync += index.eq(index + 1)
                m.next = "payload"
            with m.State("payload"):
                m.d.comb += [
                    sender.i.valid.eq(1),
                    sender.i.payload.data.eq(staged),
                    sender.i.payload.last.eq(index == length),
                ]
                with m.If(sender.i.ready):
                    m.next = "fetch"
        m.d.comb += [
            self.active.eq(~fsm.ongoing("idle") | sender.active),
            self.locked.eq(~fsm.ongoing("idle") & (sending == slot)),
        ]
        return m
