"""The timer that paces timesteps."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import LEAST_PERIOD, MOST_MISSED, REQUEST_PAYLOADS, Command, LinkSpec

from .layouts import struct

__all__ = ["MISSED", "TimestepTimer"]

MISSED = MOST_MISSED.bit_length()
"""Width of a count of missed ticks; its top bit alone is their most."""


class TimestepTimer(wiring.Component):
    """Say when a timestep may begin: at any time, or on ticks a period apart.

    The timestep that begins while the timer stands starts it, and with it a timeline. A tick comes
    exactly ``period`` cycles after a timestep that began on the tick before, or missed it.

    Parameters
    ----------
    link : LinkSpec

    Members
    -------
    period : In
        Of a PACE [cycles], 0: on demand. Looked at with ``pace``, a cycle after it has come.
    refused : Out(1)
        The timer cannot count ``period``; a cycle late.
    pace : In(1)
        Have that period, and stop.
    stop, reset : In(1)
        The timeline ends: with the period kept; with none, on demand.
    step : In(1)
        A timestep begins. Only with ``go``.
    go : Out(1)
        One may.
    running : Out(1)
        There is a timeline, on which time passes.
    o_missed : Out(stream)
        Offered after each ``step``: ticks that were missed before it. To be taken within
        ``LEAST_PERIOD`` cycles.
    """

    def __init__(self, link: LinkSpec) -> None:
        self._width = link.period_bits
        super().__init__({
            "period": In(struct(REQUEST_PAYLOADS[Command.PACE])["period"].width),
            "refused": Out(1),
            "pace": In(1),
            "stop": In(1),
            "reset": In(1),
            "step": In(1),
            "go": Out(1),
            "running": Out(1),
            "o_missed": Out(stream.Signature(MISSED)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        least = (LEAST_PERIOD - 1).bit_length()
        period = Signal(self._width)
        is_paced = Signal()
        is_long_enough = Signal()
        count = Signal(self._width)
        tick = Signal()
        missed = self.o_missed.payload
        m.d.comb += [
            is_long_enough.eq(self.period[least : self._width].any()),
            self.go.eq(~self.running | tick),
        ]
        # A tick shows a cycle after its count, and a count begins a cycle after a tick: hence 2.
        m.d.sync += [
            self.refused.eq(
                self.period[self._width :].any() | (~is_long_enough & self.period[:least].any())
            ),
            tick.eq(self.running & (count == period)),
            count.eq(count + 1),
        ]
        with m.If(tick | ~self.running):
            m.d.sync += count.eq(2)
        with m.If(self.o_missed.valid & self.o_missed.ready):
            m.d.sync += [self.o_missed.valid.eq(0), missed.eq(0)]
        with m.If(self.step):
            m.d.sync += [self.running.eq(is_paced), self.o_missed.valid.eq(1)]
        with m.Elif(~self.o_missed.valid):
            with m.If(tick):
                m.d.sync += missed.eq(missed + 1)
            with m.If(missed[-1]):
                m.d.sync += self.running.eq(0)
        with m.If(self.pace):
            m.d.sync += [period.eq(self.period), is_paced.eq(is_long_enough)]
        with m.If(self.reset):
            m.d.sync += is_paced.eq(0)
        with m.If(self.pace | self.stop | self.reset):
            m.d.sync += [self.running.eq(0), tick.eq(0), missed.eq(0)]
        return m
