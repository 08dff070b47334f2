"""The CRC: that of its definition."""

from amaranth.hdl import Assert, Cat, Module, Mux, Signal, Value

from .blocks import Block, Checker, free, free_inputs, moves

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
    """Compare ``crc`` with long division, whenever ``i`` is ready.

    The definition divides the message's polynomial, beginning at all ones. The block works on the
    mirror image, a bit a cycle; the checker takes a whole byte in the cycle in which the block
    takes it.

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
        with m.If(crc.clear):
            m.d.sync += remainder.eq(remainder.init)
        with m.Elif(moves(crc.i)):
            m.d.sync += remainder.eq(_divide(remainder, crc.i.payload))
        with m.If(crc.i.ready):
            m.d.comb += Assert(crc.crc == _crc(remainder))
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
