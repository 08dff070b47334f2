"""The neurons: their parameters, their state and the update pipeline, ``lanes`` neurons wide."""

from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.fixed import DECAY_BITS, signed_range
from spikewright.layout import Field, Layout
from spikewright.spec import CoreSpec, Region, index_width

from .accumulator import acc_lanes
from .layouts import struct

__all__ = ["Decay", "NeuronUpdate", "commit_layout", "saturate"]


def saturate(value: Value, bits: int) -> tuple[Value, Value]:
    """Clamp a signed value to ``bits`` bits; also say whether that changed it."""
    low, high = signed_range(bits)
    top = value[bits - 1 :]
    clamped = top.any() & ~top.all()
    limit = Mux(value[-1], Const(low, signed(bits)), Const(high, signed(bits)))
    return Mux(clamped, limit, value[:bits].as_signed()), clamped


class Decay(wiring.Component):
    """Multiply a state by a decay factor, rounding toward zero: ``trunc0(x * a / 4096)``.

    Latency 2 cycles, throughput one a cycle. With x = 4096 h + l and 0 <= l < 4096 the floor of the
    quotient is ``h * a + (l * a >> 12)``, exact if the low bits of ``l * a`` are zero and one too
    low for a negative x otherwise. So two small products do, and no product is wider than 26 bits.

    With ``shift`` decay ``a = 4096 - (4096 >> k)``, and the same quotient is ``x - (x >> k)``, one
    less for a positive x that the shift cut bits off.

    Members
    -------
    x : In, signed state
    a : In, UQ1.12
    o : Out, signed state
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        super().__init__({
            "x": In(signed(spec.state_bits)),
            "a": In(DECAY_BITS + 1),
            "o": Out(signed(spec.state_bits)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._spec.decay == "shift":
            self._shift(m)
        else:
            self._multiply(m)
        return m

    def _multiply(self, m: Module) -> None:
        x = Signal(signed(max(self._spec.state_bits, DECAY_BITS + 1)))
        low = Signal(2 * DECAY_BITS + 1)
        high = Signal(signed(len(x) + 1))
        m.d.comb += x.eq(self.x)
        m.d.sync += [
            low.eq(x[:DECAY_BITS] * self.a),
            high.eq(x[DECAY_BITS:].as_signed() * self.a),
        ]
        # x is negative where the upper product is; a zero factor leaves both products zero.
        up = high[-1] & low[:DECAY_BITS].any()
        m.d.sync += self.o.eq(high + (low >> DECAY_BITS) + up)

    def _shift(self, m: Module) -> None:
        k = Signal(range(DECAY_BITS + 1))
        ones = Signal(DECAY_BITS)
        m.d.comb += ones.eq(self.a[:DECAY_BITS])
        # k is the number of leading ones.
        for count in range(1, DECAY_BITS + 1):
            with m.If(ones[DECAY_BITS - count]):
                m.d.comb += k.eq(count)
        x = Signal.like(self.x)
        shifted = Signal.like(self.x)
        down = Signal()
        with m.If(self.a[DECAY_BITS]):
            m.d.sync += [shifted.eq(0), down.eq(0)]
        with m.Else():
            cut = (self.x & ((1 << k) - 1))[:DECAY_BITS].any()
            m.d.sync += [shifted.eq(self.x >> k), down.eq(~self.x[-1] & cut)]
        m.d.sync += [x.eq(self.x), self.o.eq(x - shifted - down)]


def commit_layout(spec: CoreSpec) -> data.StructLayout:
    """What an updated group says as its new state is written."""
    return data.StructLayout({
        "valid": 1,
        "group": index_width(spec.groups),
        "last": 1,
        "end": 1,
        "spikes": spec.lanes,
        "saturated": spec.lanes,
    })


class NeuronUpdate(wiring.Component):
    """Update neuron groups, one a cycle, from issue to commit in ``spec.update_latency`` cycles.

    Nothing is written before the commit, so groups that were issued too early can be flushed.

    Members
    -------
    issue, issue_valid : In
        Neuron group to update. While nothing is issued its state is on ``state`` all the same.
    acc : In
        The group's accumulators, two cycles after the issue.
    flush : In(1)
        In the cycle of a commit: forget every group issued after that one.
    commit : Out
        The group whose state is being written.
    zero, zero_en : In
        Set a group's state to zero.
    level_addr, level_data, level_en : In
        Write port of the level marks, by group.
    neuron_addr, neuron_data, neuron_en : In
        Write port of the neurons' parameters, by neuron.
    state : Out
        State of each lane, steady 6 cycles after ``issue`` is.
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        memories = spec.memories
        group = index_width(spec.groups)
        self._state_layout = struct(memories[Region.STATE].layout)
        super().__init__({
            "issue": In(group),
            "issue_valid": In(1),
            "acc": In(acc_lanes(spec)),
            "flush": In(1),
            "commit": Out(commit_layout(spec)),
            "zero": In(group),
            "zero_en": In(1),
            "level_addr": In(group),
            "level_data": In(struct(memories[Region.LEVELS].layout)),
            "level_en": In(1),
            "neuron_addr": In(index_width(spec.neurons)),
            "neuron_data": In(struct(memories[Region.NEURONS].layout)),
            "neuron_en": In(1),
            "state": Out(data.ArrayLayout(self._state_layout, spec.lanes)),
        })

    # Memories are addressed in the cycle that lets their output, registered once, arrive at the
    # stage that needs it: that saves carrying it along.

    def _parameters(self, m: Module, names: tuple[str, ...], group: Signal) -> list[data.View]:
        """Memories of some parameters, one a lane; registered two cycles after ``group``."""
        spec = self._spec
        fields = spec.memories[Region.NEURONS].layout.fields
        chosen: tuple[Field, ...] = tuple(field for field in fields if field.name in names)
        layout = struct(Layout(chosen))
        lane_bits = (spec.lanes - 1).bit_length()
        outputs = []
        for lane in range(spec.lanes):
            memory = Memory(shape=layout, depth=spec.groups, init=[], attrs={"ram_style": "block"})
            m.submodules[f"{names[0]}{lane}"] = memory
            write_port = memory.write_port()
            read_port = memory.read_port()
            output = Signal(layout, name=f"{names[0]}{lane}")
            m.d.comb += [
                write_port.addr.eq(self.neuron_addr >> lane_bits),
                write_port.en.eq(self.neuron_en & (self.neuron_addr[:lane_bits] == lane)),
                read_port.addr.eq(group),
                read_port.en.eq(1),
            ]
            m.d.comb += [write_port.data[f.name].eq(self.neuron_data[f.name]) for f in chosen]
            m.d.sync += output.eq(read_port.data)
            outputs.append(output)
        return outputs

    def _kept(
        self, m: Module, name: str, shape: Shape, group: Signal, new: list[Signal]
    ) -> data.View:
        """A memory of one state variable of all lanes; registered two cycles after ``group``."""
        layout = data.ArrayLayout(shape, self._spec.lanes)
        memory = Memory(
            shape=layout, depth=self._spec.groups, init=[], attrs={"ram_style": "block"}
        )
        m.submodules[name] = memory
        write_port = memory.write_port()
        read_port = memory.read_port()
        output = Signal(layout, name=name)
        m.d.comb += [
            write_port.addr.eq(Mux(self.zero_en, self.zero, self.commit.group)),
            write_port.en.eq(self.zero_en | self.commit.valid),
            read_port.addr.eq(group),
            read_port.en.eq(1),
        ]
        m.d.comb += [write_port.data[k].eq(Mux(self.zero_en, 0, new[k])) for k in range(len(new))]
        m.d.sync += output.eq(read_port.data)
        return output

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self._spec
        state = signed(spec.state_bits)
        refractory_shape = Shape(spec.refractory_bits)

        # Stage k holds the group issued k cycles ago.
        stages = range(1, spec.update_latency + 1)
        groups = [self.issue, *(Signal.like(self.issue, name=f"group{k}") for k in stages)]
        valid = [self.issue_valid, *(Signal(name=f"valid{k}") for k in stages)]
        for k in stages:
            m.d.sync += [groups[k].eq(groups[k - 1]), valid[k].eq(valid[k - 1] & ~self.flush)]
        m.submodules.levels = levels = Memory(
            shape=self.level_data.shape(), depth=spec.groups, init=[]
        )
        level_write = levels.write_port()
        level_read = levels.read_port()
        level = Signal.like(self.level_data)
        self._spikes = Signal(spec.lanes)
        self._saturated = Signal(spec.lanes)
        m.d.comb += [
            level_write.addr.eq(self.level_addr),
            level_write.data.eq(self.level_data),
            level_write.en.eq(self.level_en),
            level_read.addr.eq(groups[-3]),
            level_read.en.eq(1),
            self.commit.valid.eq(valid[-1]),
            self.commit.group.eq(groups[-1]),
            self.commit.last.eq(level.last),
            self.commit.end.eq(level.end),
            self.commit.spikes.eq(self._spikes),
            self.commit.saturated.eq(self._saturated),
        ]
        m.d.sync += level.eq(level_read.data)

        new_v = [Signal(state, name=f"new_v{k}") for k in range(spec.lanes)]
        new_i = [Signal(state, name=f"new_i{k}") for k in range(spec.lanes)]
        new_r = [Signal(refractory_shape, name=f"new_r{k}") for k in range(spec.lanes)]
        current = self._parameters(m, ("bias", "a_syn"), groups[0])
        membrane = self._parameters(m, ("a_mem",), groups[2])
        threshold = self._parameters(
            m, ("v_threshold", "reset", "reset_to", "refractory"), groups[6]
        )
        v = self._kept(m, "v", state, groups[2], new_v)
        i = self._kept(m, "i", state, groups[0], new_i) if spec.synapse_current else None
        r = (
            self._kept(m, "refractory", refractory_shape, groups[2], new_r)
            if spec.refractory_bits
            else None
        )
        for lane in range(spec.lanes):
            tap = self.state[lane]
            m.d.comb += tap.v.eq(v[lane])
            if i is not None:
                m.d.comb += tap.i.eq(i[lane])
            if r is not None:
                m.d.comb += tap.refractory.eq(r[lane])
            i_now, i_clamped = self._current(m, lane, current[lane], None if i is None else i[lane])
            self._membrane(
                m,
                lane,
                membrane[lane],
                threshold[lane],
                v[lane],
                Const(0, 1) if r is None else r[lane],
                i_now,
                i_clamped,
                new_v[lane],
                new_i[lane],
                new_r[lane],
            )
        return m

    def _delayed(self, m: Module, value: Value, cycles: int) -> Value:
        for _ in range(cycles):
            later = Signal(value.shape())
            m.d.sync += later.eq(value)
            value = later
        return value

    def _current(
        self, m: Module, lane: int, parameters: data.View, i: Value | None
    ) -> tuple[Signal, Signal]:
        """Stages 2 to 5: ``sat(decay(i, a_syn) + (acc << f) + bias)``, registered for stage 6."""
        spec = self._spec
        i_now = Signal(signed(spec.state_bits), name=f"i_now{lane}")
        clamped = Signal(name=f"i_clamped{lane}")
        drive = (self.acc[lane] << spec.fraction_bits) + parameters.bias
        wide = self._delayed(m, drive, 2)
        if i is not None:
            m.submodules[f"decay_i{lane}"] = decay = Decay(spec)
            m.d.comb += [decay.x.eq(i), decay.a.eq(parameters.a_syn)]
            wide = wide + decay.o
        value, over = saturate(self._delayed(m, wide, 1), spec.state_bits)
        m.d.sync += [i_now.eq(value), clamped.eq(over)]
        return i_now, clamped

    def _membrane(
        self,
        m: Module,
        lane: int,
        membrane: data.View,
        threshold: data.View,
        v: Value,
        r: Value,
        i_now: Signal,
        i_clamped: Signal,
        new_v: Signal,
        new_i: Signal,
        new_r: Signal,
    ) -> None:
        """Stages 4 to 10: decay, add the current, saturate, compare, reset."""
        spec = self._spec
        m.submodules[f"decay_v{lane}"] = decay = Decay(spec)
        m.d.comb += [decay.x.eq(v), decay.a.eq(membrane.a_mem)]
        held = self._delayed(m, r != 0, 3)  # stage 7
        sum_v = self._delayed(m, decay.o + i_now, 1)  # stage 7
        value, over = saturate(sum_v, spec.state_bits)
        moved = self._delayed(m, Mux(held, self._delayed(m, v, 3), value), 1)  # stage 8
        v_clamped = self._delayed(m, over & ~held, 1)

        fires = self._delayed(m, (moved > threshold.v_threshold) & ~self._delayed(m, held, 1), 1)
        after = self._delayed(
            m, Mux(threshold.reset_to, threshold.reset, moved - threshold.reset)[: len(v)], 1
        )  # stage 9
        rest = self._delayed(m, Mux(r != 0, r - 1, 0)[: len(r)], 5)
        moved = self._delayed(m, moved, 1)
        m.d.sync += [
            new_v.eq(Mux(fires, after, moved)),
            new_i.eq(self._delayed(m, i_now, 3)),
            self._spikes[lane].eq(fires),
            self._saturated[lane].eq(
                self._delayed(m, i_clamped, 3) | self._delayed(m, v_clamped, 1)
            ),
        ]
        if spec.refractory_bits:
            waits = self._delayed(m, threshold.refractory, 1)
            m.d.sync += new_r.eq(Mux(fires, waits, rest))
