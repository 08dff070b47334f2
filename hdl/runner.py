"""Timesteps with the spikes that a RUN carries."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from spikewright.frames import REQUEST_PAYLOADS, Command, LinkSpec, Status
from spikewright.spec import CoreSpec, index_width

from .layouts import struct
from .spikes import SpikeDecoder
from .timer import MISSED, TimestepTimer

__all__ = ["TimestepRunner"]


class TimestepRunner(wiring.Component):
    """Run timesteps: spikes in, step, spikes out.

    The bytes are decoded twice: first to see that all of them are in order, so that a request is
    run whole or not at all, then to hand the spikes to the core. Against the time that they took
    on the line, both are short.

    Parameters
    ----------
    spec : CoreSpec
    link : LinkSpec

    Members
    -------
    start : In(1)
        Run ``count`` timesteps. Only when done.
    count : In(16)
        Must hold until done.
    done : Out(1)
        Not running; ``status`` tells of the last run.
    status : Out
        ``OK``, ``BAD_SPIKES`` (nothing was run) or ``PAUSED`` (no ``room`` for another timestep).
    clear : In(1)
        Forget spikes that were taken for the timestep to come, and end the timeline.
    i : In(stream), 8 bits
        Coded spikes.
    end : In(1)
        ``i`` has no more bytes.
    rewind : Out(1)
        Show the bytes of ``i`` again from the first.
    o_axons : Out(stream)
        Axon spikes for the core.
    step, busy : Out(1), In(1)
        The core's.
    period, refused, pace, on_demand : In, Out(1), In(1), In(1)
        As in :class:`TimestepTimer`, ``on_demand`` being its ``reset``.
    has_timeline, o_missed : Out(1), Out(stream)
        Its ``running`` and ``o_missed``.
    idle, room, flush : In(1), In(1), Out(1)
        ``idle``, ``room`` and ``end`` of the :class:`SpikeEncoder`.
    """

    def __init__(self, spec: CoreSpec, link: LinkSpec) -> None:
        self._spec = spec
        self._link = link
        count = struct(REQUEST_PAYLOADS[Command.RUN])["count"].width
        super().__init__({
            "start": In(1),
            "count": In(count),
            "done": Out(1),
            "status": Out(Status),
            "clear": In(1),
            "i": In(stream.Signature(8)),
            "end": In(1),
            "rewind": Out(1),
            "o_axons": Out(stream.Signature(index_width(spec.axons))),
            "step": Out(1),
            "busy": In(1),
            "period": In(struct(REQUEST_PAYLOADS[Command.PACE])["period"].width),
            "refused": Out(1),
            "pace": In(1),
            "on_demand": In(1),
            "has_timeline": Out(1),
            "o_missed": Out(stream.Signature(MISSED)),
            "idle": In(1),
            "room": In(1),
            "flush": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.decoder = decoder = SpikeDecoder(self._spec)
        m.submodules.timer = timer = TimestepTimer(self._link)
        wiring.connect(m, timer.o_missed, wiring.flipped(self.o_missed))
        spike = decoder.o.payload
        left = Signal.like(self.count)
        none_left = Signal()
        is_end = Signal()
        m.d.comb += [
            none_left.eq(left == 0),
            is_end.eq(self.end & ~decoder.o.valid),
            self.o_axons.payload.eq(spike.axon),
            decoder.i.payload.eq(self.i.payload),
            decoder.restart.eq(self.clear),
            timer.period.eq(self.period),
            timer.pace.eq(self.pace),
            timer.stop.eq(self.clear),
            timer.reset.eq(self.on_demand),
            timer.step.eq(self.step),
            self.refused.eq(timer.refused),
            self.has_timeline.eq(timer.running),
        ]

        def pass_bytes():
            m.d.comb += [decoder.i.valid.eq(self.i.valid), self.i.ready.eq(decoder.i.ready)]

        with m.FSM():
            with m.State("done"):
                m.d.comb += self.done.eq(1)
                m.d.sync += left.eq(self.count)
                with m.If(self.start):
                    m.d.comb += decoder.keep.eq(1)
                    m.d.sync += self.status.eq(Status.OK)
                    m.next = "check"
            with m.State("check"):
                pass_bytes()
                m.d.comb += decoder.o.ready.eq(1)
                with m.If(is_end):
                    m.d.comb += [self.rewind.eq(1), decoder.restore.eq(1)]
                    m.d.sync += left.eq(self.count)
                    m.next = "next"
                with m.Elif(decoder.o.valid & (spike.error | (spike.end & none_left))):
                    m.d.sync += self.status.eq(Status.BAD_SPIKES)
                    m.next = "refuse"
                with m.Elif(decoder.o.valid & spike.end):
                    m.d.sync += left.eq(left - 1)
            with m.State("refuse"):
                m.d.comb += decoder.restore.eq(1)
                m.next = "done"
            with m.State("next"):
                m.next = "take"
                with m.If(~none_left & ~self.room):
                    m.d.sync += self.status.eq(Status.PAUSED)
                    m.next = "done"
            with m.State("take"):
                pass_bytes()
                m.d.comb += [
                    self.o_axons.valid.eq(decoder.o.valid & ~spike.end),
                    decoder.o.ready.eq(self.o_axons.ready | spike.end),
                ]
                with m.If(decoder.o.valid & spike.end):
                    m.next = "step"
                with m.Elif(is_end):
                    m.next = "step"
                    with m.If(none_left):
                        m.next = "done"
            with m.State("step"), m.If(timer.go):
                m.d.comb += [self.step.eq(1), decoder.restart.eq(1)]
                m.d.sync += left.eq(left - 1)
                m.next = "wait"
            with m.State("wait"), m.If(~self.busy):
                m.next = "drain"
            with m.State("drain"):
                m.next = "encode"
            with m.State("encode"), m.If(self.idle):
                m.next = "flush"
            with m.State("flush"):
                m.d.comb += self.flush.eq(1)
                m.next = "settle"
            with m.State("settle"):
                # `room` follows the ring's level by a cycle.
                m.next = "next"
        return m
