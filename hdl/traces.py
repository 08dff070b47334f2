"""Post traces, and what both traces have in common: their steps."""

from amaranth.hdl import Module, Mux, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.fixed import DECAY_BITS
from spikewright.spec import CoreSpec, Region, index_width

from .lane import Decay
from .layouts import Clocks, chosen, delayed, part_bits, struct
from .updates import commit_layout

__all__ = ["TRACE_LATENCY", "PostTraces", "TraceUpdate", "rule_layout"]

TRACE_LATENCY = 3
"""Cycles of a trace's update."""


def rule_layout(spec: CoreSpec) -> data.StructLayout:
    """The learning rule's parameters; see :class:`spikewright.learning.LearningRule`."""
    return struct(spec.memories[Region.RULE].layout)


class TraceUpdate(wiring.Component):
    """One trace, a cycle each: raise it at an event, or let it decay, or both.

    Latency ``TRACE_LATENCY``. ``trace`` rule: add ``step``, saturating, or with ``nearest`` take
    it, and multiply by ``a``. ``window`` rule: take ``step``, and count one timestep down.

    Members
    -------
    x, step : In, unsigned ``trace_bits``
    event, decays : In(1)
    nearest, a : In
        Of the ``trace`` rule; ``a`` is UQ1.12.
    o : Out, unsigned ``trace_bits``
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        trace = spec.trace_bits
        super().__init__({
            "x": In(trace),
            "step": In(trace),
            "event": In(1),
            "decays": In(1),
            "nearest": In(1),
            "a": In(DECAY_BITS + 1),
            "o": Out(trace),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self._spec.trace_bits
        if self._spec.plasticity == "window":
            raised = Mux(self.event, self.step, self.x)
            after = Mux(self.decays & raised.any(), raised - 1, raised)[:bits]
            m.d.comb += self.o.eq(delayed(m, after, TRACE_LATENCY, "after"))
            return m
        total = self.x + self.step
        summed = total[:bits] | total[bits].replicate(bits)
        raised = Mux(self.event, Mux(self.nearest, self.step, summed), self.x)
        m.submodules.decay = decay = Decay(self._spec, bits + 1, Clocks())
        m.d.comb += [
            decay.awake.eq(1),
            decay.x.eq(raised),
            decay.a.eq(Mux(self.decays, self.a, 1 << DECAY_BITS)),
            self.o.eq(decay.o),
        ]
        return m


class PostTraces(wiring.Component):
    """Post traces y of all neurons, group by group.

    Members
    -------
    commit : In
        Parts of groups as they are updated: their traces move on while ``learning``.
    rule : In
    learning : In(1)
    group, part : In
        A group whose ``y`` and ``fired`` are wanted two cycles later, and the part of it whose
        ``own`` is; for a ``commit``, its own.
    y, own : Out
        Traces of a group and of a part of it, unsigned ``trace_bits`` each.
    fired : Out
        Spikes of the group in this timestep, a bit a lane; with ``reward``.
    zero, zero_en : In
        Set a group's traces and spikes to zero.
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        group = index_width(spec.groups)
        super().__init__({
            "commit": In(commit_layout(spec)),
            "rule": In(rule_layout(spec)),
            "learning": In(1),
            "group": In(group),
            "part": In(part_bits(spec)),
            "y": Out(data.ArrayLayout(spec.trace_bits, spec.lanes)),
            "own": Out(data.ArrayLayout(spec.trace_bits, spec.update_lanes)),
            "zero": In(group),
            "zero_en": In(1),
            **({"fired": Out(spec.lanes)} if spec.reward else {}),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, commit = self._spec, self.commit
        m.submodules.state_y = traces = Memory(shape=self.y.shape(), depth=spec.groups, init=[])
        y, y_write = traces.read_port(), traces.write_port(granularity=spec.update_lanes)
        final = commit.valid & commit.final
        written = delayed(m, final & self.learning, TRACE_LATENCY, "written")
        group = delayed(m, commit.group, TRACE_LATENCY, "group")
        part = Value.cast(delayed(m, commit.part, TRACE_LATENCY, "part"))
        shown = Value.cast(delayed(m, self.part, 2, "shown"))
        m.d.sync += self.y.eq(y.data)
        m.d.comb += [
            y.addr.eq(self.group),
            y_write.en.eq(Mux(self.zero_en, ~0, written << part)),
            y_write.addr.eq(Mux(self.zero_en, self.zero, group)),
        ]
        for k in range(spec.update_lanes):
            lanes = range(k, spec.lanes, spec.update_lanes)
            m.submodules[f"update{k}"] = update = TraceUpdate(spec)
            m.d.comb += [
                self.own[k].eq(chosen([self.y[lane] for lane in lanes], shown)),
                update.x.eq(self.own[k]),
                update.step.eq(self.rule.post_step),
                update.event.eq(commit.fired[k]),
                update.decays.eq(1),
                *(y_write.data[lane].eq(Mux(self.zero_en, 0, update.o)) for lane in lanes),
            ]
            if spec.plasticity == "trace":
                m.d.comb += [update.nearest.eq(self.rule.nearest), update.a.eq(self.rule.a_post)]
        if spec.reward:
            self._keep_spikes(m, final & commit.whole)
        return m

    def _keep_spikes(self, m: Module, whole: Value) -> None:
        """The spikes of each group."""
        commit, spec = self.commit, self._spec
        m.submodules.spikes = memory = Memory(shape=spec.lanes, depth=spec.groups, init=[])
        read, write = memory.read_port(), memory.write_port()
        m.d.sync += self.fired.eq(read.data)
        m.d.comb += [
            read.addr.eq(self.group),
            write.en.eq(whole | self.zero_en),
            write.addr.eq(Mux(self.zero_en, self.zero, commit.group)),
            write.data.eq(Mux(self.zero_en, 0, commit.spikes)),
        ]
