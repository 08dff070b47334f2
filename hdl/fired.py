"""Which neurons fired, in the order in which a learning pass wants to know."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.spec import CoreSpec

from .updates import commit_layout
from .words import FiredOrder

__all__ = ["FiredLists"]


class FiredLists(wiring.Component):
    """List the neurons that fire in a timestep, lane by lane.

    Members
    -------
    start : In(1)
        A timestep begins.
    commit : In
        Parts of groups as they are updated.
    order : Out
        :class:`FiredOrder`.
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        super().__init__({
            "start": In(1),
            "commit": In(commit_layout(spec)),
            "order": Out(FiredOrder(spec)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, commit, order = self._spec, self.commit, self.order
        grows = Signal(spec.lanes)
        for lane in range(spec.lanes):
            m.submodules[f"lane{lane}"] = groups = Memory(
                shape=len(commit.group), depth=spec.groups, init=[]
            )
            read, write = groups.read_port(), groups.write_port()
            part, k = divmod(lane, spec.update_lanes)
            fires = commit.valid & (commit.part == part) & commit.fired[k]
            count = Signal.like(order.count, name=f"count{lane}")
            m.d.comb += [
                write.en.eq(fires),
                write.addr.eq(count),
                write.data.eq(commit.group),
                read.addr.eq(order.index),
                order.group[lane].eq(read.data),
                grows[lane].eq(fires & (count == order.count)),
            ]
            m.d.sync += [order.fired[lane].eq(order.index < count), count.eq(count + fires)]
            with m.If(self.start):
                m.d.sync += count.eq(0)
        m.d.sync += order.count.eq(order.count + grows.any())
        with m.If(self.start):
            m.d.sync += order.count.eq(0)
        return m
