"""On-chip learning: what changes as rows are read, and which rows are read again for it."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.learning import LANE_TURN, RANDOM_BITS, REWARD_BITS
from spikewright.spec import CoreSpec, index_width

from .layouts import delayed, following
from .synapses import SynapseLane, WeightChange, draw_stage, synapse_latency
from .traces import TRACE_LATENCY, TraceUpdate, rule_layout
from .words import (
    pair_width,
    rows_at_once,
    trace_record,
    weight_word,
    word_addresses,
    word_pair,
)

__all__ = ["Plasticity"]


class Plasticity(wiring.Component):
    """Learn from the words of rows as they pass by, one a cycle, and keep the pre traces.

    A source whose row was integrated is listed. A learning pass, after the last level, hands the
    listed sources out in their order; those that have a pre trace left, or eligibilities in their
    rows, are listed again. Words come back changed ``synapse_latency`` cycles later, and the
    source's trace with the last of its row.

    With paired rows two sources are listed as one, and go through a pass together.

    Members
    -------
    word : In
        Not to be stalled; counts while ``learning``.
    y : In
        Post traces of the word's group.
    fired : In
        Spikes of the word's group; with ``reward``.
    learning : In(1)
        Steady from the start of a timestep to its end.
    reward : In, Q1.6
        Likewise; only with ``reward``.
    rule : In
    random, random_data, random_en : Out, In, In
        The random register, and a write to it; only with ``stochastic_rounding``.
    start : In(1)
        A learning pass begins.
    o : Out(stream)
        Sources for the pass, of a pair the first.
    any_listed, listing : Out(1)
        Sources are listed; some are left in the pass.
    learned_addr, learned_data, learned_en : Out
        Words as they were learned, each lane's own, of each of the rows that are read at once.
    trace_addr, trace_data, trace_en : Out
        Pre traces, likewise.
    clear : In(1)
        Forget the list.
    zero, zero_en : In
        Meanwhile: a source whose trace is to be zero.
    """

    def __init__(self, spec: CoreSpec) -> None:
        self._spec = spec
        source = index_width(spec.sources)
        with_reward = {"reward": In(signed(REWARD_BITS)), "fired": In(spec.lanes)}
        with_random = {
            "random": Out(RANDOM_BITS),
            "random_data": In(RANDOM_BITS),
            "random_en": In(1),
        }
        super().__init__({
            "word": In(weight_word(spec)),
            "y": In(data.ArrayLayout(spec.trace_bits, spec.lanes)),
            "learning": In(1),
            "rule": In(rule_layout(spec)),
            "start": In(1),
            "o": Out(stream.Signature(source)),
            "any_listed": Out(1),
            "listing": Out(1),
            "learned_addr": Out(word_addresses(spec)),
            "learned_data": Out(word_pair(spec)),
            "learned_en": Out(data.ArrayLayout(spec.lanes, rows_at_once(spec))),
            "trace_addr": Out(pair_width(spec)),
            "trace_data": Out(data.ArrayLayout(trace_record(spec), rows_at_once(spec))),
            "trace_en": Out(rows_at_once(spec)),
            "clear": In(1),
            "zero": In(source),
            "zero_en": In(1),
            **(with_reward if spec.reward else {}),
            **(with_random if spec.stochastic_rounding else {}),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, word, latency = self._spec, self.word, synapse_latency(self._spec)
        learns = self.learning & (word.passing | word.learns)
        rows = range(rows_at_once(spec))
        # Which of the rows that are read at once the word is of.
        of_row = Signal(len(rows))
        m.d.comb += of_row.eq(~0)
        if spec.paired_rows:
            m.d.comb += of_row.eq(Cat(word.passing | (word.source[0] == k) for k in rows))
        addresses = delayed(m, word.addresses, latency, "addresses")
        m.d.comb += self.learned_addr.eq(addresses)
        for k in rows:
            changes = Mux(learns & of_row[k], word.changes, 0)
            changed = Value.cast(delayed(m, changes, latency, f"changes{k}"))
            m.d.comb += self.learned_en[k].eq(changed & self._row(m, k, latency))
        draws = Signal()
        if spec.stochastic_rounding:
            drawing = learns & word.valid & (word.passing if spec.reward else 1)
            m.d.comb += draws.eq(delayed(m, drawing, draw_stage(spec), "draws"))
            with m.If(draws):
                m.d.sync += self.random.eq(_next_random(self.random))
            with m.If(self.random_en):
                m.d.sync += self.random.eq(self.random_data)
        row_ends = (learns & word.row_ends).replicate(len(rows)) & of_row
        self._sources(m, Value.cast(delayed(m, row_ends, latency, "row_ends")), latency)
        return m

    def _row(self, m: Module, k: int, latency: int) -> Value:
        """The synapses of a row's word; in which lanes they are to be written, that much later."""
        spec, word, learned = self._spec, self.word, self.learned_data[k]
        synapses = word.pair[k] if spec.paired_rows else word.synapses
        x = word.traces[k].x
        changes = self._changes(m, k, synapses)
        writes = []
        for lane in range(spec.lanes):
            m.submodules[f"lane{lane}_{k}"] = synapse = SynapseLane(spec)
            change = changes[lane % len(changes)]
            m.d.comb += [
                synapse.weight.eq(synapses[f"weight{lane}"]),
                synapse.plastic.eq(synapses[f"plastic{lane}"]),
                synapse.moves.eq(Mux(word.passing, x.any(), self.y[lane].any())),
                synapse.rule.eq(self.rule),
                synapse.change.eq(change.change),
                synapse.falls.eq(change.falls),
                synapse.bound.eq(change.bound),
                synapse.fell.eq(change.fell),
                learned[f"weight{lane}"].eq(synapse.new_weight),
            ]
            if spec.reward:
                m.d.comb += learned[f"eligibility{lane}"].eq(change.new_eligibility)
            kept = ["plastic"] + ["delay"] * bool(spec.delay_bits)
            m.d.comb += [
                learned[name].eq(delayed(m, synapses[name], latency, f"{name}_{k}_"))
                for name in (f"{kind}{lane}" for kind in kept)
            ]
            writes.append(synapse.writes)
        return Cat(writes)

    def _changes(self, m: Module, k: int, synapses: data.View) -> list[WeightChange]:
        """How far the weights of a row's word go: each its own way, or all the same one."""
        spec, rule, word = self._spec, self.rule, self.word
        passing, trace = word.passing, word.traces[k]
        opposite = Mux(passing, trace.opposite, word.opposite)
        is_window = spec.plasticity == "window"
        differ = spec.soft_bounds or spec.reward or spec.stochastic_rounding or not is_window
        changes = [WeightChange(spec) for _ in range(spec.lanes if differ else 1)]
        for lane, change in enumerate(changes):
            m.submodules[f"change{lane}_{k}"] = change
            post, pre = trace.x, self.y[lane]
            m.d.comb += [
                change.size.eq(
                    Mux(passing, rule.post_change, rule.pre_change)
                    if is_window
                    else Mux(passing, post, pre)
                ),
                change.down.eq(opposite ^ Mux(passing, rule.post_lowers, ~rule.pre_raises)),
                change.rule.eq(rule),
            ]
            if spec.soft_bounds:
                m.d.comb += change.weight.eq(synapses[f"weight{lane}"])
            if spec.stochastic_rounding:
                turn = LANE_TURN * lane % RANDOM_BITS
                m.d.comb += change.random.eq(self.random.rotate_right(turn))
            if spec.reward:
                moves = Mux(passing, post.any() & self.fired[lane], pre.any())
                m.d.comb += [
                    change.moves.eq(moves & synapses[f"plastic{lane}"]),
                    change.passing.eq(passing),
                    change.reward.eq(self.reward),
                    change.eligibility.eq(synapses[f"eligibility{lane}"]),
                ]
        return changes

    def _sources(self, m: Module, row_ends: Value, latency: int) -> None:
        """Traces and list at the end of every row, and the list's way out in a pass.

        What the arguments and names say is that of the word that comes back.
        """
        spec, rows = self._spec, rows_at_once(self._spec)
        source = Value.cast(delayed(m, self.word.source, latency - 1, "source"))
        index = following(m, source, "index") >> (rows - 1)
        passing = following(m, delayed(m, self.word.passing, latency - 1, "passing"), "was_passing")
        zeroes = self.clear & self.zero_en
        stays = self._stays(m, row_ends, latency) | ~passing
        ends = row_ends.any()
        m.d.comb += [
            self.trace_en.eq(row_ends | zeroes.replicate(rows)),
            self.trace_addr.eq(Mux(self.clear, self.zero >> (rows - 1), index)),
        ]
        for k in range(rows):
            data = self._trace(m, k, latency)
            m.d.comb += self.trace_data[k].eq(Mux(self.clear, 0, data))

        # Whether they are listed; asked for a cycle ahead, with what is written in that cycle.
        m.submodules.marks = marks = Memory(shape=1, depth=-(-spec.sources // rows), init=[])
        write_port = marks.write_port()
        read_port = marks.read_port(transparent_for=[write_port])
        m.d.comb += [
            read_port.addr.eq(source >> (rows - 1)),
            write_port.addr.eq(self.trace_addr),
            write_port.data.eq(stays & ~self.clear),
            write_port.en.eq(ends | zeroes),
        ]
        is_listed = Signal()
        m.d.comb += is_listed.eq(read_port.data)
        self._list(m, ends & stays & (passing | ~is_listed), index)

    def _trace(self, m: Module, k: int, latency: int) -> Value:
        """A row's pre trace, as it is at the end of the row, with what goes with it."""
        spec, rule, word = self._spec, self.rule, self.word
        m.submodules[f"x{k}"] = update = TraceUpdate(spec)
        m.d.comb += [
            update.x.eq(word.traces[k].x),
            update.step.eq(rule.pre_step),
            update.event.eq(~word.passing),
            update.decays.eq(word.passing),
        ]
        if spec.plasticity == "trace":
            m.d.comb += [update.nearest.eq(rule.nearest), update.a.eq(rule.a_pre)]
        new = Signal(trace_record(spec))
        opposite = Mux(word.passing, word.traces[k].opposite, word.opposite)
        m.d.comb += [
            new.x.eq(delayed(m, update.o, latency - TRACE_LATENCY, f"x{k}_")),
            new.opposite.eq(delayed(m, opposite, latency, f"opposite{k}_")),
        ]
        return new

    def _stays(self, m: Module, row_ends: Value, latency: int) -> Value:
        """Whether anything is left to work on after this timestep."""
        spec = self._spec
        stays = Cat(self.trace_data[k].x.any() for k in range(rows_at_once(spec))).any()
        if spec.reward:
            # Of all the row's words, up to and with this one.
            alive = Signal()
            so_far = Signal()
            learned = self.learned_data[0]
            any_left = Cat(learned[f"eligibility{k}"].any() for k in range(spec.lanes)).any()
            m.d.comb += alive.eq(so_far | (self.learned_en[0].any() & any_left))
            m.d.sync += so_far.eq(alive & ~row_ends.any())
            stays = stays | alive
        return stays

    def _list(self, m: Module, listed: Value, index: Value) -> None:
        """List a source, or a pair of them; and hand the list out in a pass."""
        spec = self._spec
        # One deeper than what comes: what is on its way out counts as in it.
        depth = -(-spec.sources // rows_at_once(spec)) + 1
        m.submodules.listed = fifo = ResetInserter(self.clear)(
            SyncFIFOBuffered(width=pair_width(spec), depth=depth)
        )
        left = Signal(range(depth))
        m.d.comb += [
            fifo.w_en.eq(listed),
            fifo.w_data.eq(index),
            self.any_listed.eq(fifo.level != 0),
            self.listing.eq(left != 0),
            self.o.valid.eq(self.listing & fifo.r_rdy),
            self.o.payload.eq(fifo.r_data << (rows_at_once(spec) - 1)),
            fifo.r_en.eq(self.o.valid & self.o.ready),
        ]
        with m.If(self.start):
            m.d.sync += left.eq(fifo.level)
        with m.Elif(fifo.r_en):
            m.d.sync += left.eq(left - 1)


def _next_random(state: Signal) -> Value:
    """The register's next state; see :func:`spikewright.sim.plasticity.next_random`."""
    state = state ^ (state << 13)[:RANDOM_BITS]
    state = state ^ (state >> 17)
    return state ^ (state << 5)[:RANDOM_BITS]
