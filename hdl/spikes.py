"""Spikes as the bytes that the link's table defines, in and out."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from spikewright.frames import END, SKIP, ring_bytes, worst_timestep_bytes
from spikewright.spec import CoreSpec, index_width

from .pending import group_spikes

__all__ = ["SpikeDecoder", "SpikeEncoder"]


class SpikeDecoder(wiring.Component):
    """Decode bytes into axon spikes.

    A byte takes two cycles; a ``SKIP`` gives no transfer.

    Parameters
    ----------
    spec : CoreSpec

    Members
    -------
    i : In(stream), 8 bits
    o : Out(stream), ``axon``, ``end`` and ``error``
        A spike, or the end of a timestep, or an ``error``: a byte that leads past the last axon.
    restart : In(1)
        Begin a timestep anew.
    keep : In(1)
        Remember the place inside the timestep.
    restore : In(1)
        Go back there.
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        decoded = {"axon": index_width(spec.axons), "end": 1, "error": 1}
        super().__init__({
            "i": In(stream.Signature(8)),
            "o": Out(stream.Signature(data.StructLayout(decoded))),
            "restart": In(1),
            "keep": In(1),
            "restore": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(range(self._spec.axons + 1))
        kept = Signal.like(line)
        reached = Signal(range(self._spec.axons + SKIP + 1))
        is_skip = Signal()
        is_end = Signal()
        is_past = Signal()
        m.d.comb += [
            reached.eq(line + self.i.payload),
            is_skip.eq(self.i.payload == SKIP),
            is_end.eq(self.i.payload == END),
            is_past.eq(reached >= self._spec.axons),
            self.i.ready.eq(~self.o.valid),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                line.eq(Mux(is_end, 0, Mux(is_skip, reached, reached + 1))),
                self.o.valid.eq(~is_skip | is_past),
                self.o.payload.axon.eq(reached),
                self.o.payload.end.eq(is_end),
                self.o.payload.error.eq(is_past & ~is_end),
            ]
        with m.If(self.keep):
            m.d.sync += kept.eq(line)
        with m.If(self.restore):
            m.d.sync += line.eq(kept)
        with m.If(self.restart):
            m.d.sync += [line.eq(0), kept.eq(0)]
        return m


class SpikeEncoder(wiring.Component):
    """Encode the spikes of timesteps into bytes, and hold them until they are read.

    A group takes ``lanes`` cycles and two for each byte.

    Parameters
    ----------
    spec : CoreSpec

    Members
    -------
    spikes : In
        A pulse for each group that has spikes, in ascending order, once a timestep at most.
    first_group, end_group : In
        Groups from the first up to but not including the end are encoded, the others passed over.
    end : In(1)
        The timestep is over. Not before ``idle``, nor within two cycles of a pulse.
    idle : Out(1)
        All spikes so far are encoded.
    room : Out(1)
        Whatever the next timestep brings will fit.
    o : Out(stream), 8 bits
        The oldest byte.
    level : Out
        Bytes that wait in ``o``.
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        self._depth = ring_bytes(spec)
        super().__init__({
            "spikes": In(data.StructLayout({"en": 1, **group_spikes(spec).members})),
            "first_group": In(range(spec.groups + 1)),
            "end_group": In(range(spec.groups + 1), init=spec.groups),
            "end": In(1),
            "idle": Out(1),
            "room": Out(1),
            "o": Out(stream.Signature(8)),
            "level": Out(range(self._depth + 2)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self._spec
        layout = group_spikes(spec)
        # One deeper than what comes: it takes its first entry out only a cycle after the second.
        m.submodules.groups = groups = SyncFIFOBuffered(width=layout.size, depth=spec.groups + 1)
        m.submodules.ring = ring = SyncFIFOBuffered(width=8, depth=self._depth)
        # A block RAM's output comes late in its cycle: it gets a register before it goes anywhere.
        m.d.comb += [
            ring.r_en.eq(~self.o.valid | self.o.ready),
            self.level.eq(ring.level + self.o.valid),
        ]
        with m.If(ring.r_en):
            m.d.sync += [self.o.valid.eq(ring.r_rdy), self.o.payload.eq(ring.r_data)]
        m.d.sync += [
            self.room.eq(self.level <= self._depth - worst_timestep_bytes(spec)),
            groups.w_en.eq(
                self.spikes.en
                & (self.spikes.group >= self.first_group)
                & (self.spikes.group < self.end_group)
            ),
            groups.w_data.eq(Cat(self.spikes.group, self.spikes.mask)),
        ]

        oldest = data.View(layout, groups.r_data)
        lanes_left = Signal(spec.lanes)
        line = Signal(index_width(spec.neurons))
        after_last = Signal(range(spec.neurons + 1))
        gap = Signal.like(after_last)
        long_gap = Signal()
        m.d.comb += long_gap.eq(gap >= SKIP)
        with m.FSM():
            with m.State("load"):
                m.d.comb += [groups.r_en.eq(1), self.idle.eq(~groups.r_rdy & (groups.level == 0))]
                m.d.sync += [lanes_left.eq(oldest.mask), line.eq(oldest.group * spec.lanes)]
                with m.If(groups.r_rdy):
                    m.next = "scan"
                with m.Elif(self.end):
                    m.d.comb += [ring.w_en.eq(1), ring.w_data.eq(END)]
                    m.d.sync += after_last.eq(0)
            with m.State("scan"):
                m.d.sync += gap.eq(line - after_last)
                with m.If(lanes_left[0]):
                    m.next = "write"
                with m.Elif(lanes_left == 0):
                    m.next = "load"
                with m.Else():
                    m.d.sync += [lanes_left.eq(lanes_left >> 1), line.eq(line + 1)]
            with m.State("write"):
                m.d.comb += [ring.w_en.eq(1), ring.w_data.eq(Mux(long_gap, SKIP, gap))]
                with m.If(long_gap):
                    m.d.sync += gap.eq(gap - SKIP)
                with m.Else():
                    m.d.sync += [
                        after_last.eq(line + 1),
                        lanes_left.eq(lanes_left >> 1),
                        line.eq(line + 1),
                    ]
                    m.next = "scan"
        return m
