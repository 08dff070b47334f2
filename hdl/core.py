"""One core: leaky integrate-and-fire neurons, time-multiplexed and event-driven."""

from amaranth.hdl import Array, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spikewright.learning import REWARD_BITS
from spikewright.spec import CoreSpec, Region, index_width

from .accumulator import Accumulators
from .fired import FiredLists
from .layouts import Clocks, following, group_of, part_width, passed_on, struct
from .learning import connect_fired, connect_plasticity, connect_rows, connect_traces
from .neuron import NeuronUpdate
from .pending import PendingSources
from .plasticity import Plasticity
from .rows import RowFetch
from .scheduler import Scheduler
from .traces import PostTraces, rule_layout
from .updates import neuron_state

__all__ = ["HOST_READ_LATENCY", "STATE_LATENCY", "Core", "HostPort"]

HOST_READ_LATENCY = 10
"""Cycles from ``r_en`` to ``r_data``."""
STATE_LATENCY = 5
"""Cycles from the end of a timestep to the last write to the state and to what was learned."""

_ONE_CLOCK = Clocks()


class HostPort(wiring.Signature):
    """Access to the core's memories, from the host's side; only while the core is not busy.

    Parameters
    ----------
    spec : CoreSpec

    Members
    -------
    region, index : Out
        As in ``spec.memories``.
    w_en, w_data : Out
        Write a record, one a cycle.
    r_en, r_data : Out, In
        Read a record: valid ``HOST_READ_LATENCY`` cycles later, until the next ``r_en``.
    """

    def __init__(self, spec: CoreSpec) -> None:
        memories = spec.memories.values()
        width = max(memory.layout.width for memory in memories)
        super().__init__({
            "region": Out(index_width(len(Region))),
            "index": Out(max(index_width(memory.depth) for memory in memories)),
            "w_en": Out(1),
            "w_data": Out(width),
            "r_en": Out(1),
            "r_data": In(width),
        })


