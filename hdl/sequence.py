"""Which requests to execute: each sequence number of a session once, in order."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import REQUEST, REQUEST_PAYLOADS, Command, LinkSpec

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
        It is a HELLO of the right length.
    nonce : In
        The HELLO's.
    execute, again : Out(1)
        What to do about it, one cycle later: execute it, or send its reply again. Neither: refuse.
    expected : Out
        The number that is to be executed next.
    opened : In(1)
        The HELLO is executed: it opens a session.
    executed : In(1)
        The request was executed, and its reply kept.
    """

    def __init__(self, link: LinkSpec) -> None:
        self._link = link
        sequence = struct(REQUEST)["sequence"].shape
        super().__init__({
            "sequence": In(sequence),
            "hello": In(1),
            "nonce": In(struct(REQUEST_PAYLOADS[Command.HELLO])["nonce"].shape),
            "execute": Out(1),
            "again": Out(1),
            "expected": Out(sequence),
            "opened": In(1),
            "executed": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        kept = Signal(range(self._link.window + 1))
        first = Signal.like(self.sequence)
        nonce = Signal.like(self.nonce)
        distance = Signal.like(self.sequence)
        is_open = Signal()
        is_repeated = Signal()
        m.d.comb += [
            is_open.eq(kept != 0),
            distance.eq(self.expected - self.sequence),
            is_repeated.eq(self.hello & is_open & (self.sequence == first) & (self.nonce == nonce)),
        ]
        m.d.sync += [
            self.execute.eq(~is_repeated & (self.hello | (is_open & (distance == 0)))),
            self.again.eq(is_open & (distance != 0) & (distance <= kept)),
        ]
        with m.If(self.opened):
            m.d.sync += [
                first.eq(self.sequence),
                nonce.eq(self.nonce),
                self.expected.eq(self.sequence),
                kept.eq(0),
            ]
        with m.Elif(self.executed):
            m.d.sync += self.expected.eq(self.expected + 1)
            with m.If(kept != self._link.window):
                m.d.sync += kept.eq(kept + 1)
        return m
