"""Sources whose spikes wait to be integrated: axons from outside, neurons of the last level."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from spikewright.spec import CoreSpec, index_width

__all__ = ["PendingSources", "group_spikes"]


def group_spikes(spec: CoreSpec) -> data.StructLayout:
    """Spikes of one neuron group: its index and a mask with a bit for each lane."""
    return data.StructLayout({"group": index_width(spec.groups), "mask": spec.lanes})


class PendingSources(wiring.Component):
    """Queue spikes and hand their sources out, one a cycle without bubbles.

    Axon spikes accepted before ``take`` come first, then the neurons of the queued groups, lowest
    first. Axon spikes accepted from that cycle on wait for the next ``take``.

    Members
    -------
    i_axons : In(stream)
        Axon index. Stalls when ``axons`` spikes wait.
    i_group, i_group_en : In
        Spikes of a neuron group, at least one bit set; there is room for every group once.
    take : In(1)
        A timestep starts.
    waiting : Out(1)
        Something would be handed out: in the cycle of ``take``, by that ``take``.
    enable : In(1)
        Hand out. Sources appear one cycle later; a group that was queued in cycle c can be handed
        out with ``enable`` in cycle c + 3.
    o : Out(stream)
        Source index.
    clear : In(1)
        Forget everything.
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        super().__init__({
            "i_axons": In(stream.Signature(index_width(spec.axons))),
            "i_group": In(group_spikes(spec)),
            "i_group_en": In(1),
            "take": In(1),
            "waiting": Out(1),
            "enable": In(1),
            "o": Out(stream.Signature(index_width(spec.sources))),
            "clear": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self._spec
        reset = ResetInserter(self.clear)
        axons = SyncFIFOBuffered(width=index_width(spec.axons), depth=max(2, spec.axons))
        groups = SyncFIFOBuffered(width=group_spikes(spec).size, depth=max(2, spec.groups + 1))
        m.submodules.axons = reset(axons)
        m.submodules.groups = reset(groups)

        axons_left = Signal(range(spec.axons + 1))
        any_axon = Signal()  # `axons_left` is not 0
        groups_left = Signal(range(spec.groups + 1))
        current = Signal(group_spikes(spec))
        rest = Signal(spec.lanes)
        lane = Signal(index_width(spec.lanes))
        for k in reversed(range(spec.lanes)):
            with m.If(current.mask[k]):
                m.d.comb += lane.eq(k)
        m.d.comb += [
            self.i_axons.ready.eq(axons.w_rdy),
            axons.w_en.eq(self.i_axons.valid),
            axons.w_data.eq(self.i_axons.payload),
            groups.w_en.eq(self.i_group_en),
            groups.w_data.eq(self.i_group),
            rest.eq(current.mask & (current.mask - 1)),
            self.waiting.eq(Mux(self.take, axons.level != 0, any_axon) | (groups_left != 0)),
        ]

        advance = Signal()
        use_axon = Signal()
        use_lane = Signal()
        fetch = Signal()
        m.d.comb += [
            advance.eq(self.enable & (~self.o.valid | self.o.ready)),
            use_axon.eq(advance & any_axon),
            use_lane.eq(advance & ~any_axon & (current.mask != 0)),
            axons.r_en.eq(use_axon),
            # The next group is fetched in the cycle that takes the last lane of this one.
            fetch.eq(groups.r_rdy & ((current.mask == 0) | (use_lane & (rest == 0)))),
            groups.r_en.eq(fetch),
        ]
        neuron = Cat(lane, current.group) if spec.lanes > 1 else current.group
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                self.o.valid.eq(use_axon | use_lane),
                self.o.payload.eq(Mux(use_axon, axons.r_data, neuron + spec.axons)),
            ]
        with m.If(fetch):
            m.d.sync += current.eq(groups.r_data)
        with m.Elif(use_lane):
            m.d.sync += current.mask.eq(rest)

        # A group counts as long as one of its lanes is left.
        group_done = use_lane & (rest == 0)
        m.d.sync += groups_left.eq(groups_left + self.i_group_en - group_done)
        with m.If(self.take):
            m.d.sync += [axons_left.eq(axons.level), any_axon.eq(axons.level != 0)]
        with m.Elif(use_axon):
            m.d.sync += [axons_left.eq(axons_left - 1), any_axon.eq(axons_left != 1)]
        with m.If(self.clear):
            m.d.sync += [
                groups_left.eq(0),
                axons_left.eq(0),
                any_axon.eq(0),
                current.mask.eq(0),
                self.o.valid.eq(0),
            ]
        return m