class Core(wiring.Component):
    """A core as section 3 of the design defines it; learning as section 7 does.

    Bit-exact with :class:`spikewright.sim.golden.GoldenModel`, cycles included. What the memories
    hold at power-up is undefined: the loader writes the writable regions, ``clear`` the others.

    Parameters
    ----------
    spec : CoreSpec
    clocks : Clocks
        Other than ``sync`` for a simulator alone.
    near : bool
        Leave out registers that are there only because memories lie all over a large part: for
        slow clocks on small ones. Cycles stay the same.

    Members
    -------
    i_spikes : In(stream)
        Axon spikes for the next timestep to be started, each axon at most once; stalls when
        ``axons`` spikes wait. A spike that is accepted in the cycle of ``step`` counts for the
        timestep after that one.
    step : In(1)
        Start a timestep; ignored while busy.
    learn, reward : In
        With plasticity, at ``step``: learn in this timestep, and for what, Q1.6.
    clear : In(1)
        Clear state, accumulators, traces and all waiting spikes; ignored while busy.
    busy : Out(1)
    spikes : Out
        A pulse for each group that has spikes, ascending; cannot be stalled.
    events : Out
        ``cycle``: this cycle belongs to a timestep. ``synapses``: lanes of a weight word with a
        nonzero weight. ``saturated``: neurons of an updated part whose v or i was clamped.
    host : In
        :class:`HostPort`.
    awake : Out(1)
        Only with a clock for the neurons, which may stop while this is low.
    """

    def __init__(self, spec: CoreSpec, clocks: Clocks = _ONE_CLOCK, *, near: bool = False) -> None:
        self._spec = spec
        self._clocks = clocks
        self._near = near
        super().__init__({
            "i_spikes": In(stream.Signature(index_width(spec.axons))),
            "step": In(1),
            "clear": In(1),
            "busy": Out(1),
            "spikes": Out(
                data.StructLayout({"en": 1, "group": index_width(spec.groups), "mask": spec.lanes})
            ),
            "events": Out(
                data.StructLayout({
                    "cycle": 1,
                    "synapses": spec.lanes,
                    "saturated": spec.update_lanes,
                })
            ),
            "host": In(HostPort(spec)),
            **({} if clocks.neurons == "sync" else {"awake": Out(1)}),
            **({"learn": In(1), "reward": In(signed(REWARD_BITS))} if spec.plastic else {}),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self._spec
        m.submodules.pending = pending = PendingSources(spec)
        m.submodules.rows = rows = RowFetch(spec, self._clocks, near=self._near)
        m.submodules.accumulators = acc = Accumulators(spec, near=self._near)
        m.submodules.scheduler = scheduler = Scheduler(spec)
        m.submodules.neurons = neurons = NeuronUpdate(spec, self._clocks, near=self._near)
        wiring.connect(m, wiring.flipped(self.i_spikes), pending.i_axons)
        if not spec.plastic:
            wiring.connect(m, pending.o, rows.i)
        commit = neurons.commit
        clearing = scheduler.zero_en
        start = self.step & ~scheduler.busy
        m.d.comb += [
            scheduler.step.eq(self.step),
            scheduler.clear.eq(self.clear),
            scheduler.waiting.eq(pending.waiting),
            scheduler.streaming.eq(pending.o.valid | rows.active),
            scheduler.commit.eq(commit),
            self.busy.eq(scheduler.busy),
            pending.take.eq(start),
            pending.enable.eq(scheduler.enable),
            pending.clear.eq(clearing),
            pending.i_group.group.eq(commit.group),
            pending.i_group.mask.eq(commit.spikes),
            pending.i_group_en.eq(commit.spiked),
            acc.word.eq(rows.o),
            acc.adding.eq(scheduler.adding),
            acc.slot.eq(scheduler.slot),
            acc.first_open.eq(scheduler.first_open),
            acc.zero_en.eq(clearing | (commit.valid & commit.whole)),
            acc.zero_group.eq(Mux(clearing, group_of(spec, scheduler.zero_part), commit.group)),
            acc.zero_slot.eq(Mux(clearing, scheduler.zero_slot, scheduler.slot)),
            neurons.acc.eq(acc.acc),
            neurons.running.eq(scheduler.timestep_busy),
            neurons.flush.eq(scheduler.flush),
            # Standing still is for simulators: an enable of every register is far from some.
            neurons.awake.eq(1 if self._clocks.neurons == "sync" else scheduler.awake),
            neurons.issue_valid.eq(scheduler.issue_valid),
            neurons.zero.eq(scheduler.zero_part),
            neurons.zero_en.eq(clearing),
            self.spikes.en.eq(commit.spiked),
            self.spikes.group.eq(commit.group),
            self.spikes.mask.eq(commit.spikes),
            self.events.cycle.eq(start | scheduler.timestep_busy),
            self.events.saturated.eq(commit.saturated & commit.valid.replicate(spec.update_lanes)),
        ]
        delivered: Value = rows.o.valid
        state = neurons.state
        if spec.winners:
            m.d.comb += [
                neurons.issue_again.eq(scheduler.issue_again),
                neurons.issue_settles.eq(scheduler.issue_settles),
            ]
        random: Value | None = None
        if spec.plastic:
            delivered = rows.o.valid & ~rows.o.passing
            m.d.comb += acc.word.valid.eq(delivered)
            state, random = self._connect_learning(m, rows, pending, neurons, scheduler)
        for lane in range(spec.lanes):
            weight = rows.o.synapses[f"weight{lane}"]
            m.d.comb += self.events.synapses[lane].eq(delivered & weight.any())
        if self._clocks.neurons != "sync":
            m.d.comb += self.awake.eq(scheduler.awake)
        self._connect_host(m, rows, acc, neurons, scheduler, state, random)
        return m

    def _connect_learning(
        self,
        m: Module,
        rows: RowFetch,
        pending: PendingSources,
        neurons: NeuronUpdate,
        scheduler: Scheduler,
    ) -> tuple[data.View, Value | None]:
        """Add what learns; the neurons' whole state, and the random register if there is one."""
        spec = self._spec
        m.submodules.traces = traces = PostTraces(spec)
        m.submodules.plasticity = plasticity = Plasticity(spec)
        rule = Signal(rule_layout(spec))
        self._load(m, Region.RULE, rule)
        connect_rows(m, rows, pending, plasticity, scheduler)
        connect_traces(m, spec, traces, rows, neurons, scheduler)
        if not spec.reward:
            m.submodules.fired = fired = FiredLists(spec)
            connect_fired(m, fired, rows, neurons, scheduler)
        connect_plasticity(m, spec, plasticity, rows, traces, scheduler)
        m.d.comb += [scheduler.learn.eq(self.learn), traces.rule.eq(rule), plasticity.rule.eq(rule)]
        if spec.reward:
            with m.If(self.step & ~scheduler.busy):
                m.d.sync += plasticity.reward.eq(self.reward)
        if spec.adaptive_threshold:
            m.d.comb += [neurons.learning.eq(scheduler.learning), neurons.a_h.eq(rule.a_h)]
        layout = struct(spec.memories[Region.STATE].layout)
        state = Signal(data.ArrayLayout(layout, spec.update_lanes), name="state")
        for lane in range(spec.update_lanes):
            kept = neurons.state[lane]
            m.d.comb += [state[lane][name].eq(kept[name]) for name in neuron_state(spec).members]
            m.d.comb += state[lane].y.eq(traces.own[lane])
        if not spec.stochastic_rounding:
            return state, None
        random_en = self._load(m, Region.RANDOM, plasticity.random_data)
        m.d.comb += plasticity.random_en.eq(random_en)
        return state, plasticity.random

    def _connect_host(
        self,
        m: Module,
        rows: RowFetch,
        acc: Accumulators,
        neurons: NeuronUpdate,
        scheduler: Scheduler,
        state: data.View,
        random: Value | None,
    ) -> None:
        """Register every access; reads then follow the pipelines, which are idle."""
        m.d.comb += [
            rows.weight_en.eq(self.host.w_en & (self.host.region == Region.WEIGHTS)),
            rows.weight_addr.eq(self.host.index),
            rows.weight_data.as_value().eq(self.host.w_data),
        ]
        host = self._clocks.host
        written = (self.host.w_en, self.host.index, self.host.w_data)
        _, index, record = passed_on(m, written, "written", host, always=True)
        for target, name, code in (
            (rows, "descriptor", Region.DESCRIPTORS),
            (neurons, "level", Region.LEVELS),
            (neurons, "neuron", Region.NEURONS),
        ):
            chosen = self.host.w_en & (self.host.region == code)
            en, addr, data = (getattr(target, f"{name}_{port}") for port in ("en", "addr", "data"))
            m.d[host] += en.eq(chosen)
            if self._near:
                m.d.comb += [addr.eq(index), data.as_value().eq(record)]
                continue
            # Each has registers of its own, loaded by its own writes: they can stand near it.
            with m.If(chosen):
                m.d[host] += [addr.eq(self.host.index), data.as_value().eq(self.host.w_data)]
        self._connect_reads(m, rows, acc, neurons, scheduler, state, random)

    def _load(self, m: Module, region: Region, register: ValueLike) -> Signal:
        """A register that is a region of one record; high in the cycle after it was written."""
        chosen = self.host.w_en & (self.host.region == region)
        with m.If(chosen):
            m.d[self._clocks.host] += Value.cast(register).eq(self.host.w_data)
        return following(m, chosen, f"{region.name.lower()}_en", domain=self._clocks.host)

    def _connect_reads(
        self,
        m: Module,
        rows: RowFetch,
        acc: Accumulators,
        neurons: NeuronUpdate,
        scheduler: Scheduler,
        state: data.View,
        random: Value | None,
    ) -> None:
        """Follow a read through the pipelines to ``r_data``; nothing moves without one."""
        spec = self._spec
        region = Signal.like(self.host.region)
        index = Signal.like(self.host.index)
        reading = Signal(range(HOST_READ_LATENCY))
        with m.If(self.host.r_en):
            m.d[self._clocks.host] += [
                region.eq(self.host.region),
                index.eq(self.host.index),
                reading.eq(HOST_READ_LATENCY - 1),
            ]
        with m.Elif(reading != 0):
            m.d[self._clocks.host] += reading.eq(reading - 1)

        lane_bits = (spec.update_lanes - 1).bit_length()
        lane = index[:lane_bits]
        part = Signal(part_width(spec))
        m.d.comb += [
            part.eq(index[lane_bits : index_width(spec.neurons)]),
            neurons.issue.eq(Mux(scheduler.busy, scheduler.issue, part)),
            acc.read_part.eq(neurons.issue),
            acc.read_slot.eq(
                Mux(scheduler.busy, scheduler.slot, index >> index_width(spec.neurons))
            ),
            rows.read_addr.eq(index),
        ]
        # The lane is chosen in two cycles, half the lanes in the first.
        width = len(self.host.r_data)
        words = rows.o.synapses.as_value()
        with m.If(reading != 0):
            chosen = []
            for name, records in (
                ("state", [one.as_value() for one in state]),
                ("sums", [one.as_unsigned() for one in acc.acc]),
            ):
                halves = [
                    Signal(width, name=f"{name}{k}") for k in range((spec.update_lanes + 1) // 2)
                ]
                one = Signal(width, name=name)
                m.d[self._clocks.host] += one.eq(Array(halves)[lane[1:]])
                for k, half in enumerate(halves):
                    m.d[self._clocks.host] += half.eq(Array(records[2 * k : 2 * k + 2])[lane[:1]])
                chosen.append(one)
            records, sums = chosen
            m.d[self._clocks.host] += self.host.r_data.eq(
                Mux(region == Region.WEIGHTS, words, Mux(region == Region.STATE, records, sums))
            )
            if random is not None:
                with m.If(region == Region.RANDOM):
                    m.d[self._clocks.host] += self.host.r_data.eq(random)
