"""The neurons: their parameters, their state and the update pipeline, a part of a group wide."""

from amaranth.hdl import Cat, Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.fixed import DECAY_BITS
from spikewright.layout import Layout
from spikewright.spec import CoreSpec, Region, index_width

from .accumulator import acc_lanes
from .lane import Decay, NeuronLane
from .layouts import (
    Clocks,
    Write,
    delayed,
    following,
    group_of,
    part_bits,
    part_width,
    passed_on,
    struct,
)
from .updates import commit_layout, neuron_state
from .winners import Winners

__all__ = ["NeuronUpdate"]


class NeuronUpdate(wiring.Component):
    """Update neurons from issue to commit in ``spec.update_latency`` cycles, a part of a group
    each cycle.

    Nothing is written before the commit, so groups that were issued too early can be flushed.

    Parameters
    ----------
    spec : CoreSpec
    clocks : Clocks
    near : bool
        As for the core.

    Members
    -------
    issue, issue_valid : In
        Part to update. While nothing is issued its state is on ``state`` all the same.
    acc : In
        The part's accumulators, three cycles after its issue.
    running : In(1)
        A timestep is running; low in the cycle of ``zero_en`` and in the one before.
    awake : In(1)
        While low, what is not on its way to a commit may stand still, ``state`` too.
    flush : In(1)
        In the cycle of a commit: forget every group issued after that one.
    commit : Out
        The part whose state is being written.
    zero, zero_en : In
        Set a part's state to zero, a cycle later.
    level_addr, level_data, level_en : In
        Write port of the level marks, by group.
    neuron_addr, neuron_data, neuron_en : In
        Write port of the neurons' parameters, by neuron.
    state : Out
        State of each lane, steady 5 cycles after ``issue`` is.
    issue_again, issue_settles : In(1)
        With ``winners``: the group's level was updated before; this is its last time.
    part_ahead : Out
        With plasticity: the part to be committed two cycles later; outside timesteps the one
        whose state is on its way.
    learning, a_h : In
        With ``adaptive_threshold``: thresholds move on, their offsets' decay.
    """

    def __init__(self, spec: CoreSpec, clocks: Clocks, *, near: bool = False) -> None:
        self._spec = spec
        self._clocks = clocks
        self._near = near
        memories = spec.memories
        part = part_width(spec)
        super().__init__({
            **({"issue_again": In(1), "issue_settles": In(1)} if spec.winners else {}),
            **({"part_ahead": Out(part)} if spec.plastic else {}),
            **({"learning": In(1), "a_h": In(DECAY_BITS + 1)} if spec.adaptive_threshold else {}),
            "issue": In(part),
            "issue_valid": In(1),
            "acc": In(acc_lanes(spec)),
            "running": In(1),
            "flush": In(1),
            "awake": In(1),
            "commit": Out(commit_layout(spec)),
            "zero": In(part),
            "zero_en": In(1),
            "level_addr": In(index_width(spec.groups)),
            "level_data": In(struct(memories[Region.LEVELS].layout)),
            "level_en": In(1),
            "neuron_addr": In(index_width(spec.neurons)),
            "neuron_data": In(struct(memories[Region.NEURONS].layout)),
            "neuron_en": In(1),
            "state": Out(data.ArrayLayout(neuron_state(spec), spec.update_lanes)),
        })

    # Memories are addressed in the cycle that lets their output, registered, arrive at the stage
    # that needs it: that saves carrying it along.

    def _parameters(
        self, m: Module, names: tuple[str, ...], part: Signal, written: Write
    ) -> list[data.View]:
        """Memories of some parameters, one a lane; their output, a cycle after ``part``."""
        lane_en, addr, record = written
        fields = self._spec.memories[Region.NEURONS].layout.fields
        layout = struct(Layout(tuple(field for field in fields if field.name in names)))
        outputs = []
        for lane in range(self._spec.update_lanes):
            memory = _block_ram(layout, self._spec.parts)
            m.submodules[f"{names[0]}{lane}"] = memory
            write_port = memory.write_port(domain=self._clocks.host)
            m.d.comb += [
                write_port.addr.eq(addr),
                write_port.en.eq(lane_en[lane]),
            ]
            m.d.comb += [write_port.data[name].eq(record[name]) for name, _ in layout]
            outputs.append(_read(m, memory, part, self.awake, self._clocks.neurons))
        return outputs

    def _kept(
        self, m: Module, name: str, parts: list[Signal], stage: int, new: list[Signal], en: Value
    ) -> data.View:
        """The memory of one state variable of all lanes; its output, a cycle after ``stage``.

        ``new`` goes to the part at the last stage, which is the committed one or that to be zeroed,
        where ``en`` says so.
        """
        memory = _block_ram(data.ArrayLayout(new[0].shape(), len(new)), self._spec.parts)
        m.submodules[f"state_{name}"] = memory
        write_port = memory.write_port()
        m.d.comb += [
            write_port.addr.eq(parts[-1]),
            write_port.en.eq(en),
            *(write_port.data[lane].eq(value) for lane, value in enumerate(new)),
        ]
        return _read(m, memory, parts[stage], self.awake, "sync")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self._spec
        # Stage k holds the part issued k + 1 cycles ago.
        stages = range(spec.update_latency)
        parts = [Signal.like(self.issue, name=f"part{k}") for k in stages]
        valid = Signal(len(stages))
        writing = Signal()
        m.d.sync += [
            Cat(parts).eq(Cat(self.issue, parts)),
            valid.eq(Cat(self.issue_valid, valid) & (~self.flush).replicate(len(stages))),
            writing.eq(valid[-2] & ~self.flush),
        ]
        with m.If(self.zero_en):
            m.d.sync += [parts[-1].eq(self.zero), writing.eq(1)]

        lanes = [NeuronLane(spec, self._clocks) for _ in range(spec.update_lanes)]
        for k, lane in enumerate(lanes):
            m.submodules[f"lane{k}"] = lane
        m.submodules.levels = levels = Memory(
            shape=self.level_data.shape(), depth=spec.groups, init=[]
        )
        level_write = levels.write_port(domain=self._clocks.host)
        level = Signal.like(self.level_data)
        keeping = {"v": writing, "i": writing, "refractory": writing}
        again = Signal(len(stages))
        if spec.winners:
            # The level must be known a cycle earlier.
            found = self._level(m, levels, parts[8])
            level_10 = following(m, found, "level10")
            m.d.sync += level.eq(level_10)
            keeping |= self._find_winners(m, lanes, parts, valid, again, level_10, level)
        else:
            m.d.sync += level.eq(self._level(m, levels, parts[9]))
            if spec.plastic:
                m.d.comb += self.commit.final.eq(1)
        spikes = Cat(lane.spikes for lane in lanes)
        saturated: Value = Cat(lane.saturated for lane in lanes)
        if spec.winners:
            saturated = saturated & ~again[10].replicate(len(lanes))
        m.d.comb += [
            level_write.addr.eq(self.level_addr),
            level_write.data.eq(self.level_data),
            level_write.en.eq(self.level_en),
            self.commit.valid.eq(valid[-1]),
            self.commit.group.eq(group_of(spec, parts[-1])),
            self.commit.part.eq(parts[-1]),
            self.commit.whole.eq(self.commit.part.all()),
            self.commit.last.eq(level.last & self.commit.whole),
            self.commit.end.eq(level.end & self.commit.whole),
            self.commit.fired.eq(self._resting(m, spikes, "fired")),
            self.commit.saturated.eq(self._resting(m, saturated, "saturated")),
        ]
        self._collect(m, parts[-2], valid[-2] & ~self.flush, spikes.any())
        if spec.plastic:
            m.d.comb += self.part_ahead.eq(Mux(self.running, parts[9], parts[2]))
        self._connect_lanes(m, lanes, parts, keeping)
        return m

    def _level(self, m: Module, levels: Memory, part: Signal) -> data.View:
        """Marks of the part's group, a cycle later."""
        group = group_of(self._spec, part)
        return _read(m, levels, group, self.awake, self._clocks.neurons)

    def _collect(self, m: Module, part: Signal, valid: Value, fires: Value) -> None:
        """Spikes of a group's parts, which come as its last part is committed.

        The arguments are those of the stage before.
        """
        whole = part[: part_bits(self._spec)].all()
        fired_before, spiked = Signal(), Signal()
        earlier = Signal(self._spec.lanes - self._spec.update_lanes)
        collected = Cat(earlier, self.commit.fired)
        with m.If(valid):
            m.d.sync += fired_before.eq(~whole & (fired_before | fires))
        with m.If(self.commit.valid):
            m.d.sync += earlier.eq(collected[len(self.commit.fired) :])
        m.d.sync += spiked.eq(valid & whole & (fired_before | fires))
        m.d.comb += [self.commit.spikes.eq(collected), self.commit.spiked.eq(spiked)]

    def _find_winners(
        self,
        m: Module,
        lanes: list[NeuronLane],
        parts: list[Signal],
        valid: Signal,
        again: Signal,
        level_10: data.View,
        level: data.View,
    ) -> dict[str, Value]:
        """Connect the search for winners; when i and the refractory counter are written then."""
        settles = Signal(len(valid))
        m.submodules.winners = winners = Winners(self._spec)
        restricted = level_10.winners.any() & ~settles[10]
        commits = valid[10] & ~self.flush
        keeping = {"i": commits & ~again[10], "refractory": commits & ~restricted}
        m.d.sync += [
            again.eq(Cat(self.issue_again, again)),
            settles.eq(Cat(self.issue_settles, settles)),
        ]
        m.d.comb += [
            winners.part.eq(parts[10]),
            winners.candidates.eq(Cat(lane.candidate for lane in lanes)),
            winners.searches.eq(commits & restricted),
            winners.restricted.eq(restricted),
            winners.again.eq(again[10]),
            winners.settles.eq(settles[10]),
            winners.ends.eq(valid[11] & self.commit.last & ~self.commit.final),
            winners.first.eq(~again[11]),
            winners.most.eq(level.winners),
            self.commit.final.eq(~following(m, restricted, "restricted")),
            self.commit.more.eq(winners.more),
        ]
        for k, lane in enumerate(lanes):
            m.d.comb += [
                winners.keys[k].eq(lane.key),
                lane.again.eq(again[3]),
                lane.wins.eq(winners.wins[k]),
                lane.rests.eq(winners.rests),
            ]
        return {
            name: following(m, value | self.zero_en, f"writing_{name}")
            for name, value in keeping.items()
        }

    def _resting(self, m: Module, value: Value, name: str) -> Signal:
        return following(m, value, name, when=self.awake, domain=self._clocks.neurons)

    def _connect_lanes(
        self,
        m: Module,
        lanes: list[NeuronLane],
        parts: list[Signal],
        writing: dict[str, Value],
    ) -> None:
        spec = self._spec
        lane_bits = (len(lanes) - 1).bit_length()
        lane_en = Signal(len(lanes))
        m.d.comb += lane_en.eq(self.neuron_en << self.neuron_addr[:lane_bits])
        early = (lane_en, self.neuron_addr[lane_bits:], self.neuron_data)
        later = last = early
        if not self._near:
            # Writes ripple from memory to memory, so that no register has to reach them all.
            later = passed_on(m, early, "written1", self._clocks.host)
            last = passed_on(m, later, "written2", self._clocks.host)
        current = self._parameters(m, ("bias", "a_syn"), parts[0], early)
        membrane = self._parameters(m, ("a_mem", "reset_to"), parts[2], later)
        if spec.adaptive_threshold:
            firing = self._parameters(m, ("reset_by", "refractory", "h_step"), parts[7], last)
            thresholds = self._offsets(m, parts, firing, last)
        else:
            firing = self._parameters(m, ("v_threshold", "reset_by", "refractory"), parts[7], last)
            thresholds = [one.v_threshold for one in firing]
        new = {
            "v": (2, [lane.new_v for lane in lanes]),
            "i": (0, [lane.new_i for lane in lanes]),
            "refractory": (1, [lane.new_r for lane in lanes]),
        }
        kept = {
            name: self._kept(m, name, parts, *new[name], writing[name])
            for name in neuron_state(spec).members
            if name in new
        }
        running = following(m, self.running, "lanes_running")
        for k, lane in enumerate(lanes):
            m.d.comb += [
                lane.running.eq(running),
                lane.awake.eq(self.awake),
                lane.acc.eq(self.acc[k]),
                lane.a_mem.eq(membrane[k].a_mem),
                lane.reset_to.eq(membrane[k].reset_to),
            ]
            read = [
                lane.bias.eq(current[k].bias),
                lane.v.eq(kept["v"][k]),
                lane.v_threshold.eq(thresholds[k]),
                lane.reset_by.eq(firing[k].reset_by),
            ]
            m.d.comb += self.state[k].v.eq(lane.v)
            if spec.synapse_current:
                read += [lane.a_syn.eq(current[k].a_syn), lane.i.eq(kept["i"][k])]
                m.d.comb += self.state[k].i.eq(lane.i)
            if spec.refractory_bits:
                read += [
                    lane.r.eq(kept["refractory"][k]),
                    lane.refractory.eq(firing[k].refractory),
                ]
                m.d.comb += self.state[k].refractory.eq(lane.r)
            with m.If(self.awake):
                m.d[self._clocks.neurons] += read

    def _offsets(
        self, m: Module, parts: list[Signal], firing: list[data.View], loaded: Write
    ) -> list[Value]:
        """Thresholds with their offsets at stage 8, and how the offsets move on.

        An offset decays from stage 8 to the commit, where the spike is known, and is written a
        cycle later. The host loads it too.
        """
        spec = self._spec
        bits = spec.state_bits - 1
        memory = _block_ram(data.ArrayLayout(bits, spec.update_lanes), spec.parts)
        m.submodules.state_h = memory
        read_port, write_port = memory.read_port(), memory.write_port(granularity=1)
        h = following(m, read_port.data, "h")
        learned = following(m, self.commit.valid & self.commit.final & self.learning, "learned")
        part = following(m, parts[-1], "learned_part")
        lane_en, addr, record = loaded
        m.d.comb += [
            read_port.addr.eq(Mux(self.running, parts[6], parts[2])),
            write_port.addr.eq(Mux(learned, part, addr)),
            write_port.en.eq(Mux(learned, ~0, lane_en)),
        ]
        given = self._parameters(m, ("v_threshold",), parts[6], loaded)
        thresholds: list[Value] = []
        for k in range(spec.update_lanes):
            m.submodules[f"decay_h{k}"] = decay = Decay(spec, bits + 1, Clocks())
            step = delayed(m, firing[k].h_step, 3, f"h_step{k}_")
            grown = decay.o[:bits] + Mux(self.commit.fired[k], step, 0)
            new = following(m, grown[:bits] | grown[bits].replicate(bits), f"new_h{k}")
            threshold = following(m, given[k].v_threshold, f"v_threshold{k}")
            thresholds.append(threshold + h[k])
            m.d.comb += [
                decay.awake.eq(1),
                decay.x.eq(h[k]),
                decay.a.eq(self.a_h),
                write_port.data[k].eq(Mux(learned, new, record.h)),
                self.state[k].h.eq(h[k]),
            ]
        return thresholds


def _block_ram(shape: ShapeLike, depth: int) -> Memory:
    return Memory(shape=shape, depth=depth, init=[], attrs={"ram_style": "block"})


def _read(m: Module, memory: Memory, addr: Signal, en: Signal, domain: str) -> data.View:
    """The output of a new read port, a cycle after the address."""
    port = memory.read_port(domain=domain)
    m.d.comb += [port.addr.eq(addr), port.en.eq(en)]
    return port.data
