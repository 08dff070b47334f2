"""On-chip learning: what changes as rows are read, and which rows are read again for it."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from spikewright.learning import LANE_TURN, RANDOM_BITS, REWARD_BITS
from spikewright.spec import CoreSpec, Region, index_width

from .layouts import delayed, struct
from .synapses import SynapseLane, draw_stage, synapse_latency
from .traces import TRACE_LATENCY, TraceUpdate, rule_layout
from .words import trace_record, weight_word, word_addresses

__all__ = ["Plasticity"]


class Plasticity(wiring.Component):
    """Learn from the words of rows as they pass by, one a cycle, and keep the pre traces.

    A source whose row was integrated is listed. A learning pass, after the last level, hands the
    listed sources out in their order; those that have a pre trace left, or eligibilities in their
    rows, are listed again. Words come back changed ``synapse_latency`` cycles later, and the
    source's trace with the last of its row.

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
        Sources for the pass.
    any_listed, listing : Out(1)
        Sources are listed; some are left in the pass.
    learned_addr, learned_data, learned_en : Out
        Words as they were learned, each lane's own.
    trace_addr, trace_data, trace_en : Out
        Pre traces.
    clear : In(1)
        Forget the list.
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
            "learned_data": Out(struct(spec.memories[Region.WEIGHTS].layout)),
            "learned_en": Out(spec.lanes),
            "trace_addr": Out(source),
            "trace_data": Out(trace_record(spec)),
            "trace_en": Out(1),
            "clear": In(1),
            **(with_reward if spec.reward else {}),
            **(with_random if spec.stochastic_rounding else {}),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, word, latency = self._spec, self.word, synapse_latency(self._spec)
        learns = self.learning & (word.passing | word.learns)
        m.d.comb += [
            self.learned_en.eq(delayed(m, Mux(learns, word.changes, 0), latency, "changes")),
            self.learned_addr.eq(delayed(m, word.addresses, latency, "addresses")),
        ]
        draws = Signal()
        if spec.stochastic_rounding:
            drawing = learns & word.valid & (word.passing if spec.reward else 1)
            m.d.comb += draws.eq(delayed(m, drawing, draw_stage(spec), "draws"))
            with m.If(draws):
                m.d.sync += self.random.eq(_next_random(self.random))
            with m.If(self.random_en):
                m.d.sync += self.random.eq(self.random_data)
        self._lanes(m, latency)
        self._sources(m, learns & word.row_ends, latency)
        return m

    def _lanes(self, m: Module, latency: int) -> None:
        """The synapses of the word, lane by lane."""
        spec, rule, word = self._spec, self.rule, self.word
        is_window = spec.plasticity == "window"
        passing, x = word.passing, word.trace.x
        down = word.opposite ^ Mux(passing, rule.post_lowers, ~rule.pre_raises)
        for lane in range(spec.lanes):
            m.submodules[f"lane{lane}"] = synapse = SynapseLane(spec)
            pre: Value = self.y[lane]
            post: Value = x
            if is_window:
                pre = Mux(pre.any(), rule.pre_change, 0)
                post = Mux(post.any(), rule.post_change, 0)
            if spec.reward:
                post = Mux(self.fired[lane], post, 0)
            learned = self.learned_data
            m.d.comb += [
                synapse.weight.eq(word.synapses[f"weight{lane}"]),
                synapse.plastic.eq(word.synapses[f"plastic{lane}"]),
                synapse.size.eq(Mux(passing, post, pre)),
                synapse.down.eq(down),
                synapse.passing.eq(passing),
                synapse.rule.eq(rule),
                learned[f"weight{lane}"].eq(synapse.new_weight),
            ]
            kept = ["plastic"] + ["delay"] * bool(spec.delay_bits)
            m.d.comb += [
                learned[name].eq(delayed(m, word.synapses[name], latency, name))
                for name in (f"{kind}{lane}" for kind in kept)
            ]
            if spec.stochastic_rounding:
                turn = LANE_TURN * lane % RANDOM_BITS
                m.d.comb += synapse.random.eq(self.random.rotate_right(turn))
            if spec.reward:
                name = f"eligibility{lane}"
                m.d.comb += [
                    synapse.eligibility.eq(word.synapses[name]),
                    synapse.reward.eq(self.reward),
                    learned[name].eq(synapse.new_eligibility),
                ]

    def _sources(self, m: Module, row_ends: Value, latency: int) -> None:
        """Traces and list at the end of every row, and the list's way out in a pass."""
        spec, rule, word = self._spec, self.rule, self.word
        m.submodules.x = update = TraceUpdate(spec)
        m.d.comb += [
            update.x.eq(word.trace.x),
            update.step.eq(rule.pre_step),
            update.event.eq(~word.passing),
            update.decays.eq(word.passing),
        ]
        if spec.plasticity == "trace":
            m.d.comb += [update.nearest.eq(rule.nearest), update.a.eq(rule.a_pre)]
        x = delayed(m, update.o, latency - TRACE_LATENCY, "x")
        passing = delayed(m, word.passing, latency, "passing")
        was_listed = delayed(m, word.trace.listed, latency, "was_listed")
        stays = x.any()
        if spec.reward:
            # Of all the row's words, up to and with this one.
            alive, so_far = Signal(), Signal()
            lanes = range(spec.lanes)
            any_left = Cat(self.learned_data[f"eligibility{lane}"].any() for lane in lanes).any()
            m.d.comb += alive.eq(so_far | (self.learned_en.any() & any_left))
            m.d.sync += so_far.eq(alive & ~self.trace_en)
            stays = stays | alive
        # One deeper than what comes: what is on its way out counts as in it.
        m.submodules.listed = listed = ResetInserter(self.clear)(
            SyncFIFOBuffered(width=index_width(spec.sources), depth=spec.sources + 1)
        )
        left = Signal(range(spec.sources + 1))
        m.d.comb += [
            self.trace_en.eq(delayed(m, row_ends, latency, "row_ends")),
            self.trace_addr.eq(delayed(m, word.source, latency, "source")),
            self.trace_data.x.eq(x),
            self.trace_data.listed.eq(~passing | stays),
            listed.w_en.eq(self.trace_en & Mux(passing, stays, ~was_listed)),
            listed.w_data.eq(self.trace_addr),
            self.any_listed.eq(listed.level != 0),
            self.listing.eq(left != 0),
            self.o.valid.eq(self.listing & listed.r_rdy),
            self.o.payload.eq(listed.r_data),
            listed.r_en.eq(self.o.valid & self.o.ready),
        ]
        with m.If(self.start):
            m.d.sync += left.eq(listed.level)
        with m.Elif(listed.r_en):
            m.d.sync += left.eq(left - 1)


def _next_random(state: Signal) -> Value:
    """The register's next state; see :func:`spikewright.sim.plasticity.next_random`."""
    state = state ^ (state << 13)[:RANDOM_BITS]
    state = state ^ (state >> 17)
    return state ^ (state << 5)[:RANDOM_BITS]
