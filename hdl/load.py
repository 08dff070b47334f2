"""Whether the core holds a whole image, and which."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import ID_SIZE, REQUEST_PAYLOADS, Command

from .crc import CRC32C

__all__ = ["ImageLoad"]


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
        Payload of the COMMIT; ready when ``i_write`` is.
    commit : In(1)
        All of it came: the load ends, and the image is valid if it was ``good``.
    good : Out(1)
        Byte count and CRC of ``i_commit`` are those of ``i_write``.
    loading, valid : Out(1)
    image_id : Out
        The valid image's id.
    """

    begin: In(1)
    abort: In(1)
    i_write: In(stream.Signature(8))
    i_commit: In(stream.Signature(8))
    commit: In(1)
    good: Out(1)
    loading: Out(1)
    valid: Out(1)
    image_id: Out(8 * ID_SIZE)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC32C()
        layout = REQUEST_PAYLOADS[Command.COMMIT]
        widths = {field.name: field.width for field in layout.fields}
        byte_count = Signal(widths["byte_count"])
        position = Signal(range(layout.size))
        values = {"image_id": self.image_id, "byte_count": byte_count, "crc": crc.crc}
        expected = Cat(values[field.name] for field in layout.fields)
        in_id = position < ID_SIZE
        wiring.connect(m, wiring.flipped(self.i_write), crc.i)
        m.d.comb += [crc.clear.eq(self.begin), self.i_commit.ready.eq(crc.i.ready)]

        with m.If(self.i_write.valid & self.i_write.ready):
            m.d.sync += byte_count.eq(byte_count + 1)
        with m.If(self.i_commit.valid & self.i_commit.ready):
            byte = self.i_commit.payload
            m.d.sync += position.eq(position + 1)
            with m.If(in_id):
                m.d.sync += [self.image_id.eq(Cat(self.image_id[8:], byte)), self.good.eq(1)]
            with m.Elif(byte != expected.word_select(position, 8)):
                m.d.sync += self.good.eq(0)
        with m.If(self.commit):
            m.d.sync += self.valid.eq(self.good)
        with m.If(self.commit | self.abort):
            m.d.sync += self.loading.eq(0)
        with m.If(self.begin):
            m.d.sync += [
                self.loading.eq(1),
                self.valid.eq(0),
                byte_count.eq(0),
                position.eq(0),
            ]
        return m
