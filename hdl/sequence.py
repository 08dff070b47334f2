"""Which requests to execute: each sequence number of a session once, in order."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import REQUEST, LinkSpec

from .layouts import struct

__all__ = ["SequenceCheck"]


class SequenceCheck(wiring.Component):
    """Judge sequence numbers, by the rules of the link's table.

    Parameters
    ----------
    link : LinkSpec

    Members
    -------
    sequence : In
        Of the request.
    hello : In(1)
        It is a HELLO of the right length; may come a cycle after ``sequence``.
    execute, again : Out(1)
        What to do about it, two cycles later: execute it, or send its reply again. Neither: refuse.
    expected : Out
        The number that is to be executed next.
    opened : In(1)
        The HELLO is executed: it opens a session.
    executed : In(1)
        The request was executed, and its reply kept. ``hello`` still holds.
    """

    def __init__(self, link: LinkSpec) -> None:
        self._link = link
        sequence = struct(REQUEST)["sequence"].shape
        super().__init__({
            "sequence": In(sequence),
            "hello": In(1),
            "execute": Out(1),
            "again": Out(1),
            "expected": Out(sequence),
            "opened": In(1),
            "executed": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        kept = Signal(range(self._link.window + 1))
        opening = Signal.like(self.sequence)  # the number of the session's HELLO
        distance = Signal.like(self.sequence)
        is_opening = Signal()
        is_open = Signal()
        m.d.sync += [
            distance.eq(self.expected - self.sequence),
            is_opening.eq(self.sequence == opening),
        ]
        with m.If(self.hello):
            m.d.sync += [
                self.execute.eq(~is_open | ~is_opening),
                self.again.eq(is_open & is_opening & (kept == 0)),
            ]
        with m.Else():
            m.d.sync += [
                self.execute.eq(is_open & (distance == 0)),
                self.again.eq((distance != 0) & (distance <= kept)),
            ]
        with m.If(self.opened):
            m.d.sync += [
                opening.eq(self.sequence),
                is_open.eq(1),
                self.expected.eq(self.expected + self.sequence),
                kept.eq(0),
            ]
        with m.Elif(self.executed & ~self.hello):
            m.d.sync += self.expected.eq(self.expected + 1)
            with m.If(kept != self._link.window):
                m.d.sync += kept.eq(kept + 1)
        return m
