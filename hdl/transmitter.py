"""Replies: kept for retransmission, and sent as frames."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.frames import CRC_SIZE, REPLY, LinkSpec

from .cobs import COBSEncoder
from .crc import CRC32C
from .layouts import struct

__all__ = ["SEND", "Reply", "ReplyTransmitter"]


class Reply(enum.Enum, shape=2):
    """What to send."""

    NEW = 0
    """Keep this reply, with the payload that was written, and send it."""
    AGAIN = 1
    """Send the kept reply of this sequence number."""
    REFUSAL = 2
    """Send this reply, with one byte of payload, and do not keep it."""


SEND = data.StructLayout({"reply": Reply, "command": 8, "status": 8, "refusal": 8})
"""A reply to send; ``refusal`` is the one byte of payload of a ``REFUSAL``."""


class ReplyTransmitter(wiring.Component):
    """Keep the last ``window`` replies and send them, one at a time.

    The reply to sequence number s is kept in slot ``s % window`` until that slot's next one. While
    one is being sent the payload of another may be written.

    Parameters
    ----------
    link : LinkSpec

    Members
    -------
    sequence : In(8)
        Of the reply being written, or sent by ``i_send``.
    i : In(stream), 8 bits
        Payload of the reply, at most ``max_payload`` bytes; always ready. Not while ``locked``.
    i_send : In(stream), ``reply``, ``command``, ``status`` and ``refusal``
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
            "sequence": In(8),
            "i": In(stream.Signature(8)),
            "i_send": In(stream.Signature(SEND)),
            "locked": Out(1),
            "o": Out(stream.Signature(8)),
            "active": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        link = self._link
        m.submodules.crc = crc = CRC32C()
        m.submodules.encoder = encoder = COBSEncoder()
        wiring.connect(m, encoder.o, wiring.flipped(self.o))
        length_shape = range(link.max_payload + 1)
        kept_layout = data.StructLayout({"command": 8, "status": 8, "length": length_shape})
        m.submodules.payloads = payloads = Memory(
            shape=8, depth=link.window * link.max_payload, init=[]
        )
        m.submodules.kept = kept = Memory(shape=kept_layout, depth=link.window, init=[])
        payload_w, payload_r = payloads.write_port(), payloads.read_port()
        kept_w, kept_r = kept.write_port(), kept.read_port()

        slot = self.sequence[: (link.window - 1).bit_length()]
        sending = Signal.like(slot)
        header = Signal(struct(REPLY))
        length = Signal(length_shape)
        written = Signal(length_shape)
        refusal = Signal(8)
        is_refusal = Signal()
        request = self.i_send.payload
        m.d.comb += [
            self.i.ready.eq(1),
            payload_w.en.eq(self.i.valid),
            payload_w.data.eq(self.i.payload),
            payload_w.addr.eq(Cat(written[: (link.max_payload - 1).bit_length()], slot)),
            kept_w.en.eq(self.i_send.valid & self.i_send.ready & (request.reply == Reply.NEW)),
            kept_w.addr.eq(slot),
            kept_w.data.command.eq(request.command),
            kept_w.data.status.eq(request.status),
            kept_w.data.length.eq(written),
            kept_r.addr.eq(slot),
        ]
        with m.If(self.i.valid):
            m.d.sync += written.eq(written + 1)

        index = Signal(length_shape)
        byte = Signal(8)
        staged = Signal(8)
        send = Signal()
        sent = Signal()
        m.d.comb += [
            encoder.i.payload.data.eq(byte),
            crc.i.payload.eq(byte),
            encoder.i.valid.eq(send & crc.i.ready),
            sent.eq(encoder.i.valid & encoder.i.ready),
            crc.i.valid.eq(sent),
            payload_r.addr.eq(Cat(index[: (link.max_payload - 1).bit_length()], sending)),
        ]
        with m.If(sent):
            m.d.sync += index.eq(index + 1)
        with m.FSM() as fsm:
            with m.State("idle"):
                m.d.comb += [self.i_send.ready.eq(1), crc.clear.eq(1)]
                m.d.sync += [
                    sending.eq(slot),
                    index.eq(0),
                    header.sequence.eq(self.sequence),
                    header.command.eq(request.command),
                    header.status.eq(request.status),
                    length.eq(Mux(request.reply == Reply.REFUSAL, 1, written)),
                    refusal.eq(request.refusal),
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
                m.d.comb += [send.eq(1), byte.eq(header.as_value().word_select(index[:2], 8))]
                with m.If(sent & (index == REPLY.size - 1)):
                    m.d.sync += index.eq(0)
                    m.next = "payload"
            with m.State("payload"):
                # One cycle for the memory.
                m.next = "stage"
                with m.If(index == length):
                    m.d.sync += index.eq(0)
                    m.next = "crc"
            with m.State("stage"):
                m.d.sync += staged.eq(Mux(is_refusal, refusal, payload_r.data))
                m.next = "send"
            with m.State("send"):
                m.d.comb += [send.eq(1), byte.eq(staged)]
                with m.If(sent):
                    m.next = "payload"
            with m.State("crc"):
                last = index == CRC_SIZE - 1
                m.d.comb += [
                    send.eq(1),
                    byte.eq(crc.crc.word_select(index[:2], 8)),
                    encoder.i.payload.last.eq(last),
                    # The CRC must stand still while it is sent.
                    crc.i.valid.eq(0),
                ]
                with m.If(sent & last):
                    m.next = "idle"
        m.d.comb += [
            self.active.eq(~fsm.ongoing("idle") | self.o.valid | ~encoder.i.ready),
            self.locked.eq(~fsm.ongoing("idle") & (sending == slot)),
        ]
        return m
