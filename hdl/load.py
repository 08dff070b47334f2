"""Whether the core holds a whole image, and which."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import CRC_SIZE, ID_SIZE, REQUEST_PAYLOADS, Command

from .crc import CRC32C
from .serial import SerialCounter

__all__ = ["ImageLoad"]

_COMMIT_SIZE = REQUEST_PAYLOADS[Command.COMMIT].size


class ImageLoad(wiring.Component):
    """Follow a load from BEGIN to COMMIT and compare what arrived with what was sent.

    Members
    -------
    begin : In(1)
        The image is invalid and a load begins.
    abort : In(1)
        A load in progress ends.
    i_write : In(stream), 8 bits
        Payloads of all WRITEs.
    i_commit : In(stream), 8 bits
        Payload of the COMMIT.
    commit : In(1)
        All of it came: the load ends, and the image is valid if it was ``good``.
    good : Out(1)
        Byte count and CRC of ``i_commit`` are those of ``i_write``.
    loading, valid : Out(1)
    image_id : Out(8)
        A byte of the valid image's id, at first the lowest; 0 without one.
    turn : In(1)
        Go on to the next byte of it; ``ID_SIZE`` turns lead back to the lowest. Not while loading.
    """

    begin: In(1)
    abort: In(1)
    i_write: In(stream.Signature(8))
    i_commit: In(stream.Signature(8))
    commit: In(1)
    good: Out(1)
    loading: Out(1)
    valid: Out(1)
    image_id: Out(8)
    turn: In(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC32C()
        byte_count = SerialCounter()
        m.submodules.byte_count = ResetInserter(self.begin)(byte_count)
        image_id = Signal(8 * ID_SIZE)
        position = Signal(range(_COMMIT_SIZE))
        is_counted = Signal()
        in_id, in_crc = position < ID_SIZE, position >= _COMMIT_SIZE - CRC_SIZE
        in_count = ~in_id & ~in_crc
        byte = self.i_commit.payload
        written = self.i_write.valid & self.i_write.ready
        told = self.i_commit.valid & self.i_commit.ready
        m.d.comb += [
            crc.clear.eq(self.begin),
            crc.i.payload.eq(Mux(self.i_commit.valid, byte, self.i_write.payload)),
            crc.i.valid.eq(self.i_write.valid | (self.i_commit.valid & in_crc)),
            self.i_write.ready.eq(crc.i.ready),
            self.i_commit.ready.eq(crc.i.ready | ~in_crc),
            byte_count.count.eq(written),
            byte_count.turn.eq(told & in_count),
            self.good.eq(is_counted & crc.intact),
            self.image_id.eq(Mux(self.valid, image_id[:8], 0)),
        ]
        with m.If(self.turn | (told & in_id)):
            m.d.sync += image_id.eq(Cat(image_id[8:], Mux(self.turn, image_id[:8], byte)))
        with m.If(told):
            m.d.sync += position.eq(position + 1)
            with m.If(in_count & (byte != byte_count.byte)):
                m.d.sync += is_counted.eq(0)
        with m.If(self.commit):
            m.d.sync += self.valid.eq(self.good)
        with m.If(self.commit | self.abort):
            m.d.sync += self.loading.eq(0)
        with m.If(self.begin):
            m.d.sync += [
                self.loading.eq(1),
                self.valid.eq(0),
                position.eq(0),
                is_counted.eq(1),
            ]
        return m
