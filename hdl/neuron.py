"""The neurons: their parameters, their state and the update pipeline, ``lanes`` neurons wide."""

from amaranth.hdl import Cat, Module, ShapeLike, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.layout import Layout
from spikewright.spec import CoreSpec, Region, index_width

from .accumulator import acc_lanes
from .lane import NeuronLane
from .layouts import Clocks, Write, following, passed_on, struct

__all__ = ["NeuronUpdate", "commit_layout"]


def commit_layout(spec: CoreSpec) -> data.StructLayout:
    """What an updated group says as its new state is written."""
    return data.StructLayout({
        "valid": 1,
        "group": index_width(spec.groups),
        "last": 1,
        "end": 1,
        "spiked": 1,
        "spikes": spec.lanes,
        "saturated": spec.lanes,
    })


class NeuronUpdate(wiring.Component):
    """Update neuron groups, one a cycle, from issue to commit in ``spec.update_latency`` cycles.

    Nothing is written before the commit, so groups that were issued too early can be flushed.

    Parameters
    ----------
    spec : CoreSpec
    clocks : Clocks

    Members
    -------
    issue, issue_valid : In
        Neuron group to update. While nothing is issued its state is on ``state`` all the same.
    acc : In
        The group's accumulators, three cycles after its issue.
    running : In(1)
        A timestep is running; low in the cycle of ``zero_en`` and in the one before.
    awake : In(1)
        While low, what is not on its way to a commit may stand still, ``state`` too.
    flush : In(1)
        In the cycle of a commit: forget every group issued after that one.
    commit : Out
        The group whose state is being written.
    zero, zero_en : In
        Set a group's state to zero, a cycle later.
    level_addr, level_data, level_en : In
        Write port of the level marks, by group.
    neuron_addr, neuron_data, neuron_en : In
        Write port of the neurons' parameters, by neuron.
    state : Out
        State of each lane, steady 5 cycles after ``issue`` is.
    """

    def __init__(self, spec: CoreSpec, clocks: Clocks) -> None:
        self._spec = spec
        self._clocks = clocks
        memories = spec.memories
        group = index_width(spec.groups)
        super().__init__({
            "issue": In(group),
            "issue_valid": In(1),
            "acc": In(acc_lanes(spec)),
            "running": In(1),
            "flush": In(1),
            "awake": In(1),
            "commit": Out(commit_layout(spec)),
            "zero": In(group),
            "zero_en": In(1),
            "level_addr": In(group),
            "level_data": In(struct(memories[Region.LEVELS].layout)),
            "level_en": In(1),
            "neuron_addr": In(index_width(spec.neurons)),
            "neuron_data": In(struct(memories[Region.NEURONS].layout)),
            "neuron_en": In(1),
            "state": Out(data.ArrayLayout(struct(memories[Region.STATE].layout), spec.lanes)),
        })

    # Memories are addressed in the cycle that lets their output, registered, arrive at the stage
    # that needs it: that saves carrying it along.

    def _parameters(
        self, m: Module, names: tuple[str, ...], group: Signal, written: Write
    ) -> list[data.View]:
        """Memories of some parameters, one a lane; their output, a cycle after ``group``."""
        lane_en, addr, record = written
        fields = self._spec.memories[Region.NEURONS].layout.fields
        layout = struct(Layout(tuple(field for field in fields if field.name in names)))
        outputs = []
        for lane in range(self._spec.lanes):
            memory = _block_ram(layout, self._spec.groups)
            m.submodules[f"{names[0]}{lane}"] = memory
            write_port = memory.write_port(domain=self._clocks.host)
            m.d.comb += [
                write_port.addr.eq(addr),
                write_port.en.eq(lane_en[lane]),
            ]
            m.d.comb += [write_port.data[name].eq(record[name]) for name, _ in layout]
            outputs.append(_read(m, memory, group, self.awake, self._clocks.neurons))
        return outputs

    def _kept(
        self, m: Module, name: str, group: Signal, new: list[Signal], writing: Signal
    ) -> data.View:
        """The memory of one state variable of all lanes; its output, a cycle after ``group``.

        ``new`` goes to the committed group, or to the one to be zeroed, where ``writing`` says so.
        """
        memory = _block_ram(data.ArrayLayout(new[0].shape(), len(new)), self._spec.groups)
        m.submodules[f"state_{name}"] = memory
        write_port = memory.write_port()
        m.d.comb += [
            write_port.addr.eq(self.commit.group),
            write_port.en.eq(writing),
            *(write_port.data[lane].eq(value) for lane, value in enumerate(new)),
        ]
        return _read(m, memory, group, self.awake, "sync")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self._spec
        # Stage k holds the group issued k + 1 cycles ago.
        stages = range(spec.update_latency)
        groups = [Signal.like(self.issue, name=f"group{k}") for k in stages]
        valid = Signal(len(stages))
        writing = Signal()
        m.d.sync += [
            Cat(groups).eq(Cat(self.issue, groups)),
            valid.eq(Cat(self.issue_valid, valid) & (~self.flush).replicate(len(stages))),
            writing.eq(valid[-2] & ~self.flush),
        ]
        with m.If(self.zero_en):
            m.d.sync += [groups[-1].eq(self.zero), writing.eq(1)]

        lanes = [NeuronLane(spec, self._clocks) for _ in range(spec.lanes)]
        for k, lane in enumerate(lanes):
            m.submodules[f"lane{k}"] = lane
        m.submodules.levels = levels = Memory(
            shape=self.level_data.shape(), depth=spec.groups, init=[]
        )
        spikes = Cat(lane.spikes for lane in lanes)
        saturated = Cat(lane.saturated for lane in lanes)
        spiked = Signal()
        m.d.sync += spiked.eq(valid[-2] & ~self.flush & spikes.any())
        level_write = levels.write_port(domain=self._clocks.host)
        level = Signal.like(self.level_data)
        m.d.sync += level.eq(_read(m, levels, groups[9], self.awake, self._clocks.neurons))
        m.d.comb += [
            level_write.addr.eq(self.level_addr),
            level_write.data.eq(self.level_data),
            level_write.en.eq(self.level_en),
            self.commit.valid.eq(valid[-1]),
            self.commit.group.eq(groups[-1]),
            self.commit.last.eq(level.last),
            self.commit.end.eq(level.end),
            self.commit.spiked.eq(spiked),
            self.commit.spikes.eq(self._resting(m, spikes, "spikes")),
            self.commit.saturated.eq(self._resting(m, saturated, "saturated")),
        ]
        self._connect_lanes(m, lanes, groups, writing)
        return m

    def _resting(self, m: Module, value: Value, name: str) -> Signal:
        return following(m, value, name, when=self.awake, domain=self._clocks.neurons)

    def _connect_lanes(
        self, m: Module, lanes: list[NeuronLane], groups: list[Signal], writing: Signal
    ) -> None:
        spec = self._spec
        # Host writes ripple from memory to memory, so that no register has to reach them all.
        lane_bits = (spec.lanes - 1).bit_length()
        lane_en = Signal(spec.lanes)
        m.d.comb += lane_en.eq(self.neuron_en << self.neuron_addr[:lane_bits])
        early = (lane_en, self.neuron_addr[lane_bits:], self.neuron_data)
        later = passed_on(m, early, "written1", self._clocks.host)
        last = passed_on(m, later, "written2", self._clocks.host)
        current = self._parameters(m, ("bias", "a_syn"), groups[0], early)
        membrane = self._parameters(m, ("a_mem", "reset_to"), groups[2], later)
        firing = self._parameters(m, ("v_threshold", "reset_by", "refractory"), groups[7], last)
        kept = {"v": self._kept(m, "v", groups[2], [lane.new_v for lane in lanes], writing)}
        if spec.synapse_current:
            kept["i"] = self._kept(m, "i", groups[0], [lane.new_i for lane in lanes], writing)
        if spec.refractory_bits:
            kept["refractory"] = self._kept(
                m, "refractory", groups[1], [lane.new_r for lane in lanes], writing
            )
        for k, lane in enumerate(lanes):
            m.d.comb += [
                lane.running.eq(self.running),
                lane.awake.eq(self.awake),
                lane.acc.eq(self.acc[k]),
                lane.a_mem.eq(membrane[k].a_mem),
                lane.reset_to.eq(membrane[k].reset_to),
            ]
            read = [
                lane.bias.eq(current[k].bias),
                lane.v.eq(kept["v"][k]),
                lane.v_threshold.eq(firing[k].v_threshold),
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


def _block_ram(shape: ShapeLike, depth: int) -> Memory:
    return Memory(shape=shape, depth=depth, init=[], attrs={"ram_style": "block"})


def _read(m: Module, memory: Memory, addr: Signal, en: Signal, domain: str) -> data.View:
    """The output of a new read port, a cycle after the address."""
    port = memory.read_port(domain=domain)
    m.d.comb += [port.addr.eq(addr), port.en.eq(en)]
    return port.data
