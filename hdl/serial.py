"""Numbers of four bytes that are worked on a byte at a time."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SerialCounter"]

_BYTES = 4


class SerialCounter(wiring.Component):
    """Count modulo ``2**32``, and show the count byte by byte.

    Its bytes turn, by one place at a time, past an adder of a byte and past whoever reads them.

    Members
    -------
    count : In(1)
        Count one, in the four cycles that follow. Not within them.
    turn : In(1)
        Go on to the next byte; four turns lead back to the lowest. Not while counting, and counting
        starts at the lowest.
    byte : Out(8)
        At first the lowest byte.
    """

    count: In(1)
    turn: In(1)
    byte: Out(8)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value = Signal(8 * _BYTES)
        left = Signal(range(_BYTES + 1))
        carry = Signal()
        total = Signal(9)
        m.d.comb += [self.byte.eq(value[:8]), total.eq(self.byte + carry)]
        with m.If(self.turn | (left != 0)):
            m.d.sync += value.eq(Cat(value[8:], total[:8]))
        with m.If(self.count):
            m.d.sync += [left.eq(_BYTES), carry.eq(1)]
        with m.Elif(left != 0):
            m.d.sync += [left.eq(left - 1), carry.eq(total[8] & (left != 1))]
        return m
