# amaranth: UnusedElaboratable=no

"""The CRC: that of its definition."""

from amaranth.hdl import Assert, Assume, C, Cat, Module, Mux, Signal, Value

from spikewright.frames import CRC_SIZE

from .blocks import Block, Checker, Inside, free, free_inputs, moves

__all__ = ["CRCChecker", "TrailerChecker"]

_GENERATOR = 0x1EDC6F41
"""CRC-32C's polynomial without its highest term. Source: RFC 3720 (iSCSI), section 12.1."""


def _divide(remainder: Value, data: Value) -> Value:
    """Go on with the long division of the definition, a bit a step, lowest bit first."""
    for bit in data:
        feedback = remainder[-1] ^ bit
        remainder = Cat(0, remainder[:-1]) ^ Mux(feedback, _GENERATOR, 0)
    return remainder


def _crc(remainder: Value) -> Value:
    """What is sent of a remainder: complemented, highest term first."""
    return ~remainder[::-1]


class CRCChecker(Checker):
    """Compare ``crc`` with long division, between bytes.

    The definition divides the message's polynomial, beginning at all ones. The block works on the
    mirror image, a bit a cycle; the checker takes a whole byte in the cycle in which the block
    does. Draining shows the CRC's bytes, one after the other.

    Parameters
    ----------
    block : Block
        Of :class:`CRC32C`.
    """

    def __init__(self, block: Block) -> None:
        self._crc = block.load()()
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = self.begin()
        crc = self._crc
        inside = Inside(crc)
        m.submodules.crc = inside.fragment
        free_inputs(m, crc)
        remainder = Signal(32, init=-1)
        drained = Signal(range(6))
        shown = Cat(_crc(remainder), C(-1, 40))
        is_begun, byte, drains = Signal(), Signal(8), Signal()
        m.d.sync += [
            is_begun.eq(crc.i.valid & ~crc.i.ready & ~crc.clear),
            byte.eq(crc.i.payload),
            drains.eq(crc.drain),
        ]
        with m.If(crc.clear):
            m.d.sync += [remainder.eq(remainder.init), drained.eq(0)]
        with m.Elif(moves(crc.i) & crc.drain):
            m.d.sync += drained.eq(drained + 1)
        with m.Elif(moves(crc.i)):
            m.d.sync += remainder.eq(_divide(remainder, crc.i.payload))
        offered = crc.i.valid & (crc.i.payload == byte) & (crc.drain == drains)
        m.d.comb += [
            Assume(~is_begun | offered),
            Assume(~crc.i.valid | crc.drain | (drained == 0)),
            Assume(~crc.i.valid | (drained != CRC_SIZE)),
            Assert(drained <= CRC_SIZE),
        ]
        with m.If(~is_begun):
            m.d.comb += Assert(crc.crc == shown.bit_select(8 * drained, 32))
        if self.invariants:
            m.d.comb += Assert(is_begun == (inside["bit"] != 0))
            for bit in range(1, 8):
                with m.If((inside["bit"] == bit) & ~drains):
                    m.d.comb += Assert(crc.crc == _crc(_divide(remainder, byte[:bit])))
                with m.If((inside["bit"] == bit) & drains):
                    m.d.comb += Assert(crc.crc == shown.bit_select(8 * drained + bit, 32))
        with m.If(is_begun & ~drains):
            m.d.comb += Assert(drained == 0)
        with m.If(is_begun):
            m.d.comb += Assert(drained != CRC_SIZE)
        return m


class TrailerChecker(Checker):
    """After any message and any four bytes, ``intact`` says whether these are its CRC.

    The division goes on a byte a cycle, beside the block: that ``crc`` is right is proved by
    :class:`CRCChecker`, so all that counts here is what ``intact`` says of a ``crc``.

    Parameters
    ----------
    block : Block
        Of :class:`CRC32C`.
    """

    def __init__(self, block: Block) -> None:
        self._crc = block.load()()
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = self.begin()
        m.submodules.crc = crc = self._crc
        free_inputs(m, crc)
        remainder = Signal(32, init=-1)
        left = Signal(32)
        count = Signal(range(5))
        is_equal = Signal(init=1)
        message = free(m, 32, "message")
        byte = free(m, 8, "byte")
        m.d.comb += Assert(count <= 4)
        with m.If(count != 4):
            m.d.sync += [
                count.eq(count + 1),
                remainder.eq(_divide(remainder, byte)),
                is_equal.eq(is_equal & (byte == left[:8])),
                left.eq(left[8:]),
            ]
        with m.Else():
            m.d.sync += [
                count.eq(0),
                remainder.eq(message),
                is_equal.eq(1),
                left.eq(_crc(message)),
            ]
            with m.If(crc.crc == _crc(remainder)):
                m.d.comb += Assert(crc.intact == is_equal)
        return m
