"""Which requests to execute: each sequence number of a session once, in order."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import REQUEST, LinkSpec

from .layouts import struct

__all__ = ["SequenceCheck", "Turn"]

_NUMBER = struct(REQUEST)["sequence"].shape


class Turn(enum.Enum, shape=2):
    """What four turns do."""

    SHOW = 0
    """Nothing but to show the numbers."""
    TAKE = 1
    """Take the number of a request, and compare."""
    OPEN = 2
    """Open a session: the request's number is the opening one, and added to the expected one."""
    NEXT = 3
    """The request was executed: expect the next number."""


class SequenceCheck(wiring.Component):
    """Judge sequence numbers, by the rules of the link's table.

    The numbers turn by a byte at a time, lowest first; four turns lead back to where they were. A
    byte that is taken is subtracted in its turn and compared a cycle later: the verdict is right
    from the second cycle after the last turn to ``TAKE`` on. :class:`CommandDecoder` looks at it
    after the command at least, which is the byte behind the number's.

    Parameters
    ----------
    link : LinkSpec

    Members
    -------
    turn : In(1)
        Go on to the next byte.
    kind : In
        :class:`Turn`, the same for all four.
    i : In(8)
        A byte of the request's number, in a turn to ``TAKE`` it.
    number, expected : Out(8)
        A byte of the request's number, and of the one to be executed next; in a turn to ``OPEN`` or
        to the ``NEXT``, of the latter's new value.
    hello : In(1)
        The request is a HELLO of the right length.
    execute, again : Out(1)
        What to do about a request that was taken, two cycles ago or more: execute it, or send its
        reply again. Neither: refuse.
    """

    def __init__(self, link: LinkSpec) -> None:
        self._link = link
        super().__init__({
            "turn": In(1),
            "kind": In(Turn),
            "i": In(8),
            "number": Out(8),
            "expected": Out(8),
            "hello": In(1),
            "execute": Out(1),
            "again": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        number = Signal(_NUMBER)
        expected = Signal(_NUMBER)
        opening = Signal(_NUMBER)  # the number of the session's HELLO
        place = Signal(range(len(number) // 8))
        kept = Signal(range(self._link.window + 1))
        is_open = Signal()
        carry = Signal()
        borrow = Signal()
        is_taken = Signal()  # a byte was, a cycle ago: ``difference`` and ``is_same`` are about it
        difference = Signal(8)
        is_same = Signal()
        is_opening = Signal()
        is_expected = Signal()
        is_kept = Signal()

        is_first = place == 0
        takes, opens, counts = (self.kind == kind for kind in (Turn.TAKE, Turn.OPEN, Turn.NEXT))
        total = Signal(9)
        distance = Signal(9)
        is_zero = Signal()
        was_first = Signal()
        m.d.comb += [
            total.eq(expected[:8] + Mux(opens, number[:8], 0) + Mux(is_first, counts, carry)),
            distance.eq(expected[:8] - self.i - (borrow & ~is_first)),
            is_zero.eq(difference == 0),
            was_first.eq(place == 1),
            self.number.eq(number[:8]),
            self.expected.eq(total),
            self.execute.eq(Mux(self.hello, ~(is_open & is_opening), is_open & is_expected)),
            self.again.eq(Mux(self.hello, is_open & is_opening & (kept == 0), is_kept)),
        ]
        m.d.sync += is_taken.eq(self.turn & takes)
        with m.If(is_taken):
            m.d.sync += [
                is_opening.eq(is_same & (was_first | is_opening)),
                is_expected.eq(is_zero & (was_first | is_expected)),
                is_kept.eq(Mux(was_first, ~is_zero & (difference <= kept), is_zero & is_kept)),
            ]
        with m.If(self.turn):
            m.d.sync += [
                place.eq(place + 1),
                number.eq(Cat(number[8:], Mux(takes, self.i, number[:8]))),
                expected.eq(Cat(expected[8:], total[:8])),
                opening.eq(Cat(opening[8:], Mux(opens, number[:8], opening[:8]))),
                carry.eq(total[8]),
                Cat(difference, borrow).eq(distance),
                is_same.eq(opening[:8] == self.i),
            ]
            with m.If(opens):
                m.d.sync += [is_open.eq(1), kept.eq(0)]
            with m.If(counts & is_first & (kept != self._link.window)):
                m.d.sync += kept.eq(kept + 1)
        return m
