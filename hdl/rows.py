"""Rows of the weight memory: from a source's index to its weight words."""

from collections.abc import Callable
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spikewright.layout import Layout
from spikewright.spec import CoreSpec, Region, index_width

from .layouts import Clocks, Write, delayed, following, passed_on, struct
from .words import (
    FiredOrder,
    bank_layout,
    learning_facts,
    pair_width,
    rows_at_once,
    trace_record,
    weight_word,
    word_addresses,
    word_pair,
    words_a_memory,
)

__all__ = ["RowFetch"]


class _Moves(NamedTuple):
    """Enables of the elastic stages; ``idle`` while the last of them takes no row."""

    found: Value
    head: Value
    row: Value
    idle: Value


class RowFetch(wiring.Component):
    """Read the weight words of sources, one word a cycle, without bubbles between rows.

    Latency ``6 + spec.bank_delay`` cycles from a source to its first word; a source without words
    takes one cycle.

    A learning pass reads rows again, but only the synapses of neurons that fired, one a cycle in
    each lane: a row takes as many cycles as neurons fired in the lane with most of them, whether it
    has words for them or not. With eligibilities the pass reads all words; with paired rows it
    reads two rows at once.

    Parameters
    ----------
    spec : CoreSpec
    clocks : Clocks
        ``host`` is that of the write ports.
    near : bool
        As for the core; without effect on one that learns.

    Members
    -------
    i : In(stream)
        Source index.
    o : Out
        Weight word; cannot be stalled.
    active : Out(1)
        Rows are being looked up or read; ``o`` shows a word ``3 + spec.bank_delay`` cycles after
        that.
    descriptor_addr, descriptor_data, descriptor_en : In
        Write port of the directory.
    weight_addr, weight_data, weight_en : In
        Write port of the weight memory.
    read_addr : In
        Word that ``o.synapses`` shows at most ``4 + spec.bank_delay`` cycles later, while no row is
        being read.
    passing : In(1)
        Rows are read for a learning pass, a pair by its first source. It and what follows come with
        plasticity.
    order : In
        :class:`FiredOrder`; without ``reward``.
    group_ahead : Out
        ``o.group``, two cycles before it.
    learned_addr, learned_data, learned_en : In
        Write port of the weight memory; before that of the host. Data and enables of each of the
        rows that are read at once; likewise what follows.
    trace_addr, trace_data, trace_en : In
        Write port of the pre traces.
    """

    def __init__(self, spec: CoreSpec, clocks: Clocks, *, near: bool = False) -> None:
        self._spec = spec
        self._near = near and not spec.plastic
        self._host = clocks.host
        memories = spec.memories
        learning = {
            "passing": In(1),
            "group_ahead": Out(index_width(spec.groups)),
            "learned_addr": In(word_addresses(spec)),
            "learned_data": In(word_pair(spec)),
            "learned_en": In(data.ArrayLayout(spec.lanes, rows_at_once(spec))),
            "trace_addr": In(pair_width(spec)),
            "trace_data": In(data.ArrayLayout(trace_record(spec), rows_at_once(spec))),
            "trace_en": In(rows_at_once(spec)),
            **({} if spec.reward else {"order": In(FiredOrder(spec))}),
        }
        super().__init__({
            **(learning if spec.plastic else {}),
            "i": In(stream.Signature(index_width(spec.sources))),
            "o": Out(weight_word(spec)),
            "active": Out(1),
            "descriptor_addr": In(index_width(spec.sources)),
            "descriptor_data": In(struct(memories[Region.DESCRIPTORS].layout)),
            "descriptor_en": In(1),
            "weight_addr": In(index_width(spec.weight_words)),
            "weight_data": In(struct(memories[Region.WEIGHTS].layout)),
            "weight_en": In(1),
            "read_addr": In(index_width(spec.weight_words)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self._spec
        descriptor = struct(spec.memories[Region.DESCRIPTORS].layout)
        m.submodules.descriptors = directory = Memory(
            shape=descriptor, depth=spec.sources, init=[], attrs={"ram_style": "block"}
        )
        write_port = directory.write_port(domain=self._host)
        m.d.comb += [
            write_port.addr.eq(self.descriptor_addr),
            write_port.data.eq(self.descriptor_data),
            write_port.en.eq(self.descriptor_en),
        ]
        descriptor_read = directory.read_port()

        # Elastic stages: memory output, registered descriptor, the row being streamed. Each moves
        # on when the one after it is empty or moves on.
        found = Signal()
        head_valid = Signal()
        head = Signal(descriptor)
        row_valid = Signal()
        row = Signal(descriptor)
        row_last = Signal()
        row_moves = Signal()
        head_moves = Signal()
        found_moves = Signal()
        m.d.comb += [
            row_moves.eq(~row_valid | row_last),
            head_moves.eq(~head_valid | row_moves),
            found_moves.eq(~found | head_moves),
            self.i.ready.eq(found_moves),
            descriptor_read.addr.eq(self.i.payload),
            descriptor_read.en.eq(found_moves),
        ]
        words: ValueLike = head.word_count
        if spec.plastic and not spec.reward:
            words = Mux(self.passing, self.order.count, head.word_count)
        with m.If(found_moves):
            m.d.sync += found.eq(self.i.valid)
        with m.If(head_moves):
            m.d.sync += [head_valid.eq(found), head.eq(descriptor_read.data)]
        with m.If(row_moves):
            m.d.sync += [
                row_valid.eq(head_valid),
                row.eq(head),
                row.word_count.eq(words),
                row_last.eq(words[1:] == 0),
            ]
        with m.Else():
            m.d.sync += row.first_word.eq(row.first_word + 1)
            if not spec.sparse:
                m.d.sync += row.first_group.eq(row.first_group + 1)
            m.d.sync += [
                row.word_count.eq(row.word_count - 1),
                row_last.eq(row.word_count == 2),
            ]

        m.d.comb += self.active.eq(found | head_valid | row_valid)
        is_word = row_valid & (row.word_count != 0)
        cycles = spec.bank_delay + 2
        valid = Signal(cycles)
        m.d.sync += Cat(valid, self.o.valid).eq(Cat(is_word, valid))
        if spec.sparse:
            m.d.comb += self.o.group.eq(self.o.synapses.group)
        else:
            groups = [Signal.like(row.first_group, name=f"group{k}") for k in range(cycles)]
            m.d.sync += Cat(groups, self.o.group).eq(Cat(row.first_group, groups))
        if not spec.plastic:
            self._weights(m, Mux(row_valid, row.first_word, self.read_addr))
            return m
        m.d.comb += self.group_ahead.eq(groups[-2])
        moves = _Moves(found_moves, head_moves, row_moves, row_moves & ~head_valid)
        self._learn(m, moves, head, row, is_word, row_valid & row_last)
        return m

    def _learn(
        self,
        m: Module,
        moves: _Moves,
        head: data.View,
        row: data.View,
        is_word: Value,
        row_ends: Value,
    ) -> None:
        """Read the lanes' synapses, and let go with them what learning needs to know."""
        spec = self._spec
        facts = Signal(data.StructLayout(learning_facts(spec)))
        groups, changes = [row.first_group] * spec.lanes, is_word.replicate(spec.lanes)
        if not spec.reward:
            groups, changes = self._fired(m, moves, head, row, is_word)
        place = self._place(m, moves, head, row, facts)
        m.d.comb += [
            *(facts.addresses[lane].eq(place(group)) for lane, group in enumerate(groups)),
            facts.changes.eq(changes),
            facts.learns.eq(row.learns),
            facts.opposite.eq(row.opposite),
            facts.row_ends.eq(row_ends),
            facts.passing.eq(self.passing),
        ]
        self._lane_weights(m, facts.addresses)
        arrived = delayed(m, facts, spec.bank_delay + 3, "facts")
        m.d.comb += [self.o[name].eq(arrived[name]) for name in learning_facts(spec)]

    def _place(
        self, m: Module, moves: _Moves, head: data.View, row: data.View, facts: data.View
    ) -> Callable[[Value], Value]:
        """Let source and traces go with the row; where its word of a group is.

        That of group g is at ``first_word - first_group + g``, or with paired rows at a place that
        the source alone says. While there is no row it is the host's.
        """
        spec = self._spec
        source = self._follow(m, moves, facts)
        if spec.paired_rows:
            within, of_row = self._split(self.read_addr)
            with m.If(moves.idle):
                m.d.sync += [source.eq(of_row), row.first_group.eq(within)]
            return lambda group: Cat(group, source[1:])
        base = Signal.like(row.first_word)
        with m.If(moves.row):
            m.d.sync += base.eq(head.first_word - head.first_group)
        with m.If(moves.idle):
            m.d.sync += [base.eq(self.read_addr), row.first_group.eq(0)]
        return lambda group: base + group

    def _split(self, index: Value) -> tuple[Value, Value]:
        """Group and source of a word, with paired rows."""
        bits = index_width(self._spec.groups)
        return index[:bits], index[bits:]

    def _fired(
        self, m: Module, moves: _Moves, head: data.View, row: data.View, is_word: Value
    ) -> tuple[list[Value], Value]:
        """Groups that the lanes' synapses are of, and which lanes change.

        Group after group, all lanes alike; in a learning pass each lane's own that fired.
        """
        spec, order, passing = self._spec, self.order, self.passing
        step = Signal.like(order.index)
        first, words = Signal.like(row.first_group), Signal.like(row.word_count)
        m.d.comb += order.index.eq(Mux(moves.row, 0, step + 1))
        m.d.sync += step.eq(order.index)
        with m.If(moves.row):
            m.d.sync += [first.eq(head.first_group), words.eq(head.word_count)]
        groups, changes = [], []
        for lane in range(spec.lanes):
            within = Signal.like(first, name=f"within{lane}")
            # Of a group before the first this is larger than any row.
            m.d.comb += within.eq(order.group[lane] - first)
            # With paired rows there are words for all groups.
            is_there = order.fired[lane] & (1 if spec.paired_rows else within < words)
            groups.append(Mux(passing, order.group[lane], row.first_group))
            changes.append(is_word & (~passing | is_there))
        return groups, Cat(changes)

    def _follow(self, m: Module, moves: _Moves, facts: data.View) -> Signal:
        """The source goes with each of its words, and the pre traces, which are read with the rows.

        The row's source.
        """
        spec, rows = self._spec, rows_at_once(self._spec)
        source = following(m, self.i.payload, "found_source", when=moves.found)
        for name, moved in (("head", moves.head), ("row", moves.row)):
            source = following(m, source, f"{name}_source", when=moved)
        m.d.comb += facts.source.eq(source)
        for k in range(rows):
            m.submodules[f"traces{k}"] = memory = Memory(
                shape=trace_record(spec),
                depth=-(-spec.sources // rows),
                init=[],
                attrs={"ram_style": "block"},
            )
            write_port, read_port = memory.write_port(), memory.read_port()
            trace: ValueLike = read_port.data
            for name, moved in (("head", moves.head), ("row", moves.row)):
                trace = following(m, trace, f"{name}_trace{k}", when=moved)
            m.d.comb += [
                write_port.addr.eq(self.trace_addr),
                write_port.data.eq(self.trace_data[k]),
                write_port.en.eq(self.trace_en[k]),
                read_port.addr.eq(self.i.payload >> (rows - 1)),
                read_port.en.eq(moves.found),
                facts.traces[k].eq(trace),
            ]
        return source

    def _weights(self, m: Module, address: Value) -> None:
        """The weight memory in banks, each a cycle behind the one before it.

        So an address goes from register to register, and each register only to the block RAMs of
        one bank: those of a large memory lie all over the part. With a sparse spec the words'
        neuron groups have a memory of their own, so that the banks keep their widths, in step with
        the last bank, after which nothing waits for anything.

        Where all is ``near``, the banks are read at once, in the cycle of the last one.

        The host's writes take the way of the reads' address, so that memories of one port do: the
        core is not busy meanwhile.
        """
        spec = self._spec
        written: Write = (self.weight_en, self.weight_addr, self.weight_data)
        if self._near:
            address = Value.cast(delayed(m, address, spec.bank_delay, "address"))
        address = Mux(self.weight_en, self.weight_addr, address)
        for bank in range(spec.weight_banks):
            if bank == 0 or not self._near:
                written = passed_on(m, written, f"written{bank}", self._host, always=self._near)
                address = following(m, address, f"address_of_{bank}")
            layout = bank_layout(spec, bank)
            ahead = 0 if self._near else spec.bank_delay - bank
            shown = self.o.synapses
            self._memory(m, f"weights{bank}", layout, written, address, shown, ahead)
        if spec.sparse:
            fields = spec.memories[Region.WEIGHTS].layout.fields
            layout = Layout(tuple(field for field in fields if field.name == "group"))
            self._memory(m, "groups", layout, written, address, self.o.synapses)

    def _lane_weights(self, m: Module, addresses: data.View) -> None:
        """The weight memory of a core that learns: each lane has its own, all read at once, and
        so has each of the rows that are read at once.

        Writes are those of learning, while other synapses are read, and those of the host, which
        never come at once.
        """
        spec, loaded = self._spec, self.weight_en
        host_addr, host_row, shown = self.weight_addr, Const(0), [self.o.synapses]
        if spec.paired_rows:
            group, source = self._split(self.weight_addr)
            host_addr, host_row = Cat(group, source[1:]), source[0]
            shown = [self.o.pair[k] for k in range(rows_at_once(spec))]
            m.d.comb += self.o.synapses.eq(Mux(self.o.source[0], shown[1], shown[0]))
        addresses_of_lanes = [
            following(m, addresses[lane], f"address_of_{lane}") for lane in range(spec.lanes)
        ]
        for k in range(rows_at_once(spec)):
            synapses = Signal.like(self.weight_data, name=f"synapses{k}")
            m.d.comb += synapses.eq(Mux(loaded, self.weight_data, self.learned_data[k]))
            for lane, address in enumerate(addresses_of_lanes):
                en = self.learned_en[k][lane] | (loaded & (host_row == k))
                to = Mux(loaded, host_addr, self.learned_addr[lane])
                layout = bank_layout(spec, lane)
                own = Signal(struct(layout), name=f"own{lane}_{k}")
                m.d.comb += [own[field.name].eq(synapses[field.name]) for field in layout.fields]
                written = passed_on(m, (en, to, own), f"written{lane}_{k}", "sync")
                self._memory(m, f"weights{lane}_{k}", layout, written, address, shown[k])

    def _memory(
        self,
        m: Module,
        name: str,
        layout: Layout,
        written: Write,
        address: Value,
        shown: data.View,
        cycles: int = 0,
    ) -> None:
        """Some fields of all weight words; ``shown`` has them so many cycles later than at once."""
        spec = self._spec
        # Some parts have large memories with one port: their scripts look for these.
        is_large = name.startswith("weights") and not spec.plastic
        one_port = {"single_port": 1} if is_large else {}
        m.submodules[name] = memory = Memory(
            shape=struct(layout),
            depth=words_a_memory(spec),
            init=[],
            attrs={"ram_style": "block", **one_port},
        )
        write_port = memory.write_port(domain="sync" if spec.plastic else self._host)
        read_port = memory.read_port()
        m.d.comb += [
            write_port.en.eq(written[0]),
            write_port.addr.eq(written[1] if spec.plastic else address),
            read_port.addr.eq(address),
            read_port.en.eq(1),
        ]
        for field in layout.fields:
            m.d.comb += write_port.data[field.name].eq(written[2][field.name])
            value = read_port.data[field.name]
            for _ in range(cycles):
                value = following(m, value, field.name)
            m.d.sync += shown[field.name].eq(value)
